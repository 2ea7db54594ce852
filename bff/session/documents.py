"""Documents of the cache as their callers see them: parsed, with the caller's token, in a shape.

What an app asks for again and again in other shapes stays parsed in process, and merged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import orjson

from bff.cache.entry import Entry
from bff.cache.memory import Held
from bff.cache.tiered import Tier, TieredCache
from bff.clock import Clock
from bff.noticed import Noticed
from bff.resources import Resource
from bff.session.lasting import fresh_until, is_fresh, tags_of
from bff.session.principal import Principal
from bff.session.reading import Caller, Outcome, Reading
from bff.shape import Columns, Shape, project


@dataclass(frozen=True, slots=True)
class _Parsed:
    """A document and the entry that it was parsed from; an empty text where a token belongs."""

    entry: Entry
    document: object


@dataclass(frozen=True, slots=True, repr=False)
class Whole:
    """A complete document of several parts for one caller, with the caller's token.

    `key`: of it in process. `parts`: what it was asked for with. `size`: bytes of it as JSON.
    `fresh_until`: UTC seconds.
    """

    key: Hashable
    parts: tuple[Resource, ...]
    columns: Columns
    size: int
    readings: tuple[Reading, ...]
    fresh_until: float

    def in_shape(self, shape: Shape) -> tuple[bytes, int]:
        """What a shape selects of it, and how many bytes the shape spared."""
        body = self.columns.text(shape)
        return body, 0 if shape.is_everything else self.size - len(body)


class Begun(NamedTuple):
    """The moment before something is made: a ticket of the in-process tier, and monotonic s."""

    ticket: int
    at: float


def begin(cache: TieredCache, clock: Clock) -> Begun:
    """Taken before what is to be kept is made, so that no invalidation is overlooked."""
    return Begun(cache.memory.ticket(), clock.monotonic())


class Documents:
    """Of one process. All that it gives out is to be read only.

    It keeps what was asked for a second time: most documents are asked for once in their time, and
    parsed they take three times the room.
    """

    def __init__(self, cache: TieredCache, clock: Clock) -> None:
        self._cache = cache
        self._clock = clock
        self._noticed = Noticed()

    def opened(self, principal: Principal, reading: Reading) -> tuple[object, bytes]:
        """The body of a 200 as its caller sees it, parsed, and its text."""
        entry, token = reading.entry, principal.token
        text = entry.body_for(token)
        # The very entry of what is stored nowhere is never found again.
        parsed = self._parsed(principal.space, entry) if reading.stored else None
        if parsed is None:
            return orjson.loads(text) if reading.document is None else reading.document, text
        if entry.secret_at is None:
            return parsed.document, text
        return with_token(reading.resource, parsed.document, token), text

    def _parsed(self, space: str, entry: Entry) -> _Parsed | None:
        """What is kept of an entry, from the second time on that it is asked for.

        It is found by the very entry that a read came upon, so it is as good as that, however old.
        """
        if not self._cache.keeps_copies:
            return None
        memory, key = self._cache.memory, (_Parsed, id(entry))
        kept = memory.get(key, -math.inf)
        if isinstance(kept, _Parsed) and kept.entry is entry:
            return kept
        if not self._noticed.again(key):
            return None
        parsed = _Parsed(entry, entry.document())
        tags = frozenset((space, tag) for tag in entry.tags)
        memory.put(key, Held(parsed, weight(entry.body), math.inf, tags), memory.ticket())
        return parsed

    def shaped(self, principal: Principal, reading: Reading, shape: Shape) -> tuple[bytes, int]:
        """The body of a 200 in a shape, for its caller, and how many bytes the shape spared."""
        if shape.is_everything:
            return reading.entry.body_for(principal.token), 0
        document, text = self.opened(principal, reading)
        body = orjson.dumps(project(document, shape))
        return body, len(text) - len(body)

    def begin(self) -> Begun:
        """Taken before the parts of a whole are read, so that no invalidation is overlooked."""
        return begin(self._cache, self._clock)

    def recall(self, caller: Caller, parts: tuple[Resource, ...]) -> Whole | None:
        """What this caller was given of exactly these parts, while all of it is fresh."""
        if not self._cache.keeps_copies or not self._cache.memory_usable:
            return None
        kept = self._cache.memory.get(_key(caller, parts), self._clock.monotonic())
        if isinstance(kept, Whole) and self._clock.wall() < kept.fresh_until:
            return kept
        return None

    def keep(
        self, caller: Caller, parts: tuple[Resource, ...], merged: Mapping[str, object],
        written: Callable[[], bytes], readings: tuple[Reading, ...], begun: Begun,
    ) -> None:  # fmt: skip
        """Keep a complete whole, as it is `written`, if all of it is stored and fresh."""
        if not self._cache.keeps_copies:
            return
        key, principal = _key(caller, parts), caller.principal
        if not self._noticed.again(key) or not all(map(is_fresh, readings)):
            return
        # It is trusted no longer than the copies that it was made of.
        oldest = min(reading.expires for reading in readings)
        held = self._cache.hold(None, 0, frozenset(), since=begun.at, until=oldest)
        until = fresh_until(principal, readings)
        if held.expires <= self._clock.monotonic() or until <= self._clock.wall():
            return
        again = tuple(_again(reading, held.expires) for reading in readings)
        columns, text = Columns(merged), written()
        whole = Whole(key, parts, columns, len(text), again, until)
        # The entries live as long as it does, whether or not they are kept themselves.
        entries = sum(len(reading.entry.body) for reading in readings)
        cost = weight(text) + columns.weight(len(text)) + entries
        held = replace(held, value=whole, cost=cost, tags=tags_of(principal, readings))
        self._cache.memory.put(key, held, begun.ticket)


def _key(caller: Caller, parts: tuple[Resource, ...]) -> Hashable:
    """Everything that a whole depends on."""
    names = tuple(part.name for part in parts)
    principal = caller.principal
    return Whole, principal.space, principal.digest, caller.variants.canonical, names


def _again(reading: Reading, expires: float) -> Reading:
    """As it would be read again from this process."""
    return replace(
        reading, outcome=Outcome.HIT, tier=Tier.L1, upstream_s=None, expires=expires, document=None
    )


def with_token(resource: Resource, document: object, token: str) -> object:
    """A copy of a document that has `token` in its place; what is not on the way there is shared.

    The place is taken by an empty text, so no order changes.
    """

    def put(value: object, path: tuple[str, ...]) -> object:
        if not path:
            return token
        assert isinstance(value, dict)
        return {**value, path[0]: put(value[path[0]], path[1:])}

    assert resource.secret is not None
    return put(document, resource.secret)


def weight(text: bytes) -> int:
    """Bytes that a parsed document takes in process, by what its text is made of."""
    return len(text) + 48 * text.count(b",") + 200 * text.count(b"{") + 80 * text.count(b"[")
