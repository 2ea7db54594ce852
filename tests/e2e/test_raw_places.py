"""Connections to Nexudus that somebody holds for nothing, on raw sockets: others are served."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.raw_client import Answer
from tests.support.raw_stage import SANDBOX, SCRIPTED, RawStage, raw_stage
from tests.support.raw_upstream import Peer, Received

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLACES = 16
QUICK = b"/api/quick"
PROFILES = b"/api/public/coworkers/profiles"
AT_ONCE_S = 4.0
"""Sooner than anybody is given up."""
CHUNKED = b"Transfer-Encoding: chunked"
A_BYTE = b"1\r\nx\r\n"
MUCH = b"20000\r\n" + bytes(0x20000) + b"\r\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RawStage]:
    folder: Path = tmp_path_factory.mktemp("raw")
    async with raw_stage(folder, BFF_MAX_CONNECTIONS=str(PLACES)) as stage:
        yield stage
    stage.assert_nothing_leaked()


class Endless:
    """Downloads for as long as they are read, uploads read to their end, silence on profiles."""

    def __init__(self, stage: RawStage, target: bytes) -> None:
        self._begun = asyncio.Semaphore(0)
        stage.scripts[target] = self._answer

    async def begun(self, calls: int) -> None:
        async with asyncio.timeout(20):
            for _ in range(calls):
                await self._begun.acquire()

    async def _answer(self, peer: Peer, received: Received) -> None:
        self._begun.release()
        if received.target == PROFILES:
            await peer.closed()
        if received.method == "GET":
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % 2**40)
            while True:
                await peer.send(bytes(65536))
        async for _ in peer.chunks():
            pass


async def quick(peer: Peer, _: Received) -> None:
    await peer.answer(b"quick")


async def asked(stage: RawStage, line: bytes, host: bytes, token: bytes | None = b"") -> Answer:
    """At once, or not at all."""
    request = stage.request(line, b"Content-Length: 0", host=host, token=token)
    began = time.monotonic()
    async with stage.connected() as connection:
        answer = await connection.ask(request)
    assert time.monotonic() - began < AT_ONCE_S
    return answer


@pytest.mark.parametrize(
    ("line", "token", "body", "reached"),
    [
        (b"POST /api/a", None, A_BYTE, 0),
        (b"POST /api/b", None, MUCH, PLACES // 4),
        (b"POST /api/c", b"anything", MUCH, PLACES // 4),
        (b"GET /api/d", b"anything", b"", PLACES // 2),
    ],
    ids=["a byte", "much", "much, as somebody", "unread"],
)
async def test_clients_that_stand_still_in_one_space_hold_up_no_other(
    stage: RawStage, line: bytes, token: bytes | None, body: bytes, reached: int
) -> None:
    """Nor, unless they read nothing, their own."""
    endless = Endless(stage, line.split()[1])
    stage.scripts[QUICK] = quick
    field = CHUNKED if body else b"X-Nothing: 1"
    async with AsyncExitStack() as stack:
        for _ in range(2 * PLACES):
            slow = await stack.enter_async_context(stage.connected())
            await slow.send(stage.request(line, field, host=SCRIPTED, token=token, body=body))
        await endless.begun(reached)
        for target in (b"GET /api/public/_echo", b"GET /session/bootstrap"):
            for _ in range(3):
                assert (await asked(stage, target, SANDBOX)).status == 200
        assert (await asked(stage, b"POST /api/token", SANDBOX, token=None)).status == 400
        if body:
            for caller in (None, b"member"):
                answer = await asked(stage, b"POST " + QUICK, SCRIPTED, token=caller)
                assert answer.status == 200
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await endless.begun(1)


async def test_a_space_whose_nexudus_is_silent_holds_up_no_other(stage: RawStage) -> None:
    """Its cached lists are asked for by many at once."""
    silent = Endless(stage, PROFILES)
    async with AsyncExitStack() as stack:
        for number in range(2 * PLACES):
            caller = await stack.enter_async_context(stage.connected())
            token = b"somebody-%d" % number
            await caller.send(stage.request(b"GET " + PROFILES, host=SCRIPTED, token=token))
        await silent.begun(PLACES // 2)
        answer = await asked(stage, b"GET " + PROFILES, SANDBOX, token=stage.carlos)
        assert (answer.status, b"miss" in answer.values(b"cache-status")[0]) == (200, True)
        assert (await asked(stage, b"GET /api/public/_echo", SANDBOX)).status == 200
