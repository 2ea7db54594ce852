"""What is measured: each path beside its peers, in one run, with what was aimed at."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import httpx

from tests.bench import peers
from tests.bench.gateway import SHAPE, World, bearer
from tests.bench.load import Load
from tests.bench.peers import PATH, Job, Missing
from tests.bench.rounds import Outcome, Spread, in_turn
from tests.bench.stage import LOAD_CORE, Server, pinned

HERE: Final = Path(__file__).parent
OURS: Final = "bff"
RELAY: Final = "Starlette + httpx"


@dataclass(frozen=True, slots=True)
class Plan:
    """How long: rounds of so many seconds."""

    rounds: int = 5
    seconds: float = 3


@dataclass(frozen=True, slots=True)
class Compared:
    """One path. `aims`: by peer, the ratio aimed at. `missing`: peers that were not there."""

    path: str
    outcome: Outcome
    aims: Mapping[str, float]
    missing: tuple[str, ...] = ()

    def ratio(self, peer: str) -> Spread:
        """Of ours to a peer's."""
        return self.outcome.ratio(OURS, peer)


Start = Callable[[], AbstractContextManager[Server]]


def throughput(
    path: str,
    starts: Mapping[str, Start],
    load: Callable[[str, str], Load],
    aims: Mapping[str, float],
    plan: Plan,
) -> Compared:
    """Requests per second of each server that `starts`, in turn; `load(name, origin)`."""
    missing: list[str] = []
    with ExitStack() as stack:
        loads: dict[str, Load] = {}
        for name, start in starts.items():
            try:
                server = stack.enter_context(start())
            except Missing as reason:
                missing.append(f"{name}: {reason}")
                continue
            loads[name] = load(name, server.origin)
        outcome = in_turn(
            {name: partial(_per_second, each) for name, each in loads.items()}, plan.rounds
        )
    return Compared(path, outcome, {p: aims[p] for p in aims if p in loads}, tuple(missing))


def _per_second(load: Load) -> float:
    return load.run().per_second


def warm(world: World, plan: Plan) -> Iterator[Compared]:
    """A finished answer in process, whole and as a 304."""
    with world.gateway() as gateway:
        job = world.job(gateway)
        check(gateway, job)
        tag = httpx.get(gateway.origin + PATH + SHAPE, headers=bearer(job.token)).headers["etag"]

        ours = _as_is(gateway)

        def load(name: str, origin: str) -> Load:
            target = PATH + SHAPE if name == OURS else PATH
            return Load(origin + target, bearer(job.token), plan.seconds)

        yield throughput(
            "warm bootstrap, finished in process",
            {
                OURS: ours,
                "bare granian ASGI": lambda: peers.bare(job, "asgi"),
                "bare granian RSGI": lambda: peers.bare(job, "rsgi", "rsgi"),
                "bare Starlette": lambda: peers.bare(job, "starlette"),
                "nginx proxy_cache": lambda: peers.nginx(job),
                "Varnish": lambda: peers.varnish(job),
                "Fastify, in memory": lambda: peers.fastify(job, "memory"),
            },
            load,
            {"bare granian ASGI": 0.85, "Varnish": 1.0, "Fastify, in memory": 1.0},
            plan,
        )

        def conditional(name: str, origin: str) -> Load:
            given = {"if-none-match": tag} if name == OURS else {}
            return Load(origin + PATH + SHAPE, bearer(job.token, **given), plan.seconds)

        yield throughput(
            "304 on a warm entry", {OURS: ours, "the same, whole": ours}, conditional,
            {"the same, whole": 1.0}, plan,
        )  # fmt: skip


