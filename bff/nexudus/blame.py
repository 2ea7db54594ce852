"""Whether it is Nexudus that fails or throttles, or only what somebody asks for. Pure, bounded.

Anybody can ask for one path that fails, again and again; that must not close a space to the others.
Times: monotonic seconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, TypeVar
from urllib.parse import unquote

V = TypeVar("V")

MOST: Final = 64
"""So many paths are remembered, by hash; the one that is heard of least goes first."""
SEGMENTS: Final = 4
THROTTLED_S: Final = 60.0

_LANGUAGE: Final = re.compile(r"[a-z]{2}(?:-[a-z]{2,4})?")
_IDENTIFIER: Final = re.compile(r".*[0-9].*|.{40,}", re.DOTALL)


def route_of(path: str) -> str:
    """What the paths of one route share, for a router that is as lenient as it can be.

    `path` as sent, encoded. Identifiers are left out, languages, and whatever follows the fourth
    segment.
    """
    parts = unquote(path).casefold().strip("/").split("/")[:SEGMENTS]
    named = ["*" if _IDENTIFIER.fullmatch(part) else part.rstrip(". ") for part in parts]
    if _LANGUAGE.fullmatch(named[0]):
        named[0] = "*"
    return "/".join(named)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a call that is passed through asks for; `path` as sent, encoded, without the query.

    `bodied`: a body goes with it; `arriving`: part of that is still to come.
    """

    method: str
    path: str
    bodied: bool = False
    arriving: bool = False


@dataclass(slots=True)
class _Throttled:
    since: float
    latest: float
    own: bool = False


class Blame:
    """Of one space. A failure is forgotten `memory_s` later, once a call has succeeded."""

    def __init__(self, memory_s: float) -> None:
        self._memory_s = memory_s
        self._failed: dict[int, float] = {}
        self._throttled: dict[int, _Throttled] = {}

    def is_sound(self, asked: Asked | None) -> bool:
        """Whether a failure would be Nexudus' own: of a read, unless its route failed of late."""
        if asked is None:
            return True
        reads = asked.method in ("GET", "HEAD") and not asked.bodied
        return reads and hash(route_of(asked.path)) not in self._failed

    def failed(self, asked: Asked, now: float) -> bool:
        """Whether that is news, which every route is once: it may be Nexudus."""
        route = hash(route_of(asked.path))
        known = route in self._failed
        _remember(self._failed, route, now)
        return not known

    def recovered(self) -> None:
        """Nexudus is well again: what failed before may have been it."""
        self._failed.clear()

    def throttled(self, asked: Asked, now: float) -> bool:
        """Whether that speaks of the whole space.

        It does not where the same was throttled within the last minute, and another call that was
        begun since was answered: then it is this path's own limit (FACTS 8).
        """
        key = _key(asked)
        before = self._throttled.get(key)
        if before is None or now - before.latest > THROTTLED_S:
            before = _Throttled(now, now)
        before.latest = now
        _remember(self._throttled, key, before)
        return not before.own

    def answered(self, asked: Asked | None, began: float, now: float) -> None:
        """A call succeeded and was not throttled; None: one of the gateway's own."""
        for route in [each for each, at in self._failed.items() if now - at > self._memory_s]:
            del self._failed[route]
        key = None if asked is None else _key(asked)
        for other, throttled in self._throttled.items():
            throttled.own |= other != key and began >= throttled.since


def _key(asked: Asked) -> int:
    return hash((asked.method, unquote(asked.path).casefold().rstrip("/. ")))


def _remember(known: dict[int, V], key: int, value: V) -> None:
    """As the latest."""
    known.pop(key, None)
    known[key] = value
    if len(known) > MOST:
        del known[next(iter(known))]
