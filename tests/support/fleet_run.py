"""A course of events while members ask, and what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

from bff.cache.lead import LEASE_S
from tests.support.fleet_course import Event
from tests.support.fleet_faults import FaultyRun
from tests.support.fleet_figures import Phase
from tests.support.fleet_load import Load
from tests.support.fleet_members import Writing
from tests.support.fleet_weather import Trouble
from tests.support.gateway import PROFILES

RECOVERY_S: Final = 1.0
"""How long Nexudus, well again, may still count as failing, beside the longest opening of a
breaker, which may have begun just before: a pause may last, and refreshes take their time."""
REDIS_PATIENCE_S: Final = 6.0
SAMPLED_S: Final = 1.5
"""After which a gateway has told how late it and its answers were, see `bff.observe.sampler`."""
LATE_S: Final = "0.05"
"""A bound of the histogram: a request asks Redis a few times, and waits 0.2 s in all."""
WAITED_S: Final = 0.3
"""How long a call may have waited for its turn: it counts as asked from before that."""
_TOLD: Final = 10


@dataclass(slots=True)
class Run:
    """One course. `redis_back_s`: until every worker used Redis again, by event.

    `flights`: of one key at once at most, while all was well and while Redis failed, or was late
    by what the gateways say: then who cannot wait makes a call of its own. `overruns`:
    calls that Nexudus refused because there were too many, those aside that arrived late or in
    heaps because its line was at fault. `stood_still`: how often processes of this machine did, for
    half of what is between two calls. `windows`: its throttle, as it tells. `mishaps`: what was
    wrong around the answers.
    """

    load: Load
    stood_still: Callable[[], int] = lambda: 0
    redis_back_s: dict[str, float] = field(default_factory=dict)
    flights: dict[str, int] = field(default_factory=lambda: {"well": 1, "redis": 1})
    overruns: int = 0
    windows: list[dict[str, Any]] = field(default_factory=list)
    mishaps: list[str] = field(default_factory=list)
    overlaps: list[str] = field(default_factory=list)
    _calls: int = 0
    _refused: int = 0
    _looked_at: float = 0.0
    _late: float = 0.0

    async def calm(self, name: str, seconds: float) -> Phase:
        """Nothing is made to fail."""
        phase = self.load.figures.begin(name)
        await self._pass(seconds)
        await self._count(phase)
        return phase

    async def meet(self, event: Event) -> Phase:
        """One event, until it is over for the gateways too."""
        load = self.load
        phase = load.figures.begin(event.name)
        with load.weather.troubled(*event.kinds) as spell:
            try:
                async with event.happening(load) as note:
                    phase.note = note or ""
                    await self._pass(event.seconds)
            except FaultyRun as fault:
                self.mishaps.append(f"{event.name}: {fault}")
            over = monotonic()
            if event.kinds & {Trouble.REDIS, Trouble.PROCESS}:
                back_s = await load.fleet.redis_used(REDIS_PATIENCE_S)
                self.redis_back_s[event.name] = back_s
                phase.note += f"Redis used by all after {back_s:.2f} s"
            if Trouble.NEXUDUS in event.kinds:
                spell.until = over + load.fleet.terms.longest_opening_s + RECOVERY_S
        await self._count(phase)
        return phase

    async def course(self, events: Iterable[Event], between_s: float) -> None:
        """One after the other."""
        for event in events:
            await self.meet(event)
            await self.calm("  afterwards", between_s)

    def text(self) -> str:
        """Everything that came of it."""
        figures = self.load.figures
        return "\n".join(
            [
                figures.table(),
                f"requests: {figures.requests}, switches: {self.load.switches}",
                f"flights of one key at once: {self.flights}",
                f"refused as too many: {self.overruns}; stood still: {self.stood_still()} times",
                *(f"throttle: {window}" for window in self.windows),
                *self.overlaps[:_TOLD],
                *self.mishaps[:_TOLD],
                figures.faults(),
            ]
        )

    async def _pass(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self.load.failed()

    async def _count(self, phase: Phase) -> None:
        nexudus = self.load.fleet.nexudus
        told = await nexudus.control("GET", "calls")
        throttle = await nexudus.control("GET", "throttle")
        phase.calls = told["total"] - self._calls
        phase.overruns = throttle["refused"] - self._refused
        self._refused = throttle["refused"]
        if Trouble.NEXUDUS not in self.load.weather.during(phase.began, monotonic()):
            self.overruns += phase.overruns
        self.windows = throttle["windows"]
        self._calls = told["total"]
        overlaps = [each for each in told["overlaps"] if each["at"] > self._looked_at]
        late = await self._was_late()
        if not late and any(self._together(each) > 1 for each in overlaps):
            await asyncio.sleep(SAMPLED_S)
            late = await self._was_late()
        for overlap in overlaps:
            self._note_overlap(overlap, late=late)
        self._looked_at = max((each["at"] for each in told["overlaps"]), default=0.0)

    async def _was_late(self) -> bool:
        """Whether Redis has been since this was last asked, or a process too late for its lease."""
        late, self._late = self._late, await self._late_answers()
        # Whoever leads renews its lease by its loop: one that stood still for so long has lost it.
        stood_still = await self.load.fleet.metric("bff_loop_lag_seconds") > LEASE_S / 2
        return self._late > late or stood_still

    async def _late_answers(self) -> float:
        """How often Redis answered a gateway late, or not in time, so far."""
        fleet = self.load.fleet
        answers = await fleet.metric("bff_store_seconds_count")
        in_time = await fleet.metric("bff_store_seconds_bucket", le=LATE_S)
        return answers - in_time + await fleet.metric("bff_store_errors_total")

    def _together(self, overlap: dict[str, Any]) -> int:
        """As `flights_of`; it counts alone while Nexudus fails: one may be given up, and made
        again."""
        if Trouble.NEXUDUS in self._troubles(overlap):
            return 1
        return flights_of(overlap, self.load.writes)

    def _troubles(self, overlap: dict[str, Any]) -> frozenset[Trouble]:
        at = _monotonic(overlap["at"])
        return self.load.weather.during(at - 1, at)

    def _note_overlap(self, overlap: dict[str, Any], *, late: bool) -> None:
        """A call that came while the same one was under way."""
        number = self._together(overlap)
        sky = "redis" if self._troubles(overlap) or late else "well"
        self.flights[sky] = max(self.flights[sky], number)
        if number > 1:
            phase = self.load.figures.phase.name
            self.overlaps.append(f"{number} flights, {sky} ({phase}): {overlap}")


def flights_of(overlap: dict[str, Any], writes: Iterable[Writing]) -> int:
    """How many calls for one key were under way with a call, itself included.

    It counts alone after a write of anybody: what a call under way will depend on is not known
    before it lands, so nobody waits for what was asked before something was dropped.
    """
    together: int = 1 + overlap["same_token"]
    since = overlap["own_since"]
    if overlap["path"].endswith("/related"):
        together, since = together + overlap["other_tokens"], overlap["since"]
    elif overlap["path"] != PROFILES:
        return 1  # not cached
    if together == 1 or _written(writes, _monotonic(since) - WAITED_S, _monotonic(overlap["at"])):
        return 1
    return together


def _written(writes: Iterable[Writing], since: float, at: float) -> bool:
    return any(each.began <= at and since <= each.until for each in writes)


def _monotonic(utc_s: float) -> float:
    at: float = utc_s - time.time() + monotonic()
    return at
