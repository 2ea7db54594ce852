"""The cache over a Redis Cluster of two nodes, and over Sentinel through a failover."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest
import redis

from bff.cache.bus import Pace
from bff.cache.connect import connect, connect_for_messages
from bff.cache.invalidation import Reach
from tests.support.cache_process import (
    SPACE,
    Process,
    Setting,
    assemble,
    entry,
    related,
    trusting,
    until,
)
from tests.support.redis_server import _LAUNCHER, HOST, RedisServer, find_binary

TAGS = ("c:7", "r:related")
LIST = entry(b"list", *TAGS)
SPACES = ("acme", "beta", "gamma", "delta", "epsilon")
SETTING = Setting(pace=Pace(heartbeat_s=0.05, lease_s=1.0), timeout_s=2.0, spaces=SPACES)
EVERYWHERE = Reach(stored=True, everywhere=True)


class ClusterNode(RedisServer):
    """One node of a cluster; its slots and its peers are told to it afterwards."""

    def _command_line(self, port: int, folder: Path) -> list[str]:
        return [*super()._command_line(port, folder), "--cluster-enabled", "yes"]


class SentinelServer(RedisServer):
    """A Sentinel that watches one primary, alone its own quorum."""

    def __init__(self, primary: RedisServer) -> None:
        super().__init__()
        self._primary = primary

    def _command_line(self, port: int, folder: Path) -> list[str]:
        file = folder / "sentinel.conf"
        watched = f"sentinel monitor cache {HOST} {self._primary.port} 1\n"
        file.write_text(f"port {port}\nbind {HOST}\ndir {folder}\n{watched}")
        launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid())]
        return [*launcher, str(find_binary()), str(file), "--sentinel"]


@pytest.fixture
def cluster_url() -> Iterator[str]:
    with ExitStack() as stack:
        nodes = [stack.enter_context(ClusterNode()) for _ in range(2)]
        half = 16_384 // 2
        for number, node in enumerate(nodes):
            slots = range(number * half, (number + 1) * half)
            command(node, "CLUSTER", "ADDSLOTS", *slots)
            command(node, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        command(nodes[0], "CLUSTER", "MEET", HOST, nodes[1].port)
        for node in nodes:
            while "cluster_state:ok" not in str(command(node, "CLUSTER", "INFO")):
                time.sleep(0.02)
        yield f"redis+cluster://{HOST}:{nodes[0].port},{HOST}:{nodes[1].port}"


def command(server: RedisServer, *words: object) -> object:
    with contextlib.closing(redis.Redis.from_url(server.url)) as client:
        answer: object = client.execute_command(*words)  # type: ignore[no-untyped-call]
        return answer


@asynccontextmanager
async def over(url: str, name: str) -> AsyncIterator[Process]:
    made = assemble(connect(url), name, SETTING, connect_for_messages(url))
    await made.bus.start()
    try:
        yield made
    finally:
        await made.flights.aclose()
        await made.bus.aclose()
        await made.guarded.aclose()


async def exchange(mine: Process, peer: Process) -> None:
    """What one keeps the other finds, and what one drops the other has dropped."""
    assert await mine.put(related(7), LIST, *TAGS)
    assert await peer.get(related(7)) == LIST
    reach = await mine.invalidator.invalidate(SPACE, frozenset({"c:7"}), "write")
    assert reach == EVERYWHERE
    assert len(peer.memory) == 0
    assert await peer.get(related(7)) is None


async def test_a_cluster_holds_the_spaces_on_its_nodes_and_carries_the_bus(
    cluster_url: str,
) -> None:
    async with over(cluster_url, "mine") as mine, over(cluster_url, "peer") as peer:
        await trusting(mine, peer)
        await exchange(mine, peer)
        for space in SPACES:  # on either node
            stamp = (await mine.store.load(space, ())).stamp
            done = await mine.store.invalidate(space, frozenset({"u:1"}))
            assert done.stamp >= stamp
            assert done.peers == {"peer"}
            assert await mine.bus.acknowledged(done.message_id, done.peers)
            await mine.store.set_flag(space, "n", "v")
            assert await peer.store.flag(space, "n") == "v"
            assert await mine.store.remember(space, "n", 60)
        await mine.store.ping()
    async with over(cluster_url, "last") as last:
        done = await last.store.invalidate(SPACE, frozenset({"u:1"}))
        assert done.peers == frozenset()


async def test_after_a_failover_sentinel_leads_to_the_new_primary() -> None:
    with ExitStack() as stack:
        primary = stack.enter_context(RedisServer())
        successor = stack.enter_context(RedisServer())
        sentinel = stack.enter_context(SentinelServer(primary))
        url = f"redis+sentinel://{HOST}:{sentinel.port}/cache/0"
        async with over(url, "mine") as mine, over(url, "peer") as peer:
            await trusting(mine, peer)
            await exchange(mine, peer)
            assert await mine.put(related(8), LIST, *TAGS)
            fail_over(sentinel, primary, successor)
            await until(lambda: not mine.bus.trusted and not peer.bus.trusted)
            await trusting(mine, peer)
            await until(lambda: mine.guarded.available and peer.guarded.available)
            assert await mine.get(related(8)) is None
            await exchange(mine, peer)
            await exchange(peer, mine)


def fail_over(sentinel: RedisServer, primary: RedisServer, successor: RedisServer) -> None:
    """What Sentinel does, without the seconds that it takes to be sure."""
    command(sentinel, "SENTINEL", "REMOVE", "cache")
    command(sentinel, "SENTINEL", "MONITOR", "cache", HOST, successor.port, 1)
    command(primary, "REPLICAOF", HOST, successor.port)
    command(primary, "CLIENT", "KILL", "TYPE", "normal")
    command(primary, "CLIENT", "KILL", "TYPE", "pubsub")
