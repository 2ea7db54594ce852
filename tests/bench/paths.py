"""What is measured beside peers: each path in one run, with what is aimed at."""

from __future__ import annotations

import contextlib
import itertools
import os
import statistics
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import httpx
import orjson

from bff.shape.named import DEFAULTS
from tests.bench import peers
from tests.bench.checks import Right, Wrong, bearer, check
from tests.bench.gateway import SHAPE, WRITTEN_OUT, World, listed
from tests.bench.load import Load
from tests.bench.peers import PATH, Missing
from tests.bench.results import OURS, Compared, Plan
from tests.bench.rounds import in_turn
from tests.bench.stage import LOAD_CORE, NotStarted, Server, pinned

HERE: Final = Path(__file__).parent
RELAY: Final = "Starlette + httpx"
FASTIFY: Final = "Fastify + ioredis"
TOKENS: Final = 200
EVENTS: Final = "/api/public/events"
_IDENTITY: Final = {"accept-encoding": "identity"}
_SAFE_INTEGER: Final = 2**53
_SHAPES_A_RUN: Final = 100_000

Start = Callable[[], AbstractContextManager[Server]]
Check = Callable[[str, str], object]


@dataclass(frozen=True, slots=True)
class Rated:
    """A server under a load. `spent_us`: its processor time for a request, by run."""

    server: Server
    load: Load
    spent_us: list[float] = field(default_factory=list)

    def per_second(self) -> float:
        """One run."""
        before = self.server.cpu_s()
        run = self.load.run()
        self.spent_us.append(1e6 * (self.server.cpu_s() - before) / run.requests)
        return run.per_second


def throughput(
    path: str,
    starts: Mapping[str, Start],
    tried: tuple[Check, Callable[[str, str], Load]],
    aims: Mapping[str, float],
    plan: Plan,
) -> Compared:
    """Requests per second of each server that `starts`, in turn.

    `tried`: how answers are checked and how they are asked for, `(name, origin)` both. A peer that
    is not there or answers wrongly is named; Wrong is raised if ours does.
    """
    missing: list[str] = []
    right, load = tried
    with ExitStack() as stack:
        runs: dict[str, Rated] = {}
        for name, start in starts.items():
            try:
                server = stack.enter_context(start())
                right(name, server.origin)
            except (Missing, NotStarted, Wrong) as reason:
                if name == OURS:
                    raise
                missing.append(f"{name}: {reason}")
            else:
                runs[name] = Rated(server, load(name, server.origin))
        outcome = in_turn({name: each.per_second for name, each in runs.items()}, plan.rounds)
    return Compared(
        path,
        outcome,
        {peer: aim for peer, aim in aims.items() if peer in runs},
        tuple(missing),
        spent_us={name: statistics.median(each.spent_us) for name, each in runs.items()},
    )


def warm(world: World, plan: Plan) -> Iterator[Compared]:
    """A finished answer in process, whole and as a 304."""
    with world.gateway() as gateway:
        job = world.job(gateway)
        body, token = job.body.read_bytes(), job.token
        headers: dict[str, str] = orjson.loads(job.headers.read_bytes())
        truth = world.truth(world.several[0], DEFAULTS["portal"])
        # Those that do less are there to be compared with, not to do the job.
        whole_job = {OURS, "nginx proxy_cache", "Varnish", "Fastify, in memory"}

        def right(name: str, origin: str) -> object:
            does = name in whole_job
            found = check(origin + PATH + SHAPE, Right(token, body, truth, headers, does, does))
            if name == OURS and "detail=l1" not in found.headers["cache-status"]:
                raise Wrong(f"not finished in process: {found.headers['cache-status']}")
            return found

        def load(_: str, origin: str) -> Load:
            url = origin + PATH + SHAPE
            return Load(url, bearer(token), plan.seconds, least_bytes=len(body) + 100)

        def conditional(name: str, origin: str) -> Load:
            if name != OURS:
                return load(name, origin)
            given = bearer(token, **{"if-none-match": headers["etag"]})
            return Load(origin + PATH + SHAPE, given, plan.seconds, most_bytes=600)

        ours = _as_is(gateway)
        yield throughput(
            "warm bootstrap, finished in process",
            {
                OURS: ours,
                "bare granian ASGI": lambda: peers.bare(job, "asgi"),
                "bare granian RSGI": lambda: peers.bare(job, "rsgi", "rsgi"),
                "bare Starlette": lambda: peers.bare(job, "starlette", "asgi"),
                "nginx proxy_cache": lambda: peers.nginx(job),
                "Varnish": lambda: peers.varnish(job),
                "Fastify, in memory": lambda: peers.fastify(job, "memory"),
            },
            (right, load),
            {"bare granian ASGI": 0.85, "Varnish": 1.0, "Fastify, in memory": 1.0},
            plan,
        )
        yield throughput(
            "304 on a warm entry", {OURS: ours, "the same, whole": ours}, (right, conditional),
            {"the same, whole": 1.0}, plan,
        )  # fmt: skip


