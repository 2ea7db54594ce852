"""What is measured of the gateway alone: added latency, memory, workers, start, scale."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import redis

from tests.bench.gateway import SHAPE, UPSTREAM_MS, World, bearer
from tests.bench.load import Load
from tests.bench.peers import PATH
from tests.bench.stage import Server

HERE: Final = Path(__file__).parent
AT_ONCE: Final = 50
SESSIONS: Final = 200
ANSWERS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Cost:
    """One figure and what was aimed at, both in words."""

    what: str
    figure: str
    aim: str


def cold(world: World, tokens: Sequence[str], name: str, query: str = "") -> Cost:
    """What a cold bootstrap adds to its calls, by the gateway's own Server-Timing.

    That includes what waits for the gateway's one core: all that is not Nexudus' time.
    """
    listed = world.folder / "tokens"
    listed.write_text("\n".join(tokens) + "\n")
    with world.gateway(BFF_REDIS_PREFIX=f"cold-{name.replace(' ', '-')}") as gateway:
        warmed = httpx.get(gateway.origin + PATH, headers=bearer(world.tokens[0]))
        assert warmed.status_code == 200
        run = Load(
            gateway.origin + PATH + query, bearer(tokens[0]), seconds=20, connections=AT_ONCE,
            script=HERE / "wrk_tokens.lua", arguments=(str(listed), str(len(tokens))),
        ).run()  # fmt: skip
    added = [float(each) for line in run.told for each in line.split()]
    p99 = statistics.quantiles(added, n=100)[98]
    return Cost(
        f"{name}, {len(added)} sessions, {AT_ONCE} at once, {UPSTREAM_MS} ms a call: adds",
        f"{statistics.median(added):.1f} ms (median), {p99:.1f} ms (p99)",
        "2 ms, 5 ms",
    )


def workers(world: World, seconds: float, rounds: int) -> Cost:
    """What two workers do beside one, where the load generator needs a core of its own.

    Each worker's processor time for one request tells what a core of its own would do.
    """
    spent: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for count, found in spent.items():
            with world.gateway(count) as gateway:
                load = Load(gateway.origin + PATH + SHAPE, bearer(world.tokens[0]), seconds)
                load.run()
                before = gateway.cpu_s()
                done = load.run()
                found.append((gateway.cpu_s() - before) / done.requests)
    ratios = [2 * one / two for one, two in zip(spent[1], spent[2], strict=True)]
    return Cost(
        "two workers beside one, by processor time for each request",
        f"{statistics.median(ratios):.2f} x ({min(ratios):.2f} to {max(ratios):.2f})",
        "1.8 x",
    )


def memory(world: World) -> Iterator[Cost]:
    """Of an idle worker, of a finished answer in it, and of a session in Redis."""
    with world.gateway(BFF_REDIS_PREFIX="memory", BFF_L1_BYTES="256MiB") as gateway:
        worker = gateway.pids()[-1]
        time.sleep(2)
        idle = gateway.resident_bytes(worker)
        yield Cost("memory of an idle worker", f"{idle / 2**20:.0f} MiB", "60 MiB")
        yield _of_answers(world, gateway, worker)
    yield _of_sessions(world)


def _of_answers(world: World, gateway: Server, worker: int) -> Cost:
    """Many shapes of one list: each is one finished answer of much the same size."""
    with httpx.Client(base_url=gateway.origin, trust_env=False) as client:
        headers = {**bearer(world.tokens[0]), "accept-encoding": "identity"}
        for number in range(50):
            client.get(f"{PATH}?_shape=Profiles,User,Warm{number}", headers=headers)
        before, total = gateway.resident_bytes(worker), 0
        for number in range(ANSWERS):
            answer = client.get(f"{PATH}?_shape=Profiles,User,Other{number}", headers=headers)
            total += len(answer.content)
        grown = gateway.resident_bytes(worker) - before
    return Cost(
        f"a finished answer of {total // ANSWERS} bytes takes in process",
        f"{grown / total:.2f} x its bytes",
        "1.3 x",
    )


def _of_sessions(world: World) -> Cost:
    connection: redis.Redis = redis.Redis.from_url(world.redis.url)
    with (
        world.gateway(BFF_REDIS_PREFIX="sessions") as gateway,
        httpx.Client(base_url=gateway.origin, trust_env=False) as client,
    ):
        tokens = world.tokens[-SESSIONS - 1 :]
        client.get(PATH, headers=bearer(tokens[0])).raise_for_status()
        before = _used(connection)
        for token in tokens[1:]:
            client.get(PATH, headers=bearer(token)).raise_for_status()
        grown = (_used(connection) - before) / SESSIONS
    return Cost(f"Redis, for each of {SESSIONS} sessions", f"{grown:.0f} bytes", "1,500 bytes")


def _used(connection: redis.Redis) -> int:
    return int(connection.info("memory")["used_memory"])


def start(world: World, rounds: int) -> Cost:
    """From the command to the first answer."""
    taken: list[float] = []
    for _ in range(rounds):
        with world.gateway() as gateway:
            taken.append(gateway.started_s)
    return Cost(
        "from `bff serve` to its first answer",
        f"{statistics.median(taken):.2f} s ({min(taken):.2f} to {max(taken):.2f})",
        "1 s",
    )
