"""A process of its own that reads one document many times, together with others.

`python -m tests.support.leadership_child URL NAME PROCESSES CALLERS` prints the bodies it got.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass

from redis.asyncio import Redis

from bff.cache.entry import Entry
from tests.support.cache_process import entry, trusting
from tests.support.leadership_crowd import TAGS, Upstream, member

READY, CALLS = "test:ready", "test:calls"


@dataclass(slots=True)
class SharedUpstream(Upstream):
    """Counts the calls of all processes, in their Redis."""

    redis: Redis | None = None

    async def call(self) -> Entry:
        assert self.redis is not None
        number = await self.redis.incr(CALLS)
        await asyncio.sleep(self.delay_s)
        return entry(b"%d" % number, *TAGS)


async def main(url: str, name: str, processes: int, callers: int) -> None:
    async with member(url, name) as one:
        redis = one.process.store.client
        await trusting(one.process)
        await redis.incr(READY)
        while int(await redis.get(READY) or 0) < processes:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        upstream = SharedUpstream(delay_s=0.3, redis=redis)
        bodies = await asyncio.gather(*(one.read(upstream) for _ in range(callers)))
        print(*sorted({each.body.decode() for each in bodies}), len(bodies))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
