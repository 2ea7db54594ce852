"""One bus over an embedded store, and what is said to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from bff.cache.bus import Pace
from tests.support.cache_process import (
    KEYSPACE,
    SPACE,
    Process,
    Setting,
    assemble,
    entry,
    related,
    trusting,
)

PACE = Pace(heartbeat_s=0.02, lease_s=0.5)
LIST = entry(b"list", "c:7", "r:related")
INBOX = KEYSPACE.inbox("mine")
CHANNEL = KEYSPACE.base(SPACE) + "bus"
PEER = KEYSPACE.inbox("peer")


@asynccontextmanager
async def listening(redis: Redis, setting: Setting | None = None) -> AsyncIterator[Process]:
    process = assemble(redis, "mine", setting or Setting(pace=PACE), redis)
    await process.bus.start()
    try:
        yield process
    finally:
        await process.bus.aclose()


async def keep(process: Process) -> None:
    """Anew if a busy machine cost the process its trust in between."""
    while not await process.put(related(7), LIST, *LIST.tags):
        await trusting(process)
    assert len(process.memory) == 1
