"""Starts that do not find everything, and workers that die: what can be served is served."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.e2e.commands import children_of
from tests.support.gateway import OPS_TOKEN, until
from tests.support.raw_client import RawConnection
from tests.support.raw_stage import SANDBOX, SCRIPTED, RawStage, raw_stage
from tests.support.raw_upstream import Peer, Received
from tests.support.redis_server import RedisServer
from tests.support.scraping import by_label, samples

ECHO = b"GET /api/public/_echo"
PROFILES = b"/api/public/coworkers/profiles"
SECRET = "s" * 32
REPLACED_S = 20.0


async def checks(stage: RawStage) -> dict[str, Any]:
    """Of a process that is ready."""
    async with stage.connected() as connection:
        answer = await connection.ask(stage.request(b"GET /readyz", token=None))
    document = orjson.loads(answer.body)
    assert (answer.status, document["status"]) == (200, "ready")
    found = document["checks"]
    assert isinstance(found, dict)
    return found


async def statuses_of(stage: RawStage, host: bytes = SANDBOX) -> tuple[int, int]:
    """Of a bootstrap and of a call that is passed through, for a token that is not known yet."""
    token = stage.sandbox.tokens.mint(7001).encode()
    async with stage.connected() as connection:
        bootstrap, passed = [
            await connection.ask(stage.request(line, token=token, host=host))
            for line in (b"GET /session/bootstrap", ECHO)
        ]
    for answer in (bootstrap, passed):
        assert answer.status == 200 or answer.values(b"retry-after")
    return bootstrap.status, passed.status


async def gone(peer: Peer, _: Received) -> None:
    """A Nexudus that is down."""
    peer.reset()


async def test_a_start_without_redis_and_nexudus_serves_what_it_can(
    tmp_path: Path, own_redis: RedisServer
) -> None:
    own_redis.kill()
    variables = {
        "BFF_REDIS_URL": own_redis.url, "BFF_SECRET": SECRET, "BFF_OPS_TOKEN": OPS_TOKEN,
    }  # fmt: skip
    async with raw_stage(tmp_path, **variables) as stage:
        stage.scripts.update(dict.fromkeys((b"/api/public/_echo", PROFILES), gone))
        assert await statuses_of(stage, SCRIPTED) == (503, 503)
        assert await statuses_of(stage) == (200, 200)
        told = await checks(stage)
        assert told["store"] == "away: served without it"
        assert told["invalidations"] == "not heard: copies in process are used for 5 s at most"
        assert not await shares(stage), "it cannot ask whether it may"
        own_redis.start()
        await until(lambda: redis_is_used(stage))
        await until(lambda: shares(stage))
        assert await statuses_of(stage) == (200, 200)
    stage.assert_nothing_leaked()


async def redis_is_used(stage: RawStage) -> bool:
    """As the shared store, and to hear of the invalidations of others."""
    told = await checks(stage)
    return (told["store"], told["invalidations"]) == ("used", "heard")


async def shares(stage: RawStage) -> bool:
    """Whether no space's related lists are kept for each token."""
    async with stage.connected() as connection:
        asked = stage.request(b"GET /metrics", token=OPS_TOKEN.encode())
        answer = await connection.ask(asked)
    found = by_label(samples(answer.body.decode()), "bff_related_per_token", "space")
    assert found
    return not any(found.values())


async def all_listen(stage: RawStage) -> bool:
    """Whether both workers do."""
    return listeners(stage.port) == 2


def listeners(port: int) -> int:
    """Sockets that listen on a loopback port: one for each worker that serves."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    places = [line.split()[1] for line in lines if line.split()[3] == "0A"]
    return sum(int(place.partition(":")[2], 16) == port for place in places)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_a_worker_that_dies_is_replaced_while_the_other_serves(
    tmp_path: Path, redis_url: str
) -> None:
    variables = {"BFF_REDIS_URL": redis_url, "BFF_SECRET": SECRET, "BFF_WORKERS": "2"}
    async with raw_stage(tmp_path, **variables) as stage, AsyncExitStack() as stack:
        await until(lambda: all_listen(stage))
        kept = [await stack.enter_async_context(stage.connected()) for _ in range(40)]
        for connection in kept:
            assert (await connection.ask(stage.request(ECHO))).status == 200
        first, second = children_of(stage.process.pid)
        os.kill(first, signal.SIGKILL)
        began = time.monotonic()
        failures = 0
        while listeners(stage.port) < 2:
            assert time.monotonic() - began < REPLACED_S
            # What the dead one had not accepted yet is reset with it, and nothing else.
            failures += not await is_served(stage)
        assert failures <= 1
        assert await served_of(stage, kept) in range(1, 40)
        assert second in children_of(stage.process.pid)
        for _ in range(10):
            assert await is_served(stage)
    assert "Unexpected exit" in stage.log.read_text()


async def is_served(stage: RawStage) -> bool:
    """On a connection of its own."""
    try:
        async with stage.connected() as connection:
            return (await connection.ask(stage.request(ECHO))).status == 200
    except (ConnectionError, asyncio.IncompleteReadError):
        return False


async def served_of(stage: RawStage, connections: list[RawConnection]) -> int:
    """How many of these are still open and good."""
    served = 0
    for connection in connections:
        try:
            served += (await connection.ask(stage.request(ECHO))).status == 200
        except (ConnectionError, asyncio.IncompleteReadError):
            continue
    return served
