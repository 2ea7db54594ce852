"""Pitfall 18 and slow, large and broken exchanges, on raw sockets: bounded in time and memory."""

from __future__ import annotations

import asyncio
import hashlib
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
import pytest_asyncio

from bff.sandbox.effects import Override
from tests.support.raw_stage import SCRIPTED, RawStage, raw_stage
from tests.support.raw_upstream import Peer, Received

pytestmark = pytest.mark.asyncio(loop_scope="module")

ECHO = b"/api/public/_echo"
PROFILES = b"/api/public/coworkers/profiles"
RELATED = b"/api/public/coworkers/published/101/related"
BOOTSTRAP = b"/session/bootstrap"
DEADLINE_S = 5
MIB = 2**20
MAX_BODY = MIB


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RawStage]:
    folder = tmp_path_factory.mktemp("raw")
    limits = {"BFF_MAX_BODY": str(MAX_BODY), "BFF_DEADLINE_S": str(DEADLINE_S)}
    async with raw_stage(folder, **limits) as stage:
        yield stage
    stage.assert_nothing_leaked()


@pytest_asyncio.fixture(loop_scope="module")
async def stage(whole: RawStage) -> AsyncIterator[RawStage]:
    """The gateway of all tests here, which has to be as good as new after each."""
    yield whole
    whole.fail()
    async with whole.connected() as connection:
        answer = await connection.ask(whole.request(b"GET " + ECHO))
        assert answer.status == 200


def peak_mib(pid: int) -> int:
    """The most memory that a process and its children ever had, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(line.split()[1]) // 1024 + sum(peak_mib(int(child)) for child in children)


class Memory:
    """How much the gateway's peak has grown since."""

    def __init__(self, stage: RawStage) -> None:
        self._pid = stage.process.pid
        self._before = peak_mib(self._pid)

    def assert_bounded(self, growth_mib: int) -> None:
        assert peak_mib(self._pid) - self._before < growth_mib


only_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@only_linux
@pytest.mark.parametrize(
    ("shape", "status"),
    [
        (b",".join(b"p%d" % i for i in range(10_000)), {400, 414, 431}),
        (b",".join([b"a"] * 10_000), {400}),
        (b".".join([b"a"] * 10_000), {400}),
        (b"a" + b"[]" * 10_000, {400}),
        (b"a" * 20_000, {400}),
        (b"%2e" * 2_000, {400}),
        (b"a," * 1_000, {400}),
        (b"a." * 1_000 + b"a", {400}),
    ],
)
@pytest.mark.parametrize("target", [BOOTSTRAP, PROFILES, RELATED])
async def test_pitfall_18_an_endless_shape_is_refused(
    stage: RawStage, target: bytes, shape: bytes, status: set[int]
) -> None:
    memory, began = Memory(stage), time.monotonic()
    async with stage.connected() as connection:
        answer = await connection.ask(stage.request(b"GET " + target + b"?_shape=" + shape))
    assert answer.status in status
    assert time.monotonic() - began < DEADLINE_S
    memory.assert_bounded(20)


@only_linux
@pytest.mark.parametrize(
    "head",
    [
        b"GET /api/" + b"a" * 2**16,
        b"GET /api/public/_echo?" + b"a" * 2**16,
        b"GET /" + b"/a" * 2**15,
        b"GET /api/public/_echo HTTP/1.1\r\nX-A: " + b"a" * MIB,
        b"GET /api/public/_echo HTTP/1.1\r\n" + b"a" * MIB + b": a",
        b"GET /api/public/_echo HTTP/1.1" + b"\r\nX-A: a" * 200,
        b"GET /api/public/_echo HTTP/1.1" + b"\r\nCookie: " + b"a=b; " * 20_000,
        b"A" * MIB,
    ],
)
async def test_pitfall_18_an_endless_head_is_refused(stage: RawStage, head: bytes) -> None:
    stage.visits()
    memory = Memory(stage)
    version = b"" if b"HTTP/1.1" in head else b" HTTP/1.1"
    end = b"\r\nHost: sandbox.test\r\nConnection: close\r\n\r\n"
    reply = await stage.spoken(head + version + end)
    assert not reply or 400 <= int(reply.split(b" ")[1]) < 500
    assert stage.visits() == []
    memory.assert_bounded(20)


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@only_linux
@pytest.mark.parametrize("depth", [300, 1_000, 1_030, 100_000])
@pytest.mark.parametrize(
    ("target", "document"),
    [
        (PROFILES, "%s"),
        (PROFILES, '{"User":{"Id":7001,"Deep":%s},"Profiles":[]}'),
        (PROFILES + b"?_shape=User.Deep.a", '{"User":{"Id":7001,"Deep":%s},"Profiles":[]}'),
        (BOOTSTRAP + b"?_shape=User", '{"User":{"Id":7001},"Profiles":[],"Deep":%s}'),
    ],
)
async def test_pitfall_18_a_document_nested_too_deep_is_unusable(
    stage: RawStage, target: bytes, document: str, depth: int
) -> None:
    stage.fail(Override(document % nested(depth)))
    token = stage.sandbox.tokens.mint(7001).encode()
    memory, began = Memory(stage), time.monotonic()
    async with stage.connected() as connection:
        answer = await connection.ask(stage.request(b"GET " + target, token=token))
    assert answer.status == 502
    assert time.monotonic() - began < DEADLINE_S
    memory.assert_bounded(20)


