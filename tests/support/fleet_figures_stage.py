"""Processes that report to one store, on a clock in the hands of a test."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import Redis

from bff.cache.connect import connect
from bff.cache.guarded import GuardedStore
from bff.cache.keys import KeySpace
from bff.cache.remote import RemoteStore
from bff.clock import Clock, SystemClock
from bff.observe.journal import Journal
from bff.observe.metrics import Metrics
from bff.ops.fleet.record import Details, SpaceSeen
from bff.ops.fleet.reporter import Reporter, Sources
from bff.ops.fleet.shared import Fleet
from bff.ops.summary.viewing import Snapshots

KEYS = KeySpace("bff")
SERVED = ("acme", "zeta")


@dataclass(frozen=True, slots=True)
class Member:
    """One process of the fleet, with all that it reports from and looks through."""

    name: str
    metrics: Metrics
    journal: Journal
    fleet: Fleet
    reporter: Reporter
    snapshots: Snapshots
    store: GuardedStore

    async def tell(self, times: int = 1) -> None:
        """Report now, and again as often as asked for."""
        for _ in range(times):
            await self.reporter.tick()


def member(name: str, client: Redis, clock: Clock, timeout_s: float = 2.0) -> Member:
    """A process named `name`; nothing has begun."""
    remote = RemoteStore(client, KEYS, process=name, timeout_s=timeout_s)
    store = GuardedStore(remote, SystemClock())
    fleet, metrics, journal = Fleet(store, name, clock), Metrics(), Journal()

    def details() -> Details:
        spaces = tuple(SpaceSeen(space, "reachable", "closed") for space in SERVED)
        return Details("host", 1, "0.1", clock.wall(), store.available, bus=True, spaces=spaces)

    reporter = Reporter(fleet, Sources(metrics, journal, details), clock)
    return Member(name, metrics, journal, fleet, reporter, Snapshots(fleet, reporter, clock), store)


@asynccontextmanager
async def members(
    url: str, names: Sequence[str], clock: Clock, timeout_s: float = 2.0
) -> AsyncIterator[list[Member]]:
    """Some around one store; `embedded://` is in all of them the same."""
    embedded = connect(url) if url == "embedded://" else None
    made = [member(name, embedded or connect(url), clock, timeout_s) for name in names]
    try:
        yield made
    finally:
        for each in made:
            with contextlib.suppress(Exception):
                await each.store.aclose()
