"""Whether a Redis with a million sessions is as quick as one with a thousand."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import httpx
import redis

from tests.bench.checks import bearer
from tests.bench.gateway import SHAPE, World, listed, own_redis
from tests.bench.load import Load
from tests.bench.peers import PATH
from tests.bench.results import Cost, Plan
from tests.bench.rounds import in_turn
from tests.bench.stage import Server
from tests.support.redis_server import RedisServer

HERE: Final = Path(__file__).parent
FEW: Final = 1_000
MANY: Final = 1_000_000
REAL: Final = 200
CONNECTIONS: Final = 8
PREFIX: Final = "scale"
_USABLE: Final = 0.6
_COPY: Final = """
for number = ARGV[1], ARGV[2] do
  for _, key in ipairs(KEYS) do redis.call('COPY', key, key .. '~' .. number) end
end
"""
_AT_A_TIME: Final = 10


def scale(world: World, plan: Plan) -> Iterator[Cost]:
    """Median latency with many sessions in Redis beside the one with few, in turn, two ways.

    What is asked for is the same in both; the others are copies under other names.
    """
    with own_redis() as small, own_redis() as large:
        for server in (small, large):
            _real(world, server)
        each = _filled(small, FEW)
        sessions = min(MANY, int(_USABLE * _available_bytes() / each) // REAL * REAL)
        _filled(large, sessions)
        for way, l1_bytes in (("in Redis only", "0"), ("in process", "64MiB")):
            with (
                _gateway(world, small, l1_bytes) as few,
                _gateway(world, large, l1_bytes) as many,
            ):
                path = listed(world.folder / "scale", world.several[:REAL], PATH + SHAPE)
                measures = {
                    name: partial(_p50_ms, server, plan, path)
                    for name, server in (("few", few), ("many", many))
                }
                ratio = in_turn(measures, plan.rounds).ratio("many", "few")
            what = f"{sessions:,} sessions in Redis beside {FEW:,}: median {way}"
            yield Cost(what, ratio, " x", 1.1)


@contextlib.contextmanager
def _gateway(world: World, server: RedisServer, l1_bytes: str) -> Iterator[Server]:
    with world.gateway(
        BFF_REDIS_URL=server.url, BFF_REDIS_PREFIX=PREFIX, BFF_L1_BYTES=l1_bytes
    ) as gateway:
        yield gateway


def _real(world: World, server: RedisServer) -> None:
    """Sessions as the gateway stores them."""
    with (
        _gateway(world, server, "64MiB") as gateway,
        httpx.Client(base_url=gateway.origin, trust_env=False, timeout=30) as client,
    ):
        for member in world.several[:REAL]:
            client.get(PATH + SHAPE, headers=bearer(member.token)).raise_for_status()


def _filled(server: RedisServer, sessions: int) -> float:
    """Copy all that is there until it is worth so many sessions; returns bytes a session."""
    connection: redis.Redis = redis.Redis.from_url(server.url, socket_timeout=60)
    before = int(connection.info("memory")["used_memory"])
    keys = [
        key for key in connection.scan_iter(f"{PREFIX}:*", count=1000) if connection.ttl(key) > 0
    ]
    copy = connection.register_script(_COPY)
    copies = max(1, sessions // REAL - 1)
    for first in range(1, copies + 1, _AT_A_TIME):
        copy(keys, [first, min(first + _AT_A_TIME - 1, copies)])
    after = int(connection.info("memory")["used_memory"])
    return (after - before) / (copies * REAL)


def _available_bytes() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def _p50_ms(server: Server, plan: Plan, path: Path) -> float:
    run = Load(
        server.origin, {"accept-encoding": "identity"}, plan.seconds, CONNECTIONS,
        HERE / "wrk_cycle.lua", lambda: (str(path),), least_bytes=400,
    ).run()  # fmt: skip
    return run.p50_ms
