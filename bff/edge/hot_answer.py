"""One hot answer: finished bytes, and the headers that they were sent with by the usual way."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
from typing import Final, NamedTuple

from bff.edge.caching import Hit, age, cache_status
from bff.edge.respond import Finished, RepresentationKey
from bff.errors import RequestError
from bff.nexudus.headers import Header
from bff.spaces import Space

Writers = Mapping[int, Callable[[float], None] | None]
"""By status, what counts an answer at once where other processes look; None for nothing."""

_VOLATILE: Final = frozenset((b"age", b"cache-status", b"server-timing", b"x-request-id"))
_ENTITY: Final = frozenset((b"content-length", b"content-type", b"content-encoding"))


class Served(NamedTuple):
    """One request that was answered. `at`: UTC seconds; `modified`: whole, not a 304."""

    at: float
    took_s: float
    request_id: str
    trace_id: str
    modified: bool


class Setting(NamedTuple):
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


class _Told(NamedTuple):
    """Headers of an answer, which hold from one moment to another (UTC seconds).

    The first `bare` of them are those of a 304.
    """

    since: float
    until: float
    headers: list[Header]
    bare: int


class Hot:
    """A finished answer. `shape`: what it was asked by; `stale_at`: UTC seconds, as `ttl` tells."""

    __slots__ = ("_told", "finished", "key", "setting", "shape", "stale_at", "validator")

    def __init__(
        self,
        key: RepresentationKey,
        finished: Finished,
        setting: Setting,
        shape: str,
        stale_at: float,
    ) -> None:
        self.key: Final = key
        self.finished: Final = finished
        self.setting: Final = setting
        self.shape: Final = shape
        self.stale_at: Final = stale_at
        self.validator: Final = finished.validator.encode()
        self._told = _Told(math.inf, -math.inf, [], 0)

    def headers(self, now: float, *, modified: bool) -> list[Header]:
        """At `now` (UTC seconds), but those that no two answers share."""
        told = self._told
        if not told.since <= now < told.until:
            told = self._told = self._made(now)
        return told.headers[:] if modified else told.headers[: told.bare]

    def _made(self, now: float) -> _Told:
        finished = self.finished
        old, left = now - finished.fetched_at, self.stale_at - now
        # Either is told in whole seconds: until the first of them turns.
        until = now + min(1.0 - old % 1.0, left % 1.0)
        hit = cache_status(Hit(ttl_s=left, detail="l1"))
        bare = [
            (b"etag", self.validator),
            *self.setting.constant,
            (b"age", age(old).encode()),
            (b"cache-status", hit.encode()),
        ]
        return _Told(now, until, [*bare, *finished.entity_headers()], len(bare))


def lasting(headers: list[Header]) -> tuple[Header, ...]:
    """Of the headers of one answer, those that another body, at another time, has as well."""
    return tuple(
        pair
        for pair in headers
        if pair[0] not in _VOLATILE and pair[0] not in _ENTITY and pair[0] != b"etag"
    )
