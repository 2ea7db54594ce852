"""A Redis that comes back is trusted within a second; a cluster whose nodes part is not."""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import urlsplit

import redis

from bff.cache.bus import Pace
from tests.integration.test_topologies import cluster_url
from tests.support.bus_pair import keep, now
from tests.support.cache_process import SPACE, Setting, process, trusting, until
from tests.support.redis_server import RedisServer

__all__ = ["cluster_url"]


async def test_pitfall_23_after_redis_returns_the_bus_is_trusted_within_a_second(
    own_redis: RedisServer,
) -> None:
    setting = Setting(pace=Pace(), timeout_s=0.05)
    async with process(own_redis.url, "one", setting) as one:
        await trusting(one)
        for down_s in (0.0, 0.4):  # at several moments of a heartbeat
            await keep(one)
            await asyncio.to_thread(own_redis.kill)
            await until(lambda: not one.bus.trusted, 0.5)
            assert len(one.memory) == 0
            await asyncio.sleep(down_s)
            await asyncio.to_thread(own_redis.start)
            returned = now()
            await trusting(one)
            assert now() - returned < 1.0


async def test_pitfall_22_nodes_that_hear_each_other_no_more_cost_the_trust(
    cluster_url: str,
) -> None:
    first, second = urlsplit(cluster_url).netloc.split(",")
    # The first space is on the node that the bus listens to.
    setting = Setting(pace=Pace(0.05, 1.0), timeout_s=2.0, spaces=("gamma", SPACE))
    listen_url = f"redis://{first}"
    async with process(cluster_url, "one", setting, listen_url=listen_url) as one:
        await trusting(one)
        await keep(one)
        part(first, second)
        # Commands still reach both nodes; what the farther one publishes is not heard any more.
        await until(lambda: len(one.memory) == 0, 2.0)
        assert not one.bus.trusted
        for space in setting.spaces:
            assert (await one.store.load(space, ())).stamp


def part(*addresses: str) -> None:
    """Each node forgets the other, and serves its own slots on."""
    with contextlib.ExitStack() as stack:
        nodes = [
            stack.enter_context(contextlib.closing(redis.Redis.from_url(f"redis://{address}")))
            for address in addresses
        ]
        names = [node.execute_command("CLUSTER", "MYID") for node in nodes]  # type: ignore[no-untyped-call]
        for node, other in zip(nodes, reversed(names), strict=True):
            node.config_set("cluster-require-full-coverage", "no")
            node.execute_command("CLUSTER", "FORGET", other)  # type: ignore[no-untyped-call]
