"""Budgets of several processes over one Redis, and a log of what they granted."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bff.cache.connect import connect
from bff.cache.guarded import GuardedStore
from bff.cache.keys import KeySpace
from bff.cache.remote import RemoteStore
from bff.clock import SystemClock
from bff.errors import Overloaded
from bff.limits import Limit
from bff.nexudus.budget.budgets import SpaceBudgets
from bff.nexudus.budget.config import BudgetConfig
from bff.nexudus.budget.contract import Priority, Urgency

SPACE = "north"
KEYSPACE = KeySpace("budget-tests")


@dataclass(slots=True)
class Log:
    """When calls were granted, by monotonic time, as exactly as the tests can see it."""

    grants: list[tuple[float, bool]] = field(default_factory=list)

    def times(self, *, writes_only: bool = False) -> list[float]:
        return sorted(at for at, write in self.grants if write or not writes_only)

    def most(self, limit: Limit, *, writes_only: bool = False) -> int:
        """The most calls in any window (t - length, t]."""
        times = self.times(writes_only=writes_only)
        return max(
            (i + 1 - bisect_right(times, at - limit.window_s) for i, at in enumerate(times)),
            default=0,
        )

    def overruns(self, config: BudgetConfig) -> dict[str, int]:
        """By how many calls which limit was passed; empty if none was."""
        found = {f"calls {limit}": self.most(limit) - limit.calls for limit in config.calls}
        found |= {
            f"writes {limit}": self.most(limit, writes_only=True) - limit.calls
            for limit in config.writes
        }
        return {name: over for name, over in found.items() if over > 0}


@dataclass(slots=True)
class Member:
    """One process: its budget and the store behind it."""

    budget: SpaceBudgets
    store: GuardedStore
    log: Log
    connecting_s: Callable[[], float] | None = None

    async def call(
        self,
        priority: Priority = Priority.INTERACTIVE,
        *,
        write: bool = False,
        within_s: float = 10.0,
        space: str = SPACE,
        known: bool = False,
    ) -> float:
        """Spend one call; returns when it was granted (monotonic). `known`: its token is, to
        Nexudus, which says so within 30 ms."""
        grant = await self.budget.spend(space, Urgency(priority), write=write, within_s=within_s)
        if self.connecting_s:
            await asyncio.sleep(self.connecting_s())
        now = time.monotonic()
        if grant.lasts(now):
            self.log.grants.append((now, write))
        grant.sent(time.monotonic())
        if known:
            await asyncio.sleep(0.03)
            grant.accepted(time.monotonic())
        return now

    async def shares(self, space: str = SPACE) -> None:
        """Return once it shares its accounts with the others."""
        while not self.budget.standing(space).shared:  # noqa: ASYNC110 - nothing tells it
            await asyncio.sleep(0.05)

    async def hammer(self, until: float, priority: Priority = Priority.INTERACTIVE) -> int:
        """Spend call after call until a time; returns how many were turned away."""
        refused = 0
        while time.monotonic() < until:
            try:
                await self.call(priority, within_s=until - time.monotonic())
            except Overloaded:
                refused += 1
                await asyncio.sleep(0.01)
        return refused


@asynccontextmanager
async def fleet(
    url: str,
    config: BudgetConfig,
    processes: int = 4,
    *,
    spaces: Sequence[str] = (SPACE,),
    timeout_s: float = 5.0,
) -> AsyncIterator[list[Member]]:
    """So many processes, started. On a busy machine Redis is slow, and never away."""
    log = Log()
    members = []
    for index in range(processes):
        name = f"p{index}"
        remote = RemoteStore(connect(url), KEYSPACE, process=name, timeout_s=timeout_s)
        store = GuardedStore(remote, SystemClock())
        budget = SpaceBudgets(config, spaces, store.run, process=name, clock=SystemClock())
        members.append(Member(budget, store, log))
    try:
        for member in members:
            await member.budget.start()
        yield members
    finally:
        for member in members:
            await member.budget.aclose()
            await member.store.aclose()
