"""Pitfall 15 on raw sockets: what granian and the gateway make of bodies with doubtful ends.

Where granian reads more than it should and tells the gateway nothing of it, the test says what
comes of that.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import orjson
import pytest
import pytest_asyncio

from tests.support.raw_client import statuses
from tests.support.raw_stage import RawStage, raw_stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

ECHO = b"/api/public/_echo"
PROFILES = b"/api/public/coworkers/profiles"
CHUNKED = b"Transfer-Encoding: chunked"
PREFLIGHT = (b"Origin: https://app.test", b"Access-Control-Request-Method: GET")
SMUGGLED = (
    b"GET /api/public/_echo/smuggled HTTP/1.1\r\nHost: sandbox.test\r\nConnection: close\r\n\r\n"
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RawStage]:
    async with raw_stage(tmp_path_factory.mktemp("raw")) as stage:
        yield stage
    stage.assert_nothing_leaked()


@pytest_asyncio.fixture(loop_scope="module")
async def stage(whole: RawStage) -> AsyncIterator[RawStage]:
    """The gateway of all tests here, which has to be as good as new after each."""
    whole.visits()
    yield whole
    whole.fail()
    async with whole.connected() as connection:
        answer = await connection.ask(whole.request(b"GET " + ECHO))
        assert answer.status == 200


MALFORMED_HEADS: dict[str, bytes] = {
    "two lengths": b"Content-Length: 2\r\nContent-Length: 3\r\n",
    "a list of lengths": b"Content-Length: 2, 2\r\n",
    "a signed length": b"Content-Length: +2\r\n",
    "a negative length": b"Content-Length: -2\r\n",
    "a hexadecimal length": b"Content-Length: 0x2\r\n",
    "an empty length": b"Content-Length:\r\n",
    "an endless length": b"Content-Length: 99999999999999999999\r\n",
    "an unknown coding": b"Transfer-Encoding: xchunked\r\n",
    "no coding": b"Transfer-Encoding: identity\r\n",
    "a coding after chunked": b"Transfer-Encoding: chunked, identity\r\n",
    "a quoted coding": b'Transfer-Encoding: "chunked"\r\n',
    "a coding after a vertical tab": b"Transfer-Encoding: \x0bchunked\r\n",
    "a folded field": b"X-A: b\r\n c\r\n",
    "a folded coding": b"Transfer-Encoding:\r\n chunked\r\n",
    "a space before the colon": b"Content-Length : 2\r\n",
    "a space before the colon of a coding": b"Transfer-Encoding : chunked\r\n",
    "NUL in a value": b"X-A: b\x00c\r\n",
    "NUL in a name": b"X\x00A: b\r\n",
    "a bare CR": b"X-A: b\rX-B: c\r\n",
    "a name without a colon": b"X-A\r\n",
}
"""With `0\\r\\n\\r\\n` after them, which ends a body in chunks and none else."""


@pytest.mark.parametrize("fault", MALFORMED_HEADS)
async def test_pitfall_15_a_malformed_head_is_refused(stage: RawStage, fault: str) -> None:
    head = stage.request(b"POST " + ECHO)[:-2] + MALFORMED_HEADS[fault]
    reply = await stage.spoken(head + b"\r\n0\r\n\r\n" + SMUGGLED)
    assert_refused(stage, reply)


@pytest.mark.parametrize(
    "line",
    [
        b"GET " + ECHO,  # HTTP/0.9
        b"GET " + ECHO + b" HTTP/1.2",
        b"GET " + ECHO + b" HTTP/2.0",
        b"GET\t" + ECHO + b"\tHTTP/1.1",
        b"GET " + ECHO + b" x HTTP/1.1",
        b"GET api/public/_echo HTTP/1.1",
        b"GET @evil.example/api HTTP/1.1",
        b"GET " + ECHO + b"\xff HTTP/1.1",
        b"G\x00T " + ECHO + b" HTTP/1.1",
        b"PRI * HTTP/2.0",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
async def test_pitfall_15_a_malformed_first_line_is_refused(stage: RawStage, line: bytes) -> None:
    reply = await stage.spoken(line + b"\r\nHost: sandbox.test\r\n\r\n" + SMUGGLED)
    assert_refused(stage, reply)


def assert_refused(stage: RawStage, reply: bytes) -> None:
    """400 and closed, or just closed, and nothing was forwarded."""
    assert statuses(reply) in ([400], [])
    assert stage.visits() == []


@pytest.mark.parametrize("chunked_first", [True, False])
async def test_pitfall_15_after_a_length_beside_chunks_nothing_is_read(
    stage: RawStage, chunked_first: bool
) -> None:
    """granian drops the length and closes after the answer, as RFC 9112 6.3 allows."""
    fields = [CHUNKED, b"Content-Length: %d" % len(b"0\r\n\r\n" + SMUGGLED)]
    head = stage.request(b"POST " + ECHO, *(fields if chunked_first else fields[::-1]))
    reply = await stage.spoken(head + b"0\r\n\r\n" + SMUGGLED)
    assert statuses(reply) == [200]
    assert b'"Bytes":0' in reply
    assert stage.visits() == [("POST", ECHO.decode())]


async def test_pitfall_15_two_equal_lengths_are_one(stage: RawStage) -> None:
    """granian drops the second one, as RFC 9110 8.6 allows: no reader can take them for two."""
    length = b"Content-Length: 2"
    async with stage.connected() as connection:
        answer = await connection.ask(stage.request(b"POST " + ECHO, length, length, body=b"ab"))
        assert orjson.loads(answer.body)["Body"]["Bytes"] == 2
        assert (await connection.ask(stage.request(b"GET " + ECHO))).status == 200
    assert len(stage.visits()) == 2


async def test_pitfall_15_a_bare_line_feed_ends_a_field(stage: RawStage) -> None:
    """As RFC 9112 2.2 allows; what comes after it is then a field like any other."""
    lines = stage.request(b"GET " + ECHO, b"X-A: b\nContent-Length: 2\nContent-Length: 3")
    assert_refused(stage, await stage.spoken(lines + b"abc"))
    lines = stage.request(
        b"GET " + ECHO, b"X-A: b\nX-Forwarded-Host: evil.example", b"Connection: close"
    )
    reply = await stage.spoken(lines)
    assert statuses(reply) == [200]
    assert b"evil" not in reply


BAD_CHUNKS: dict[str, bytes] = {
    "no number": b"zz\r\nab\r\n",
    "nothing": b"\r\nab\r\n",
    "a sign": b"-1\r\nab\r\n",
    "a prefix": b"0x2\r\nab\r\n",
    "too great a number": b"fffffffffffffffff\r\nab\r\n",
    "a line feed after the number": b"2\nab\r\n",
    "a line feed in an extension": b"2;a\nab\r\n",
    "another end": b"2\r\nabXX",
    "a line feed at the end": b"2\r\nab\n",
    "more than the number": b"2\r\nabc\r\n",
}


@pytest.mark.parametrize("fault", BAD_CHUNKS)
async def test_pitfall_15_after_a_bad_chunk_nothing_is_read(stage: RawStage, fault: str) -> None:
    head = stage.request(b"POST " + ECHO, CHUNKED)
    reply = await stage.spoken(head + BAD_CHUNKS[fault] + b"0\r\n\r\n" + SMUGGLED)
    assert len(statuses(reply)) <= 1
    assert 200 not in statuses(reply)
    assert set(stage.visits()) <= {("POST", ECHO.decode())}


@pytest.mark.parametrize("fault", ["no number", "another end"])
@pytest.mark.parametrize("target", [ECHO, b"/api/token", b"/hooks/nexudus"])
async def test_pitfall_15_a_bad_chunk_is_refused(
    stage: RawStage, target: bytes, fault: str
) -> None:
    head = stage.request(b"POST " + target, CHUNKED)
    reply = await stage.spoken(head + BAD_CHUNKS[fault] + b"0\r\n\r\n" + SMUGGLED)
    assert statuses(reply) == [400]
    assert b"no-store" in reply


@pytest.mark.parametrize(
    "fields",
    [
        [b"Transfer-Encoding: gzip, chunked"],
        [b"Transfer-Encoding: chunked, chunked"],
        [b"Transfer-Encoding: identity", CHUNKED],
        [CHUNKED, CHUNKED],
    ],
)
@pytest.mark.parametrize("target", [ECHO, PROFILES, b"/nothing", b"/healthz"])
@pytest.mark.parametrize("preflight", [False, True])
async def test_pitfall_15_a_coding_beside_chunked_is_refused(
    stage: RawStage, target: bytes, fields: list[bytes], preflight: bool
) -> None:
    asked = PREFLIGHT if preflight else ()
    head = stage.request((b"OPTIONS " if preflight else b"POST ") + target, *asked, *fields)
    assert_refused(stage, await stage.spoken(head + b"0\r\n\r\n" + SMUGGLED))


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        (b"GET", PROFILES, 200),
        (b"GET", b"/healthz", 200),
        (b"POST", b"/session/bootstrap", 405),
        (b"POST", b"/nothing", 404),
        (b"POST", b"/api//x", 404),
        (b"POST", b"/hooks/nexudus", 401),
    ],
)
@pytest.mark.parametrize("chunked", [True, False])
async def test_pitfall_15_a_body_that_nobody_wants_is_no_request(
    stage: RawStage, method: bytes, target: bytes, status: int, chunked: bool
) -> None:
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED) if chunked else SMUGGLED
    framing = CHUNKED if chunked else b"Content-Length: %d" % len(body)
    last = stage.request(b"GET " + ECHO + b"/last", b"Connection: close")
    first = stage.request(method + b" " + target, framing, body=body)
    reply = await stage.spoken(first + last)
    assert statuses(reply) in ([status], [status, 200])
    assert ("GET", f"{ECHO.decode()}/smuggled") not in stage.visits()
