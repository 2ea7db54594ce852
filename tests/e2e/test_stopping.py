"""How `bff serve` ends: what is under way is finished, nobody new is kept waiting, 0 comes out."""

from __future__ import annotations

import asyncio
import ctypes
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest

from tests.support.raw_client import Answer
from tests.support.raw_stage import SCRIPTED, RawStage, raw_stage
from tests.support.raw_upstream import Peer, Received

READY = b"GET /readyz"
HELD = b"/api/held"
DOWNLOAD = b"/api/download"
PARTS = 20
STOP_S = 1
STOP_TIMEOUT_S = 10
"""After which whatever holds the end up is cut, unless it is set."""


class Held:
    """Upstream calls that wait for the test."""

    def __init__(self, stage: RawStage) -> None:
        self._arrivals = asyncio.Semaphore(0)
        self.go_on = asyncio.Event()
        stage.scripts[HELD] = self._answer
        stage.scripts[DOWNLOAD] = self._download

    async def arrived(self, calls: int) -> None:
        async with asyncio.timeout(10):
            for _ in range(calls):
                await self._arrivals.acquire()

    async def _answer(self, peer: Peer, _: Received) -> None:
        self._arrivals.release()
        await self.go_on.wait()
        await peer.answer(b"held")

    async def _download(self, peer: Peer, _: Received) -> None:
        self._arrivals.release()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (PARTS * 1000))
        for part in range(PARTS):
            if part == 1:
                await self.go_on.wait()
            await peer.send(bytes(1000))


@asynccontextmanager
async def running(
    folder: Path, workers: int, redis_url: str, *command: str, **variables: str
) -> AsyncIterator[RawStage]:
    """A gateway of so many workers."""
    shared = {"BFF_REDIS_URL": redis_url, "BFF_SECRET": "s" * 32} if workers > 1 else {}
    own = {"BFF_WORKERS": str(workers), **shared, **variables}
    async with raw_stage(folder, *command, **own) as stage:
        yield stage
    log = stage.log.read_text()
    stage.assert_nothing_leaked()
    assert "never retrieved" not in log
    assert "Task was destroyed" not in log


async def refused(stage: RawStage) -> None:
    """Returns once nobody is accepted any more; nobody waits until then."""
    async with asyncio.timeout(20):
        while True:
            try:
                async with stage.connected() as late, asyncio.timeout(4):
                    await late.ask(stage.request(READY))
            except ConnectionRefusedError:
                return
            except (ConnectionError, asyncio.IncompleteReadError):
                pass  # accepted in the very moment


async def ended(stage: RawStage, within_s: float) -> int:
    async with asyncio.timeout(within_s):
        return await stage.process.wait()


@pytest.mark.parametrize("workers", [1, 2])
async def test_what_is_under_way_is_finished(tmp_path: Path, workers: int, redis_url: str) -> None:
    """While idle connections, new ones among them, are closed at once and hold nothing up."""
    async with running(tmp_path, workers, redis_url) as stage:
        held = Held(stage)
        async with (
            stage.connected() as asking,
            stage.connected() as loading,
            stage.connected() as idle,
            stage.connected() as silent,
        ):
            assert (await idle.ask(stage.request(READY))).status == 200
            await asking.send(stage.request(b"GET " + HELD, host=SCRIPTED))
            await loading.send(stage.request(b"GET " + DOWNLOAD, host=SCRIPTED))
            await held.arrived(2)
            assert (await loading.head()).status == 200
            stage.process.terminate()
            await refused(stage)
            assert (await idle.rest(), await silent.rest()) == (b"", b"")
            held.go_on.set()
            answer = await asking.answer()
            assert (answer.status, answer.body) == (200, b"held")
            assert answer.values(b"connection") == (b"close",)
            assert await loading.rest() == bytes(PARTS * 1000)
        assert await ended(stage, within_s=STOP_TIMEOUT_S - 1) == 0


async def test_what_does_not_end_is_cut(tmp_path: Path, redis_url: str) -> None:
    """A call that Nexudus never answers, and a head that is never whole."""
    async with running(tmp_path, 2, redis_url, BFF_STOP_TIMEOUT_S=str(STOP_S)) as stage:
        held = Held(stage)
        async with stage.connected() as asking, stage.connected() as half:
            await half.send(stage.request(READY)[:-2])
            await asking.send(stage.request(b"GET " + HELD, host=SCRIPTED))
            await held.arrived(1)
            began = time.monotonic()
            stage.process.terminate()
            assert await ended(stage, within_s=STOP_TIMEOUT_S - 1) == 0
            assert time.monotonic() - began > STOP_S * 0.9
            assert (await asking.rest(), await half.rest()) == (b"", b"")


async def test_readiness_is_off_before_anybody_is_refused(tmp_path: Path, redis_url: str) -> None:
    """Members are served as before, and connections are closed after their next use.

    A second signal ends the wait.
    """
    async with running(tmp_path, 2, redis_url, BFF_DRAIN_S="60") as stage:
        async with stage.connected() as one, stage.connected() as another:
            kept = (one, another)
            for connection in kept:
                assert (await connection.ask(stage.request(READY))).status == 200
            stage.process.terminate()
            async with asyncio.timeout(20):
                while (told := await probed(stage)).status == 200:
                    pass
            assert told.status == 503
            assert orjson.loads(told.body)["checks"]["serving"] is False
            for connection in kept:
                answer = await connection.ask(stage.request(b"GET /session/bootstrap"))
                assert (answer.status, answer.values(b"connection")) == (200, (b"close",))
                assert await connection.rest() == b""
        stage.process.terminate()
        assert await ended(stage, within_s=STOP_TIMEOUT_S - 1) == 0


async def probed(stage: RawStage) -> Answer:
    """What a balancer is told on a connection of its own."""
    async with stage.connected() as connection:
        return await connection.ask(stage.request(READY))


@pytest.mark.skipif(sys.platform != "linux", reason="signals one thread")
async def test_a_signal_that_another_thread_was_given_ends_it_too(tmp_path: Path) -> None:
    """The kernel may choose any of them where the process was stopped for a while."""
    async with running(tmp_path, 1, "") as stage:
        async with stage.connected() as idle:
            assert (await idle.ask(stage.request(READY))).status == 200
        terminate_by_another_thread(stage.process.pid)
        assert await ended(stage, within_s=STOP_TIMEOUT_S - 1) == 0


def terminate_by_another_thread(pid: int) -> None:
    """SIGTERM for the process, given to its youngest thread."""
    youngest = max(int(task.name) for task in Path(f"/proc/{pid}/task").iterdir())
    assert youngest != pid, "it has one thread only, and nothing to be tried"
    assert ctypes.CDLL(None).tgkill(pid, youngest, signal.SIGTERM) == 0
