"""What is measured of the gateway alone: memory, workers, start."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Final

import httpx
import redis

from bff.edge.hot import MOST_KEPT
from bff.observe.sampler import TICK_S
from tests.bench.checks import bearer
from tests.bench.gateway import SHAPE, World
from tests.bench.load import CONNECTIONS, Load
from tests.bench.peers import PATH
from tests.bench.results import Cost, Plan
from tests.bench.rounds import Spread
from tests.bench.stage import BOTH_CORES, SERVER_CORE, Server
from tests.support.member_sessions import session_bytes
from tests.support.redis_server import RedisServer

SESSIONS: Final = 200
ANSWERS: Final = 2_000
REMEMBERED: Final = 2_500
"""Requests after which a worker remembers no more of them: the latest are kept for operators."""
IDLE_S: Final = 2.0
"""A worker goes on for a moment after its first answer: it connects, and gives back what its start
took."""
STARTS: Final = 3


def workers(world: World, plan: Plan) -> Cost:
    """What two workers do beside one, where the load generator needs a core of its own.

    Each worker's processor time for one request tells what a core of its own would do: two share
    both cores with the load, one has a core for itself; each has as many connections.
    """
    spent: dict[int, list[float]] = {1: [], 2: []}
    token = world.members[0].token
    with (
        world.gateway(1, SERVER_CORE, BFF_REDIS_PREFIX="workers") as one,
        world.gateway(2, BOTH_CORES, BFF_REDIS_PREFIX="workers") as two,
    ):
        loads = {
            count: Load(
                server.origin + PATH + SHAPE, bearer(token), plan.seconds, count * CONNECTIONS
            )
            for count, server in ((1, one), (2, two))
        }
        for load in loads.values():
            load.run()
        for _ in range(plan.rounds):
            for count, server in ((1, one), (2, two)):
                before = server.cpu_s()
                done = loads[count].run()
                spent[count].append((server.cpu_s() - before) / done.requests)
    ratios = [2 * alone / both for alone, both in zip(spent[1], spent[2], strict=True)]
    return Cost(
        "two workers beside one, by processor time for each request",
        Spread.of(ratios), " x", 1.8, at_least=True,
    )  # fmt: skip


def memory(world: World) -> Iterator[Cost]:
    """Of an idle worker, of a finished answer in it, and of a session in Redis."""
    with world.gateway(BFF_REDIS_PREFIX="memory", BFF_L1_BYTES="256MiB") as gateway:
        worker = gateway.pids()[-1]
        time.sleep(IDLE_S)
        idle = gateway.resident_bytes(worker)
        yield Cost("memory of an idle worker", Spread.of([idle / 2**20]), " MiB", 60)
        yield _of_answers(world, gateway, worker)
    with RedisServer() as alone:
        grown = asyncio.run(session_bytes(alone.url))
    what = "Redis, for each session: profile list of three profiles of 100 fields, and proof"
    yield Cost(what, Spread.of([grown]), " bytes", 1_500)
    yield _of_sessions(world)


def _of_answers(world: World, gateway: Server, worker: int) -> Cost:
    """Many shapes of one list: each is one finished answer of much the same size.

    Each is asked for twice: what is asked for once is made of what is parsed, and not kept. So
    are requests that fill what is remembered of them, which is no part of an answer.
    """
    with httpx.Client(base_url=gateway.origin, trust_env=False) as client:
        headers = bearer(world.members[0].token, **{"accept-encoding": "identity"})
        for number in range(REMEMBERED):
            client.get(f"{PATH}?_shape=Warm{number}", headers=headers)
        before, total = gateway.resident_bytes(worker), 0
        for number in range(2 * ANSWERS):
            shape = f"Profiles,User,Other{number // 2}"
            answer = client.get(f"{PATH}?_shape={shape}", headers=headers)
            total += len(answer.content) * (number % 2)
            if (number + 1) % (2 * MOST_KEPT) == 0:
                time.sleep(2 * TICK_S)  # no more are kept at a time
        grown = gateway.resident_bytes(worker) - before
        assert grown > total, "answers were not kept"
    what = f"memory of a finished answer of {total // ANSWERS:,} bytes, beside these"
    return Cost(what, Spread.of([grown / total]), " x", 1.3)


def _of_sessions(world: World) -> Cost:
    """Users with three profiles, as real-sized and varied as the simulated Nexudus makes them."""
    connection: redis.Redis = redis.Redis.from_url(world.redis.url)
    with (
        world.gateway(BFF_REDIS_PREFIX="sessions") as gateway,
        httpx.Client(base_url=gateway.origin, trust_env=False) as client,
    ):
        first, *others = world.several[: SESSIONS + 1]
        client.get(PATH, headers=bearer(first.token)).raise_for_status()
        before = _used(connection)
        for member in others:
            client.get(PATH, headers=bearer(member.token)).raise_for_status()
        grown = (_used(connection) - before) / len(others)
    what = "the same of simulated members (138 fields a profile), and their related list"
    return Cost(what, Spread.of([grown]), " bytes")


def _used(connection: redis.Redis) -> int:
    return int(connection.info("memory")["used_memory"])


def start(world: World) -> Cost:
    """From the command to the first answer."""
    taken: list[float] = []
    for _ in range(STARTS):
        with world.gateway() as gateway:
            taken.append(gateway.started_s)
    return Cost("from `bff serve` to its first answer", Spread.of(taken), " s", 1.0)