def stored(world: World, plan: Plan) -> Iterator[Compared]:
    """In Redis only, where another process put it: fetched, opened, projected, encoded."""
    members = world.several[:TOKENS]
    with world.gateway(BFF_REDIS_PREFIX="stored") as filler:
        job = world.job(filler)
        world.keep_documents(filler, members)
    every = listed(world.folder / "stored", members, PATH + WRITTEN_OUT)
    with world.gateway(BFF_REDIS_PREFIX="stored", BFF_L1_BYTES="0") as gateway:
        truths = {each.token: world.truth(each, DEFAULTS["portal"]) for each in members[::50]}

        def right(name: str, origin: str) -> None:
            for token, truth in truths.items():
                body = None if name == FASTIFY else orjson.dumps(truth)
                wanted = Right(token, body, truth, None, True, True)
                found = check(origin + PATH + WRITTEN_OUT, wanted, **_IDENTITY)
                status = found.headers["cache-status"]
                if name == OURS and ("hit" not in status or "detail=l1" in status):
                    raise Wrong(f"not from Redis: {status}")

        least = 100 + min(len(orjson.dumps(truth)) for truth in truths.values()) / 4

        def many(_: str, origin: str) -> Load:
            return Load(
                origin, _IDENTITY, plan.seconds, script=HERE / "wrk_cycle.lua",
                arguments=lambda: (str(every),), least_bytes=least,
            )  # fmt: skip

        def one(_: str, origin: str) -> Load:
            given = {**bearer(job.token), **_IDENTITY}
            return Load(origin + PATH + WRITTEN_OUT, given, plan.seconds, least_bytes=least)

        servers: dict[str, Start] = {
            OURS: _as_is(gateway),
            FASTIFY: lambda: peers.fastify(job, "redis"),
        }
        floors: dict[str, Start] = {
            "bare libraries, a read for each": lambda: peers.stored(job, "alone"),
            "bare libraries, reads together": lambda: peers.stored(job, "together"),
            "bare libraries, finished in Redis": lambda: peers.stored(job, "ready"),
        }
        path = "warm in Redis only, {} projected from some {:.0f} KB"
        size = len(orjson.dumps(world.truth(members[0]))) / 1000
        yield throughput(
            path.format(f"{len(members)} tokens,", size), servers | floors, (right, many),
            {FASTIFY: 2.0}, plan,
        )  # fmt: skip
        yield throughput(path.format("one token,", size), servers, (right, one), {}, plan)


