"""One hot answer: finished bytes, and the headers that they were sent with by the usual way."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from bff.edge.caching import Hit, age, cache_status
from bff.edge.respond import Finished, RepresentationKey
from bff.errors import RequestError
from bff.nexudus.headers import Header
from bff.session.reading import Part
from bff.spaces import Space

Writers = Mapping[int, Callable[[float], None] | None]
"""By status, what counts an answer at once where other processes look; None for nothing."""

_VOLATILE: Final = frozenset((b"age", b"cache-status", b"server-timing", b"x-request-id"))
_ENTITY: Final = frozenset((b"content-length", b"content-type", b"content-encoding"))


Served = tuple[float, float, str, str, bool]
"""One request that was answered: UTC seconds, the seconds that it took, its id, that of its trace,
and whether it was sent whole, not as a 304. A plain tuple: one is made for each answer."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What answers under one name share. `constant`: headers that hold for as long as it does.

    `held`: the key of the item in process that they stand or fall with, `value`: what is kept so,
    `expires`: of that copy, monotonic seconds. `cache`: how an exchange tells of such an answer.
    """

    space: Space | RequestError | None
    held: Hashable
    value: object
    expires: float
    constant: tuple[Header, ...]
    cache: str
    writers: Writers


class Reported(Protocol):
    """What is told of an answer. `shape`: what it was asked by; `size`: bytes of its body."""

    @property
    def key(self) -> RepresentationKey: ...
    @property
    def setting(self) -> Setting: ...
    @property
    def parts(self) -> tuple[Part, ...]: ...
    @property
    def shape(self) -> str: ...
    @property
    def size(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Dated:
    """Headers of all answers of one age; they hold from one moment to another (UTC seconds)."""

    since: float
    until: float
    headers: tuple[Header, ...]


@dataclass(frozen=True, slots=True)
class _Told:
    """Headers of an answer, `whole` or a 304, from one moment to another (UTC seconds)."""

    since: float
    until: float
    whole: list[Header]
    bare: list[Header]


_UNTOLD: Final = _Told(math.inf, -math.inf, [], [])


class Hot:
    """A finished answer that is kept. `shape`: what it was asked by."""

    __slots__ = ("_told", "finished", "key", "setting", "shape", "validator")

    def __init__(
        self, key: RepresentationKey, finished: Finished, setting: Setting, shape: str
    ) -> None:
        self.key: Final = key
        self.finished: Final = finished
        self.setting: Final = setting
        self.shape: Final = shape
        self.validator: Final = finished.validator.encode()
        self._told = _UNTOLD

    @property
    def parts(self) -> tuple[Part, ...]:
        """What it was made of."""
        return self.finished.parts

    @property
    def size(self) -> int:
        """Bytes of its body."""
        return len(self.finished.body)

    def headers(self, now: float, *, modified: bool) -> Sequence[Header]:
        """At `now` (UTC seconds), but those that no two answers share."""
        told = self._told
        if not told.since <= now < told.until:
            finished = self.finished
            dated = as_of(now, self.setting, finished.fetched_at, finished.fresh_until)
            bare = [(b"etag", self.validator), *dated.headers]
            whole = bare + finished.entity_headers()
            told = self._told = _Told(dated.since, dated.until, whole, bare)
        return told.whole if modified else told.bare


def as_of(now: float, setting: Setting, fetched_at: float, fresh_until: float) -> Dated:
    """What answers tell at `now` that were fetched and cease to be fresh then (UTC seconds)."""
    old, left = now - fetched_at, fresh_until - now
    # Either is told in whole seconds: until the first of them turns.
    until = now + min(1.0 - old % 1.0, left % 1.0)
    hit = cache_status(Hit(ttl_s=left, detail="l1"))
    aged = (b"age", age(old).encode()), (b"cache-status", hit.encode())
    return Dated(now, until, (*setting.constant, *aged))


def lasting(headers: list[Header]) -> tuple[Header, ...]:
    """Of the headers of one answer, those that another body, at another time, has as well."""
    return tuple(
        pair
        for pair in headers
        if pair[0] not in _VOLATILE and pair[0] not in _ENTITY and pair[0] != b"etag"
    )
