"""What this process counted in each of the last minutes, and what of it the fleet was not told yet.

A minute's record holds all that the process counted in it so far. So telling it twice changes
nothing, and what could not be told is told later. Minutes are those of this process's wall clock.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from bff.observe.journal import ShapeUse
from bff.ops.fleet.minutes import (
    MINUTE_S,
    SHAPES,
    USES,
    Counts,
    Reading,
    Series,
    Sum,
    decode,
    fitting,
    taken,
    used,
    watched,
)

KEPT: Final = 65
"""Minutes: the last hour, and a few for whoever's clock is behind."""
MOST_SHAPES: Final = 20
"""Of one minute, by uses."""
LATELY_S: Final = 10.0
"""For how long is told what happened lately: long enough for a few calls, short enough to turn."""


@dataclass(frozen=True, slots=True)
class Told:
    """A record of one minute as it was told; `version`: of that minute here."""

    minute: int
    record: bytes
    version: int


@dataclass(frozen=True, slots=True)
class Lately:
    """What was counted between `since` and `until` (UTC seconds)."""

    since: float
    until: float
    counts: Counts


@dataclass(slots=True)
class _Kept:
    record: bytes
    version: int = 1
    told: int = 0


@dataclass(slots=True)
class _Running:
    minute: int
    since: float
    counts: Sum = field(default_factory=Sum)
    version: int = 1
    told: int = 1


class Tally:
    """Of one process, from `now` (UTC seconds) on. What was counted before is of that minute."""

    def __init__(self, now: float) -> None:
        self._before: dict[Series, int] = {}
        self._running = _Running(int(now // MINUTE_S), now)
        self._kept: dict[int, _Kept] = {}
        self._lately: list[Lately] = []

    @property
    def minute(self) -> int:
        """The running one, in minutes since the epoch."""
        return self._running.minute

    @property
    def lately(self) -> Sequence[Lately]:
        """The newest last."""
        return self._lately

    @property
    def is_behind(self) -> bool:
        """Whether minutes that ended are still to be told."""
        return any(kept.told != kept.version for kept in self._kept.values())

    def take(self, reading: Reading, uses: Iterable[ShapeUse], now: float) -> None:
        """Count what is new in a reading: in the minute in which the one before was taken."""
        running, after = self._running, watched(reading)
        counts = taken(self._before, after)
        self._before = after
        lately = Lately(min(running.since, now), now, counts)
        self._lately = [
            each for each in (*self._lately, lately) if now - LATELY_S < each.until <= now
        ]
        shapes = used(uses)
        if counts or shapes[USES]:
            running.counts.add(counts)
            running.counts.add(shapes)
            running.version += 1
        minute = int(now // MINUTE_S)
        if minute != running.minute:
            self._turn(minute)
        self._running.since = now

    def untold(self, most: int) -> list[Told]:
        """The running minute if there is news of it, then older ones that are to be told, at most
        `most` in all.
        """
        news = []
        running = self._running
        if running.told != running.version:
            news.append(Told(running.minute, _record(running.counts.counts), running.version))
        late = (minute for minute, kept in self._kept.items() if kept.told != kept.version)
        for minute in heapq.nlargest(most - len(news), late):
            kept = self._kept[minute]
            news.append(Told(minute, kept.record, kept.version))
        return news

    def told(self, news: Iterable[Told]) -> None:
        """The fleet has heard this."""
        for each in news:
            if each.minute == self._running.minute:
                self._running.told = each.version
            elif each.minute in self._kept:
                self._kept[each.minute].told = each.version

    def forgotten(self) -> None:
        """The fleet has lost what it was told: it is to be told all of it again."""
        self._running.told = 0
        for kept in self._kept.values():
            kept.told = 0

    def records(self) -> Mapping[int, tuple[int, bytes]]:
        """Version and record of every minute that is kept, the running one among them."""
        running = self._running
        kept = {minute: (each.version, each.record) for minute, each in self._kept.items()}
        return kept | {running.minute: (running.version, _record(running.counts.counts))}

    def _turn(self, minute: int) -> None:
        """Another minute begins; an earlier one, where the clock was put back, goes on."""
        ended = self._running
        if ended.version > 1:
            record = _record(ended.counts.counts)
            self._kept[ended.minute] = _Kept(record, ended.version, ended.told)
        self._running = running = _Running(minute, ended.since)
        known = self._kept.pop(minute, None)
        if known is not None:
            running.counts.add(decode(known.record, own=True))
            running.version, running.told = known.version, known.told
        near = range(minute - KEPT + 1, minute + KEPT)
        self._kept = {at: kept for at, kept in self._kept.items() if at in near}


def _record(counts: Counts) -> bytes:
    return fitting(_with_top_shapes(counts))


def _with_top_shapes(counts: Counts) -> Counts:
    uses = counts.get(USES, {})
    if len(uses) <= MOST_SHAPES:
        return counts
    top = heapq.nlargest(MOST_SHAPES, uses, key=uses.__getitem__)
    return {**counts, **{name: {key: counts[name][key] for key in top} for name in SHAPES}}
