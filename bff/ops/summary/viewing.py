"""Snapshots for whoever looks, at most one reading of the store a second for all of them."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from contextlib import suppress
from typing import Final

from bff.clock import Clock
from bff.errors import StoreUnavailable
from bff.ops.figures import Happening, Problem, Snapshot
from bff.ops.fleet.minutes import UnreadableRecord
from bff.ops.fleet.record import read, read_event, read_problem
from bff.ops.fleet.reporter import Reporter
from bff.ops.fleet.shared import MOST_EVENTS, MOST_PROBLEMS, Fleet, Known, Said
from bff.ops.summary.hour import Hour
from bff.ops.summary.processes import Seen
from bff.ops.summary.snapshot import Material, snapshot
from bff.ops.summary.verdict import SILENT_S

FRESH_S: Final = 1.0
"""For how long a reading is good for the next viewer."""
PATIENCE_S: Final = 3.0
"""One reading that fails while the store is in use is no reason to change the picture; two are."""
MOST_PARTS: Final = 128
"""Of one reading; an hour of a large fleet takes some fifty."""


class Snapshots:
    """`of` is for any number of viewers. Without the fleet, its own process is all there is."""

    def __init__(self, fleet: Fleet, reporter: Reporter, clock: Clock) -> None:
        self._fleet = fleet
        self._reporter = reporter
        self._clock = clock
        self._lock = asyncio.Lock()
        self._read_at: float | None = None
        self._made: dict[str, Snapshot] = {}
        self._of_fleet = _Collected()
        self._own = Hour()
        self._is_fleet = False
        self._heard_at = -math.inf

    async def of(self, space: str) -> Snapshot:
        """The last hour of one space, or of all with an empty name."""
        async with self._lock:
            now = self._clock.monotonic()
            if self._read_at is None or now - self._read_at >= FRESH_S:
                self._is_fleet = await self._read()
                self._made.clear()
                self._read_at = self._clock.monotonic()
            found = self._made.get(space)
            if found is None:
                material = self._shared(space) if self._is_fleet else self._alone(space)
                found = self._made[space] = snapshot(material, space)
            return found

    async def _read(self) -> bool:
        """Whether the fleet's figures are there, and this process' own among them."""
        told_at, now = self._reporter.told_at, self._clock.monotonic()
        if told_at is None or now - told_at >= SILENT_S:
            return False
        wall, fleet = self._clock.wall(), self._of_fleet
        try:
            for _ in range(MOST_PARTS):
                said = await self._fleet.hear(fleet.known(wall))
                fleet.put(said)
                for minute, version, records in said.minutes:
                    fleet.hour.put(minute, version, records)
                    await asyncio.sleep(0)  # members' requests go first
                if not said.more:
                    break
        except StoreUnavailable:
            return self._fleet.available and now - self._heard_at < PATIENCE_S
        fleet.hour.forget(wall)
        if not fleet.knows(self._fleet.process) or self._reporter.tally.is_behind:
            return False  # the store has only just come back, and is still being told
        self._heard_at = now
        return True

    def _shared(self, space: str) -> Material:
        fleet = self._of_fleet
        return self._material(fleet.hour, space, fleet.seen, fleet.events, fleet.problems)

    def _alone(self, space: str) -> Material:
        reporter, wall = self._reporter, self._clock.wall()
        known = self._own.versions(wall)
        for minute, (version, record) in reporter.tally.records().items():
            if known.get(minute) != str(version):
                self._own.put(minute, str(version), [record])
        self._own.forget(wall)
        said = reporter.record
        seen = [] if said is None else [Seen(said, max(0.0, wall - said.at))]
        return self._material(self._own, space, seen, reporter.events, reporter.problems)

    def _material(
        self,
        hour: Hour,
        space: str,
        seen: list[Seen],
        events: deque[Happening],
        problems: deque[Problem],
    ) -> Material:
        wall = self._clock.wall()
        *_, whole, _running = hour.window(wall)
        return Material(
            at=wall,
            fleet=self._is_fleet,
            counts=hour.counts,
            whole=hour.of([whole]),
            rows=hour.rows(space, wall),
            seen=seen,
            events=events,
            problems=problems,
            controls=self._fleet.controls,
        )


class _Collected:
    """All that was heard of the fleet so far."""

    def __init__(self) -> None:
        self.hour = Hour()
        self.seen: list[Seen] = []
        self.events: deque[Happening] = deque(maxlen=MOST_EVENTS)
        self.problems: deque[Problem] = deque(maxlen=MOST_PROBLEMS)
        self._event = self._problem = "0-0"

    def knows(self, process: str) -> bool:
        """Whether a process is among those that said something lately."""
        return any(each.record.process == process for each in self.seen)

    def known(self, wall: float) -> Known:
        """What need not be told again."""
        return Known(self.hour.versions(wall), self._event, self._problem)

    def put(self, said: Said) -> None:
        """Add what was said but for minutes; what is not understood, another version said."""
        self.seen = []
        for _, seen_s, record in said.processes:
            with suppress(UnreadableRecord):
                self.seen.append(Seen(read(record), seen_s))
        for at, text in said.events:
            self._event = at
            with suppress(UnreadableRecord):
                self.events.append(read_event(text))
        for at, text in said.problems:
            self._problem = at
            with suppress(UnreadableRecord):
                self.problems.append(read_problem(text))