def stored(world: World, plan: Plan) -> Compared:
    """In Redis only: fetched, opened, projected, encoded for each request."""
    with world.gateway(BFF_L1_MAX_AGE_S="0") as gateway:
        job = world.job(gateway)
        document = job.document.stat().st_size

        ours = _as_is(gateway)
        shape = "?_shape=" + ",".join(_fields(job)[:12])
        identity = {"accept-encoding": "identity"}

        def load(_: str, origin: str) -> Load:
            return Load(origin + PATH + shape, {**bearer(job.token), **identity}, plan.seconds)

        return throughput(
            f"warm in Redis only, projected from {document} bytes",
            {OURS: ours, "Fastify + ioredis": lambda: peers.fastify(job, "redis")},
            load,
            {"Fastify + ioredis": 2.0},
            plan,
        )


def shaped(world: World, plan: Plan) -> Compared:
    """Another shape of a document in process with each request."""
    with world.gateway() as gateway:
        job = world.job(gateway)

        ours = _as_is(gateway)
        names = ",".join(_fields(job)[:24])
        identity = {"accept-encoding": "identity"}

        def load(_: str, origin: str) -> Load:
            return Load(
                origin + PATH, {**bearer(job.token), **identity}, plan.seconds,
                script=HERE / "wrk_shapes.lua", arguments=(names,),
            )  # fmt: skip

        return throughput(
            "a new shape of a document in process",
            {
                OURS: ours,
                "Fastify, projecting": lambda: peers.fastify(job, "redis", PROJECT_FROM="memory"),
            },
            load,
            {"Fastify, projecting": 3.0},
            plan,
        )


def forwarded(world: World, plan: Plan) -> Iterator[Compared]:
    """Small JSON passed through, and a long stream."""
    with world.gateway() as gateway:
        job = world.job(gateway)
    target = "/api/public/events"

    def small(_: str, origin: str) -> Load:
        return Load(origin + target, bearer(job.token), plan.seconds)

    for path, kind, aim in (
        ("pass-through of small JSON", "asgi", 0.6),
        (f"pass-through of a stream of {peers.STREAM_MIB} MiB, MiB/s", "stream", 0.9),
    ):
        with (
            peers.bare(job, kind, core=LOAD_CORE) as upstream,
            world.gateway(BFF_UPSTREAM=upstream.origin) as gateway,
            peers.relay(upstream.origin) as relay,
        ):
            if kind == "asgi":
                starts = {OURS: _as_is(gateway), RELAY: _as_is(relay)}
                yield throughput(path, starts, small, {RELAY: aim}, plan)
                continue
            measures = {
                name: partial(_mib_per_second, server.origin + target, job.token)
                for name, server in ((OURS, gateway), (RELAY, relay))
            }
            yield Compared(path, in_turn(measures, plan.rounds), {RELAY: aim})


def _mib_per_second(url: str, token: str) -> float:
    """How fast a stream arrives whole, read by curl on the load's core."""
    command = [
        *pinned(LOAD_CORE),
        "curl",
        "-sS",
        "-o",
        os.devnull,
        "-w",
        "%{size_download} %{time_total}",
    ]
    done = subprocess.run(
        [*command, "-H", f"Authorization: Bearer {token}", url],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    size, seconds = done.stdout.split()
    if int(size) != peers.STREAM_MIB * 2**20:
        raise RuntimeError(f"{size} bytes arrived")
    return int(size) / 2**20 / float(seconds)


def _as_is(server: Server) -> Start:
    """One that runs already."""

    @contextlib.contextmanager
    def start() -> Iterator[Server]:
        yield server

    return start


def check(gateway: Server, job: Job) -> None:
    """That what is counted is right: its member's, in its shape, refused to others."""
    answer = httpx.get(gateway.origin + PATH + SHAPE, headers=bearer(job.token))
    assert answer.status_code == 200
    assert "hit" in answer.headers["cache-status"], answer.headers["cache-status"]
    assert answer.json()["Profiles"]
    other = httpx.get(gateway.origin + PATH + SHAPE, headers=bearer("nobody's"))
    assert other.status_code == 401, other.status_code


def _fields(job: Job) -> list[str]:
    names = re.findall(rb'"([A-Za-z]+)":', job.document.read_bytes())
    return [f"Profiles.{each.decode()}" for each in dict.fromkeys(names) if each.isalpha()]
