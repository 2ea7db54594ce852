"""Two processes around one Redis, one of them behind a link that a test may break."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bff.cache.bus import Pace
from bff.cache.entry import Entry
from bff.cache.invalidation import Reach
from bff.cache.tiered import Tier
from bff.clock import SystemClock
from tests.support.cache_process import SPACE, Process, Setting, entry, process, related, trusting
from tests.support.slow_proxy import SlowProxy, slow_proxy

HEARTBEAT_S = 0.05
LEASE_S = 0.8
SETTING = Setting(pace=Pace(heartbeat_s=HEARTBEAT_S, lease_s=LEASE_S), timeout_s=1.0)
LIST = related(7)
TAGS = ("c:7", "r:related")
EVERYWHERE = Reach(stored=True, everywhere=True)
NOT_EVERYWHERE = Reach(stored=True, everywhere=False)


def version(number: int) -> Entry:
    return entry(b"%d" % number, *TAGS)


async def keep(one: Process, number: int = 1) -> None:
    """Fetched and kept; anew if a busy machine cost the process its trust in between."""
    async with asyncio.timeout(30):
        while not await one.put(LIST, version(number), *TAGS):
            await trusting(one)


async def write(one: Process) -> Reach:
    return await one.invalidator.invalidate(SPACE, frozenset({"c:7"}), "write")


async def tier_of(one: Process) -> Tier | None:
    found = (await one.cache.find(SPACE, [LIST])).values[0]
    return None if found is None else found.tier


def now() -> float:
    return SystemClock().monotonic()


@dataclass(frozen=True, slots=True)
class Pair:
    """Two processes; the second hears over a link that the test may delay, hang or cut."""

    mine: Process
    peer: Process
    link: SlowProxy


@asynccontextmanager
async def pair_on(url: str, setting: Setting = SETTING) -> AsyncIterator[Pair]:
    async with (
        slow_proxy(url) as link,
        process(url, "mine", setting) as mine,
        process(url, "peer", setting, listen_url=link.url) as peer,
    ):
        await trusting(mine, peer)
        yield Pair(mine, peer, link)
