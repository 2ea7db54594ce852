"""One process around an embedded store, with time, faults and trust in the test's hands."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from redis.asyncio import Redis

from bff.cache.connect import connect
from tests.support.cache_process import Process, Setting, assemble, trusting
from tests.support.manual_time import ManualTime
from tests.unit.cache.bus_world import listening
from tests.unit.cache.world import FaultyStore, StubBus


@dataclass(frozen=True, slots=True)
class World:
    """The process under test, and what is around it. `peer` is another process on the store."""

    mine: Process
    peer: Process
    redis: Redis
    store: FaultyStore
    bus: StubBus
    time: ManualTime


@pytest.fixture
async def world() -> AsyncIterator[World]:
    redis, time, bus = connect("embedded://"), ManualTime(), StubBus()
    faulty: list[FaultyStore] = []

    def inner(real: object) -> FaultyStore:
        faulty.append(FaultyStore(real))  # type: ignore[arg-type]
        return faulty[0]

    mine = assemble(redis, "mine", Setting(clock=time, inner=inner))
    mine.cache.bus = mine.invalidator.bus = bus
    peer = assemble(redis, "peer", Setting(clock=time))
    yield World(mine, peer, redis, faulty[0], bus, time)
    await mine.flights.aclose()
    await mine.guarded.aclose()


@pytest.fixture
async def redis() -> AsyncIterator[Redis]:
    client = connect("embedded://")
    yield client
    await client.aclose()


@pytest.fixture
async def mine(redis: Redis) -> AsyncIterator[Process]:
    async with listening(redis) as process:
        await trusting(process)
        yield process
