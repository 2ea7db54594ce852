"""What becomes of a connection: answers in order, framing after errors, slow and lost clients."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import orjson
import pytest
import pytest_asyncio

from bff.nexudus.upload import AHEAD
from bff.sandbox.effects import Html200, Latency, Status
from bff.sandbox.faults import Match, Rule
from tests.support.raw_client import RawConnection
from tests.support.raw_stage import SCRIPTED, RawStage, raw_stage
from tests.support.raw_upstream import Peer, Received

pytestmark = pytest.mark.asyncio(loop_scope="module")

ECHO = b"/api/public/_echo"
PROFILES = b"/api/public/coworkers/profiles"
BOOTSTRAP = b"/session/bootstrap"
CHUNKED = b"Transfer-Encoding: chunked"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RawStage]:
    async with raw_stage(tmp_path_factory.mktemp("raw")) as stage:
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


@pytest.mark.parametrize("target", [PROFILES, BOOTSTRAP, ECHO])
async def test_pitfall_7_pipelined_answers_are_their_callers_own(
    stage: RawStage, target: bytes
) -> None:
    """Two members behind one proxy connection; the first answer is the slowest."""
    slow = Match(token=stage.jane.decode())
    stage.sandbox.faults.replace([Rule(Latency(ms=50), slow, count=1)])
    members = [(stage.jane, 7001), (stage.carlos, 7002)] * 3
    async with stage.connected() as connection:
        requests = [stage.request(b"GET " + target, token=token) for token, _ in members]
        await connection.send(b"".join(requests))
        for token, user_id in members:
            answer = await connection.answer()
            assert answer.status == 200
            if target == ECHO:
                assert token in answer.body
            else:
                assert orjson.loads(answer.body)["User"]["Id"] == user_id


async def test_a_connection_outlives_errors(stage: RawStage) -> None:
    new = stage.sandbox.tokens.mint(7002)
    stage.sandbox.faults.replace(
        [
            Rule(Html200(), Match(token=new)),
            Rule(Status(409, retry_after=1), Match(path_prefix="/api/public/busy")),
        ]
    )
    asked = [
        (400, b"GET", stage.request(b"GET " + BOOTSTRAP + b"?_shape=a..b")),
        (401, b"GET", stage.request(b"GET " + BOOTSTRAP, token=None)),
        (401, b"HEAD", stage.request(b"HEAD " + PROFILES, token=b"nobody")),
        (401, b"GET", stage.request(b"GET " + PROFILES, token=b"nobody")),
        (404, b"HEAD", stage.request(b"HEAD /nothing")),
        (404, b"GET", stage.request(b"GET /api//public")),
        (404, b"GET", stage.request(b"GET /api/public/nothing")),
        (405, b"DELETE", stage.request(b"DELETE " + BOOTSTRAP)),
        (409, b"GET", stage.request(b"GET /api/public/busy")),
        (421, b"GET", stage.request(b"GET " + PROFILES, host=b"elsewhere.test")),
        (404, b"PATCH", stage.request(b"PATCH /nothing", b"Content-Length: 2", body=b"ab")),
        (502, b"GET", stage.request(b"GET " + PROFILES, token=new.encode())),
        (200, b"GET", stage.request(b"GET " + PROFILES)),
    ]
    async with stage.connected() as connection:
        for status, method, request in asked:
            assert (await connection.ask(request, method.decode())).status == status


async def test_answers_without_a_body_keep_their_place(stage: RawStage) -> None:
    """HEAD, 204 and 304 in all the forms that an upstream gives them."""
    forms = [
        ("HEAD", b"200 OK\r\nContent-Length: 100"),
        ("HEAD", b"200 OK\r\nTransfer-Encoding: chunked"),
        ("HEAD", b"404 Not Found\r\nContent-Length: 100"),
        ("GET", b"204 No Content"),
        ("GET", b"204 No Content\r\nContent-Length: 0"),
        ("DELETE", b"204 No Content"),
        ("GET", b'304 Not Modified\r\nETag: "a"'),
        ("GET", b'304 Not Modified\r\nETag: "a"\r\nContent-Length: 100'),
        ("GET", b"200 OK\r\nContent-Length: 0"),
    ]

    async def bodiless(peer: Peer, received: Received) -> None:
        (place,) = received.values(b"if-match")
        await peer.send(b"HTTP/1.1 " + forms[int(place)][1] + b"\r\n\r\n")

    stage.scripts[b"/api/bodiless"] = bodiless
    async with stage.connected() as connection:
        for place, (method, form) in enumerate(forms):
            line, chosen = method.encode() + b" /api/bodiless", b"If-Match: %d" % place
            answer = await connection.ask(stage.request(line, chosen, host=SCRIPTED), method)
            assert answer.status == int(form[:3])
        profiles = await connection.ask(stage.request(b"GET " + PROFILES))
        (validator,) = profiles.values(b"etag")
        known = stage.request(b"GET " + PROFILES, b"If-None-Match: " + validator)
        assert (await connection.ask(known)).status == 304
        head = await connection.ask(stage.request(b"HEAD " + PROFILES), "HEAD")
        assert head.values(b"content-length") == (b"%d" % len(profiles.body),)
        assert (await connection.ask(stage.request(b"GET " + PROFILES))).body == profiles.body


async def test_a_body_is_asked_for_when_it_is_wanted(stage: RawStage) -> None:
    """`Expect: 100-continue` (RFC 9110 10.1.1)."""
    expecting = (b"Expect: 100-continue", b"Content-Length: 5")
    async with stage.connected() as connection:
        refused = await connection.ask(stage.request(b"POST /nothing", *expecting))
        assert refused.status == 404
    async with stage.connected() as connection:
        await connection.send(stage.request(b"POST " + ECHO, *expecting))
        assert (await connection.head()).status == 100
        document = orjson.loads((await connection.ask(b"12345")).body)
        assert document["Body"]["Bytes"] == 5
        assert "expect" not in dict(document["Headers"])


@pytest.mark.parametrize("answering", [False, True])
async def test_a_client_that_leaves_ends_the_call(stage: RawStage, answering: bool) -> None:
    """In the middle of its upload, or of its download."""
    began, left = asyncio.Event(), asyncio.Event()

    async def abandoned(peer: Peer, _: Received) -> None:
        await peer.reader.readexactly(AHEAD)
        began.set()
        try:
            if answering:
                await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
                while True:
                    await peer.send(bytes(65536))
            await peer.closed()
        finally:
            left.set()

    stage.scripts[b"/api/abandoned"] = abandoned
    length = b"Content-Length: %d" % (AHEAD if answering else 2 * AHEAD)
    request = stage.request(b"POST /api/abandoned", length, host=SCRIPTED, body=bytes(AHEAD))
    async with stage.connected() as connection, asyncio.timeout(10):
        await connection.send(request)
        await began.wait()
        if answering:
            await connection.reader.readexactly(2**20)
        connection.leave()
        await left.wait()


async def test_pitfall_8_lost_clients_leave_no_mark(stage: RawStage) -> None:
    """Members leave at every moment of a pass-through; the next one gets their own answer."""
    stage.sandbox.faults.replace([Rule(Latency(ms=2))])
    for moment in range(40):
        async with stage.connected() as connection:
            await connection.send(stage.request(b"GET " + ECHO, token=stage.jane))
            await asyncio.sleep(moment / 10_000)
            connection.leave()
        async with stage.connected() as connection:
            answer = await connection.ask(stage.request(b"GET " + ECHO, token=stage.carlos))
            assert stage.carlos in answer.body
            assert stage.jane not in answer.body


IMPATIENT = (
    "import bff.serve, bff.cli; bff.serve.HEAD_TIMEOUT_S = 2; bff.cli.main()",
    "serve",
)


async def test_a_slow_client_keeps_nobody_waiting(tmp_path: Path) -> None:
    """Heads that never end, connections that say nothing, a body that stops.

    granian closes without a word where a head is not whole, or an idle connection has asked for
    nothing, HEAD_TIMEOUT_S after it began to wait; bytes that trickle in do not put it off.
    """
    command = (sys.executable, "-c", *IMPATIENT)
    async with (
        raw_stage(tmp_path, *command, BFF_STREAM_TIMEOUT_S="1") as stage,
        AsyncExitStack() as stack,
    ):

        async def another() -> RawConnection:
            return await stack.enter_async_context(stage.connected())

        slow = [await another() for _ in range(200)]
        for connection in slow[::2]:
            await connection.send(stage.request(b"GET " + ECHO)[:-2] + b"X-A: ")
        trickle = asyncio.create_task(_trickle(slow[0].writer))
        quick, stopped = await another(), await another()
        assert (await quick.ask(stage.request(b"GET " + ECHO))).status == 200
        await stopped.send(stage.request(b"POST " + ECHO, b"Content-Length: 5", body=b"123"))
        for connection in (*slow, quick):
            assert await connection.rest() == b""
        trickle.cancel()
        given_up = await stopped.answer()
        assert (given_up.status, orjson.loads(given_up.body)["status"]) == (408, 408)
        assert await stopped.rest() == b""
    stage.assert_nothing_leaked()


async def _trickle(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"a")
        await asyncio.sleep(0.05)
