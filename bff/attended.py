"""What operators see of one process, and do to it: the parts put together, and nothing else."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Iterable
from functools import partial
from typing import Final

from starlette.routing import Route

from bff import __version__
from bff.cache.envelope import Sealer
from bff.cache.inspection import Inspector
from bff.clock import Clock
from bff.edge.accounts import Accounts
from bff.edge.endpoints import Endpoints
from bff.edge.hot import HotAnswers
from bff.observe.journal import EventKind
from bff.observed import Observed
from bff.operated import OperatorTerms, Watched
from bff.ops.access.audit import Audit
from bff.ops.access.operators import Operator, Operators
from bff.ops.acting.actions import Actions, obeying
from bff.ops.explaining.explain import Explainer, Surroundings
from bff.ops.explaining.trail import Trail
from bff.ops.exposition import Exposition
from bff.ops.fleet.particulars import Identity, Particulars
from bff.ops.fleet.particulars import Watched as Known
from bff.ops.fleet.reporter import Reporter, Sources
from bff.ops.fleet.shared import Controls, Fleet
from bff.ops.page.assets import Assets
from bff.ops.page.live import Live
from bff.ops.summary.viewing import Snapshots
from bff.session.examine import Examiner


class Attended:
    """The `Operations` of a process that has operators."""

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

    def hears(self, endpoints: Endpoints, accounts: Accounts, hot: HotAnswers) -> None:
        """What was decided for requests is remembered from now on."""
        endpoints.on_asked = self.trail.asked
        accounts.on_served = self.trail.served
        self.trail.settle = hot.settle

    def routes(self) -> list[Route]:
        """To be put before everything that belongs to a space."""
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