@only_linux
async def test_pitfall_18_an_answer_that_does_not_end_is_unusable(stage: RawStage) -> None:
    """Of a cached route: it has to be held whole."""

    async def endless(peer: Peer, _: Received) -> None:
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[")
        while True:
            await peer.send(b" " * 65536)

    stage.scripts[PROFILES] = endless
    memory, began = Memory(stage), time.monotonic()
    async with stage.connected() as connection:
        answer = await connection.ask(stage.request(b"GET " + PROFILES, host=SCRIPTED))
    assert answer.status == 502
    assert time.monotonic() - began < DEADLINE_S
    memory.assert_bounded(60)


DOWNLOAD = 100 * MIB


@only_linux
async def test_a_download_is_streamed(stage: RawStage) -> None:
    """100 MB, of which none is read before the upstream can send no more."""
    sent = 0

    async def download(peer: Peer, _: Received) -> None:
        nonlocal sent
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % DOWNLOAD)
        for _part in range(DOWNLOAD // 65536):
            await peer.send(bytes(65536))
            sent += 65536

    stage.scripts[b"/api/download"] = download
    memory = Memory(stage)
    async with stage.connected() as connection:
        await connection.send(stage.request(b"GET /api/download", host=SCRIPTED))
        head = await connection.head()
        assert head.values(b"content-length") == (b"%d" % DOWNLOAD,)
        held = -1
        while held != sent:  # until it stands still
            held = sent
            await asyncio.sleep(0.1)
        assert held < DOWNLOAD // 2
        left = DOWNLOAD
        while left:
            left -= len(await connection.reader.read(MIB))
        assert (await connection.ask(stage.request(b"GET " + ECHO))).status == 200
    memory.assert_bounded(40)


@only_linux
async def test_an_upload_is_streamed(stage: RawStage) -> None:
    """As much as is allowed, in small chunks."""
    parts = [bytes([i % 256]) * 1024 for i in range(MAX_BODY // 1024)]
    memory = Memory(stage)
    async with stage.connected() as connection:
        await connection.send(stage.request(b"POST " + ECHO, b"Transfer-Encoding: chunked"))
        for part in parts:
            await connection.send(b"400\r\n" + part + b"\r\n")
        answer = await connection.ask(b"0\r\n\r\n")
        body = orjson.loads(answer.body)["Body"]
        digest = hashlib.sha256(b"".join(parts)).hexdigest()
        assert (body["Bytes"], body["Sha256"]) == (MAX_BODY, digest)
    memory.assert_bounded(20)


@pytest.mark.parametrize("expect", [(), (b"Expect: 100-continue",)])
async def test_a_body_that_declares_too_much_is_not_asked_for(
    stage: RawStage, expect: tuple[bytes, ...]
) -> None:
    stage.visits()
    length = b"Content-Length: %d" % (MAX_BODY + 1)
    async with stage.connected() as connection:
        answer = await connection.ask(stage.request(b"POST " + ECHO, length, *expect))
        assert answer.status == 413
        await connection.send(stage.request(b"GET " + ECHO))
        assert await connection.rest() == b""
    assert stage.visits() == []


async def test_a_body_that_turns_out_too_large_is_refused(stage: RawStage) -> None:
    read = asyncio.Event()

    async def reading(peer: Peer, _: Received) -> None:
        try:
            async for _part in peer.chunks():
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            read.set()
            raise

    stage.scripts[b"/api/upload"] = reading
    coding = b"Transfer-Encoding: chunked"
    async with stage.connected() as connection:
        await connection.send(stage.request(b"POST /api/upload", coding, host=SCRIPTED))
        for _ in range(MAX_BODY // 65536 + 1):
            await connection.send(b"10000\r\n" + bytes(65536) + b"\r\n")
        answer = await connection.answer()
        assert answer.status == 413
        async with asyncio.timeout(20):
            await read.wait()  # the upstream was told that the body is not whole