def shaped(world: World, plan: Plan) -> Compared:
    """Another shape of a document in process with each request."""
    member = world.several[0]
    with world.gateway(BFF_REDIS_PREFIX="shaped") as gateway:
        job = world.job(gateway)
        world.keep_documents(gateway, [member])
        names = _names(world.truth(member))
        truth = world.truth(member, ",".join(names))
        begin = itertools.count(1, _SHAPES_A_RUN)

        def right(_: str, origin: str) -> object:
            right = Right(job.token, None, truth, None, True, True)
            return check(f"{origin}{PATH}?_shape={','.join(names)}", right, **_IDENTITY)

        def load(_: str, origin: str) -> Load:
            return Load(
                origin + PATH, {**bearer(job.token), **_IDENTITY}, plan.seconds,
                script=HERE / "wrk_shapes.lua",
                arguments=lambda: (",".join(names), str(next(begin))),
                least_bytes=100 + len(orjson.dumps(truth)) / 4,
            )  # fmt: skip

        return throughput(
            "a new shape of a document in process",
            {
                OURS: _as_is(gateway),
                "Fastify + ioredis, projecting": lambda: peers.fastify(job, "redis"),
                "Fastify, projecting what it has parsed": lambda: peers.fastify(
                    job, "redis", PROJECT_FROM="memory"
                ),
            },
            (right, load),
            {"Fastify + ioredis, projecting": 3.0},
            plan,
        )


def forwarded(world: World, plan: Plan) -> Compared:
    """Small JSON passed through."""
    with world.gateway() as gateway:
        job = world.job(gateway)
    body = job.body.read_bytes()
    with (
        peers.bare(job, "asgi", core=LOAD_CORE) as upstream,
        world.gateway(BFF_UPSTREAM=upstream.origin) as gateway,
        peers.relay(upstream.origin) as relay,
    ):

        def load(_: str, origin: str) -> Load:
            return Load(
                origin + EVENTS, bearer(job.token), plan.seconds, least_bytes=len(body) + 100
            )

        return throughput(
            f"pass-through of JSON of {len(body)} bytes",
            {OURS: _as_is(gateway), RELAY: _as_is(relay)},
            (lambda _, origin: check(origin + EVENTS, Right(job.token, body)), load),
            {RELAY: 0.6},
            plan,
        )


def streamed(world: World, plan: Plan) -> tuple[Compared, int]:
    """A long stream passed through; and by how many bytes the gateway's memory grew at most."""
    with world.gateway() as gateway:
        job = world.job(gateway)
    with (
        peers.bare(job, "stream", core=LOAD_CORE) as upstream,
        world.gateway(BFF_UPSTREAM=upstream.origin) as gateway,
        peers.relay(upstream.origin) as relay,
    ):
        httpx.get(gateway.origin + "/healthz").raise_for_status()
        worker = gateway.pids()[-1]
        before = gateway.resident_bytes(worker)
        measures = {
            name: partial(_mib_per_second, server.origin + EVENTS, job.token)
            for name, server in ((OURS, gateway), (RELAY, relay))
        }
        outcome = in_turn(measures, plan.rounds)
        grown = gateway.resident_bytes(worker, most=True) - before
    path = f"pass-through of a stream of {peers.STREAM_MIB} MiB"
    return Compared(path, outcome, {RELAY: 0.9}, unit=" MiB/s"), grown


def _mib_per_second(url: str, token: str) -> float:
    """How fast a stream arrives whole, read by curl on the load's core."""
    command = [
        *pinned(LOAD_CORE), "curl", "-sS", "-o", os.devnull,
        "-w", "%{size_download} %{time_total}", "-H", f"Authorization: Bearer {token}", url,
    ]  # fmt: skip
    done = subprocess.run(command, check=True, capture_output=True, text=True)
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


def _names(document: object) -> list[str]:
    """16 fields of a profile and 8 of a related one; numbers that JavaScript rounds left out."""
    assert isinstance(document, dict)
    names: list[str] = []
    for part, count in (("Profiles", 16), ("RelatedProfiles", 8)):
        fields = document[part][0].items()
        plain = [n for n, v in fields if not (isinstance(v, int) and abs(v) > _SAFE_INTEGER)]
        names += [f"{part}.{name}" for name in plain[:count]]
    return names
