"""What operators see of one process, and do to it: the parts put together, and nothing else."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final

from starlette.routing import Route

from bff import __version__
from bff.cache.bus import Bus
from bff.cache.envelope import Sealer
from bff.cache.flight import Flights
from bff.cache.inspection import Inspector
from bff.cache.invalidation import Invalidator
from bff.cache.tiered import TieredCache
from bff.clock import Clock
from bff.edge.endpoints import Endpoints, Understanding
from bff.nexudus.admission import Admission
from bff.observe.journal import EventKind
from bff.observed import Observed
from bff.ops.actions import Actions, obeying
from bff.ops.assets import Assets
from bff.ops.audit import Audit
from bff.ops.explain import Explainer, Surroundings
from bff.ops.exposition import Exposition
from bff.ops.fleet import Controls, Fleet
from bff.ops.live import Live
from bff.ops.operators import Operator, Operators
from bff.ops.particulars import Identity, Particulars
from bff.ops.particulars import Watched as Known
from bff.ops.reporter import Reporter, Sources
from bff.ops.trail import Trail
from bff.ops.viewing import Snapshots
from bff.session.examine import Examiner
from bff.session.landing import Landings
from bff.session.reads import Reads
from bff.session.sharing import Sharing
from bff.spaces import SpaceTable


@dataclass(frozen=True, slots=True)
class Watched:
    """Of the gateway, what operators look at and act on. `process`: its name in the fleet."""

    process: str
    cache: TieredCache
    flights: Flights
    invalidator: Invalidator
    bus: Bus
    admission: Admission
    landings: Landings
    reads: Reads
    sharing: Sharing


@dataclass(frozen=True, slots=True)
class OperatorTerms:
    """What the configuration says. `set_level`: of the log, which is at `log_level`."""

    table: SpaceTable
    understanding: Understanding
    deadline_s: float
    log_level: str
    set_level: Callable[[str], None]


class Operated:
    """Of one process. Without operators nothing of it is served, and nothing told to the fleet."""

    def __init__(
        self,
        operators: Iterable[Operator],
        watched: Watched,
        terms: OperatorTerms,
        observed: Observed,
        clock: Clock,
    ) -> None:
        self._watched = watched
        self._terms = terms
        self._clock = clock
        self._observed = observed
        audit = Audit(partial(observed.note, EventKind.OPERATOR))
        self.operators: Final = Operators(operators, audit)
        controls = Controls(log_level=terms.log_level)
        self.fleet: Final = Fleet(watched.cache.store, watched.process, clock, controls)
        reads = watched.reads
        self.trail: Final = Trail(
            clock, watched.process, watched.sharing.is_demoted, lambda: reads.refreshes_paused
        )
        self.reporter: Final = self._reporter()
        self.fleet.answer = self.trail.told
        self.fleet.on_controls.append(obeying(watched.reads, terms.set_level))

    def hears(self, endpoints: Endpoints) -> None:
        """What was decided for requests is remembered from now on."""
        if self.operators:
            endpoints.on_asked = self.trail.asked

    def routes(self) -> list[Route]:
        """None without operators. To be put before everything that belongs to a space."""
        if not self.operators:
            return []
        snapshots = Snapshots(self.fleet, self.reporter, self._clock)
        return [
            *Exposition(self._observed.metrics).routes(self.operators),
            *self._actions().routes(),
            *Live(snapshots, self._spaces, self._clock).routes(self.operators),
            *Assets().routes(),
        ]

    @contextlib.asynccontextmanager
    async def reporting(self) -> AsyncIterator[None]:
        """The fleet hears of this process within."""
        if not self.operators:
            yield
            return
        await self.reporter.start()
        try:
            yield
        finally:
            await self.reporter.aclose()

    @property
    def _spaces(self) -> list[str]:
        return [space.name for space in self._terms.table.spaces]

    def _reporter(self) -> Reporter:
        watched, clock = self._watched, self._clock
        per_token = watched.sharing.is_demoted
        known = Known(watched.cache.store, watched.bus, watched.admission, per_token)
        particulars = Particulars(Identity.here(__version__, clock), known, self._spaces, clock)
        observed = self._observed
        sources = Sources(observed.metrics, observed.journal, particulars.details)
        return Reporter(self.fleet, sources, clock)

    def _actions(self) -> Actions:
        watched, terms = self._watched, self._terms
        sealer = Sealer(terms.understanding.keyring, os.urandom)
        inspector = Inspector(watched.cache, sealer, self._clock)
        examiner = Examiner(inspector, watched.landings, watched.flights)
        around = Surroundings(
            watched.admission, watched.reads, watched.sharing, deadline_s=terms.deadline_s
        )
        explainer = Explainer(examiner, terms.understanding, terms.table, around, self._clock)
        return Actions(
            self.operators, watched.invalidator, watched.sharing, self.fleet, explainer, self.trail
        )
