"""The budget of every space, for one process.

What processes grant together never passes a limit, also while all of them are without Redis and
when it comes back, empty or not. Three cases may pass one until they hear of each other again: one
process alone cut off from Redis spends its share on top (a part of what was left when it last
heard); one that starts while Redis is away knows neither what was used nor how many others there
are (it begins with what a setting says, and finds out); one that joins less than a heartbeat before
Redis goes is not reckoned with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import structlog

from bff.clock import Clock
from bff.nexudus.budget.book import Book
from bff.nexudus.budget.config import BudgetConfig
from bff.nexudus.budget.contract import Grant, Standing, Urgency
from bff.nexudus.budget.ledger import Ledger, RunScript
from bff.nexudus.budget.peers import Peers
from bff.nexudus.budget.space import NEWS_S, Services, SpaceBudget

log = structlog.get_logger("bff.budget")


class SpaceBudgets:
    """A `contract.Budget`. `run` is the door to the store that all processes share.

    `process` names this one to its peers. A space that is not among `spaces` raises KeyError.
    """

    def __init__(
        self,
        config: BudgetConfig,
        spaces: Sequence[str],
        run: RunScript,
        *,
        process: str,
        clock: Clock,
    ) -> None:
        windows, shares = config.windows, config.shares
        peers = Peers(process, config.processes)
        services = Services(Ledger(run, process, windows, shares), clock)
        self._clock = clock
        self._beating: asyncio.Task[None] | None = None
        self._spaces = {
            space: SpaceBudget(space, Book(windows, shares, peers), services) for space in spaces
        }

    async def spend(self, space: str, urgency: Urgency, *, write: bool, within_s: float) -> Grant:
        return await self._spaces[space].spend(urgency, write=write, within_s=within_s)

    async def throttled(self, space: str, retry_after_s: float, grant: Grant) -> None:
        await self._spaces[space].throttled(retry_after_s, grant)

    def is_short(self, space: str) -> bool:
        return self._spaces[space].is_short()

    def standing(self, space: str) -> Standing:
        return self._spaces[space].standing()

    async def start(self) -> None:
        for space in self._spaces.values():
            await space.tell()
        self._beating = asyncio.create_task(self._beat(), name="budget heartbeat")

    async def aclose(self) -> None:
        agents = [space.close() for space in self._spaces.values()]
        await _end(task for task in (self._beating, *agents) if task is not None)
        await asyncio.gather(*(space.leave() for space in self._spaces.values()))

    async def _beat(self) -> None:
        while True:
            await self._clock.sleep(NEWS_S)
            for name, space in self._spaces.items():
                try:
                    await space.beat()
                except Exception:
                    # A heartbeat that ends would leave this process unknown to the others.
                    log.exception("budget_failed", space=name)


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel and return once they have ended: one cancellation may be swallowed in Python 3.11."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        done, pending = await asyncio.wait(pending, timeout=0.1)
        for task in done:
            if not task.cancelled():
                task.exception()
