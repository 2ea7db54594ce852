"""What operators see of one process, and do to it, if there are any: see `bff.attended`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Final, Protocol

from starlette.routing import Route

from bff.cache.bus import Bus
from bff.cache.flight import Flights
from bff.cache.invalidation import Invalidator
from bff.cache.tiered import TieredCache
from bff.clock import Clock
from bff.edge.accounts import Accounts
from bff.edge.endpoints import Endpoints, Understanding
from bff.edge.hot import HotAnswers
from bff.nexudus.admission import Admission
from bff.observed import Observed
from bff.ops.access.operators import Operator, Operators
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


class Operations(Protocol):
    """Of one process."""

    @property
    def operators(self) -> Operators:
        """Who they are."""
        ...

    def hears(self, endpoints: Endpoints, accounts: Accounts, hot: HotAnswers) -> None:
        """What was decided for requests is remembered from now on."""
        ...

    def routes(self) -> list[Route]:
        """To be put before everything that belongs to a space."""
        ...

    def reporting(self) -> AbstractAsyncContextManager[None]:
        """The fleet hears of this process within."""
        ...


def operations(
    operators: Sequence[Operator],
    watched: Watched,
    terms: OperatorTerms,
    observed: Observed,
    clock: Clock,
) -> Operations:
    """Those of a process. Without operators there is nothing to see, and nobody hears of it."""
    if not operators:
        return Unattended()
    # A quarter of our code, and nothing of it serves apps.
    from bff.attended import Attended  # noqa: PLC0415

    return Attended(operators, watched, terms, observed, clock)


class Unattended:
    """The `Operations` of a process without operators."""

    operators: Final = Operators(())

    def hears(self, endpoints: Endpoints, accounts: Accounts, hot: HotAnswers) -> None:
        pass

    def routes(self) -> list[Route]:
        return []

    def reporting(self) -> AbstractAsyncContextManager[None]:
        return nullcontext()
