"""Pitfalls 16 and 17 on raw sockets: headers that mislead, and targets that lead elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import orjson
import pytest
import pytest_asyncio

from tests.support.raw_client import statuses
from tests.support.raw_stage import SCRIPTED, RawStage, raw_stage
from tests.support.raw_upstream import Peer, Received

pytestmark = pytest.mark.asyncio(loop_scope="module")

ECHO = b"/api/public/_echo"
PROFILES = b"/api/public/coworkers/profiles"
NAMED = b"Connection: Authorization"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RawStage]:
    async with raw_stage(tmp_path_factory.mktemp("raw")) as stage:
        yield stage
    stage.assert_nothing_leaked()


@pytest_asyncio.fixture(loop_scope="module")
async def stage(whole: RawStage) -> AsyncIterator[RawStage]:
    """The gateway of all tests here; the stranger must not have heard of any of them."""
    whole.visits()
    yield whole
    assert whole.stranger.visits == 0


@pytest.mark.parametrize("host", [None, b""])
async def test_pitfall_16_a_request_without_a_host_is_refused(
    stage: RawStage, host: bytes | None
) -> None:
    async with stage.connected() as connection:
        answer = await connection.ask(stage.request(b"GET " + ECHO, host=host))
        assert answer.status in (400, 421)
    assert stage.visits() == []


async def test_pitfall_16_two_hosts_are_refused(stage: RawStage) -> None:
    async with stage.connected() as connection:
        answer = await connection.ask(stage.request(b"GET " + ECHO, b"Host: evil.example"))
        assert answer.status == 400
    assert stage.visits() == []


SPOOFED = (
    b"Connection: keep-alive, X-Named",
    b"X-Named: 1",
    b"X-Forwarded-For: 10.0.0.1",
    b"X_Forwarded_For: 10.0.0.1",
    b"X-Forwarded-Host: evil.example",
    b"X-Forwarded-Proto: http",
    b"X-Forwarded-Port: 1",
    b"X-Forwarded-Prefix: /evil",
    b"Forwarded: host=evil.example",
    b"X-Real-IP: 10.0.0.1",
    b"X-Original-URL: /evil",
    b"X-Rewrite-URL: /evil",
    b"X-HTTP-Method-Override: DELETE",
    b"X-HTTP-Method: DELETE",
    b"X-Method-Override: DELETE",
    b"Proxy: http://evil.example",
    b"Proxy-Authorization: Basic eDp5",
    b"Via: 1.1 evil.example",
    b"TE: trailers",
    b"Keep-Alive: timeout=1000",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    b"Authorization-Extra: x",
    b"Authorization_: x",
)


async def test_pitfall_16_nothing_that_could_rewrite_a_request_goes_up(stage: RawStage) -> None:
    async with stage.connected() as connection:
        answer = await connection.ask(stage.request(b"GET " + ECHO, *SPOOFED, b"Accept: a/b"))
        document = orjson.loads(answer.body)
        assert (document["Method"], document["RawPath"]) == ("GET", ECHO.decode())
        names = sorted(name for name, _ in document["Headers"])
        assert names == ["accept", "authorization", "host"]
        # The bootstrap has no use for any of them either.
        plain = await connection.ask(stage.request(b"GET /session/bootstrap"))
        spoofed = await connection.ask(stage.request(b"GET /session/bootstrap", *SPOOFED))
        assert (plain.status, spoofed.body) == (200, plain.body)


async def test_pitfall_16_a_bearer_named_by_connection_makes_no_public_answer(
    stage: RawStage,
) -> None:
    async with stage.connected() as connection:
        answer = await connection.ask(stage.request(b"GET " + ECHO, NAMED))
        said = b",".join(answer.values(b"cache-control"))
        assert answer.status == 400 or b"private" in said or b"no-store" in said


async def test_pitfall_16_a_bearer_named_by_connection_is_cached_for_nobody(
    stage: RawStage,
) -> None:
    async with stage.connected() as connection:
        await connection.ask(stage.request(b"GET " + ECHO, NAMED))
        answer = await connection.ask(stage.request(b"GET " + ECHO))
        assert stage.jane in answer.body
        for target in (PROFILES, b"/session/bootstrap"):
            # The gateway reads the header itself, or refuses; it never asks without it.
            answer = await connection.ask(stage.request(b"GET " + target, NAMED))
            assert answer.status in (200, 400)
            answer = await connection.ask(stage.request(b"GET " + target))
            assert orjson.loads(answer.body)["User"]["Id"] == 7001
            answer = await connection.ask(stage.request(b"GET " + target, NAMED, token=None))
            assert answer.status in (400, 401)


@pytest.mark.parametrize("target", [ECHO, PROFILES, b"/session/bootstrap"])
@pytest.mark.parametrize("name", [b"Authorization", b"authorization"])
async def test_pitfall_16_two_bearers_are_refused(
    stage: RawStage, target: bytes, name: bytes
) -> None:
    second = name + b": Bearer " + stage.carlos
    async with stage.connected() as connection:
        answer = await connection.ask(stage.request(b"GET " + target, second))
        assert answer.status in (400, 401)
    assert stage.visits() == []


@pytest.mark.parametrize(
    "target",
    [
        b"//evil.example/api/public/_echo",
        b"/@evil.example/api",
        b"/\\evil.example/api",
        b"*",
        b"/api/public/../_echo",
        b"/api/public%2f_echo",
    ],
)
@pytest.mark.parametrize("method", [b"GET", b"POST", b"OPTIONS", b"CONNECT"])
async def test_pitfall_17_a_target_that_is_no_plain_path_is_refused(
    stage: RawStage, method: bytes, target: bytes
) -> None:
    line = method + b" " + target.replace(b"evil.example", b"127.0.0.1:%d" % stage.stranger.port)
    reply = await stage.spoken(stage.request(line, b"Connection: close"))
    assert statuses(reply)[:1] in ([400], [404], [405], [])
    assert stage.visits() == []


@pytest.mark.parametrize("method", [b"GET", b"POST", b"CONNECT"])
async def test_pitfall_17_a_target_that_is_a_host_is_refused(
    stage: RawStage, method: bytes
) -> None:
    line = method + b" 127.0.0.1:%d" % stage.stranger.port
    reply = await stage.spoken(stage.request(line, b"Connection: close"))
    assert statuses(reply) in ([400], [404], [405], [])
    assert stage.visits() == []


async def test_pitfall_17_an_absolute_target_names_no_upstream(stage: RawStage) -> None:
    """granian keeps its path alone: whatever host it names, the Host header decides."""
    line = b"GET http://127.0.0.1:%d" % stage.stranger.port + ECHO
    async with stage.connected() as connection:
        answer = await connection.ask(stage.request(line))
        sent = dict(orjson.loads(answer.body)["Headers"])
        assert sent["host"] == f"127.0.0.1:{urlsplit(stage.sandbox_origin).port}"
        answer = await connection.ask(stage.request(line, host=None))
        assert answer.status in (400, 421)
    assert len(stage.visits()) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_pitfall_17_a_redirect_is_passed_on_and_not_followed(
    stage: RawStage, status: int
) -> None:
    for to in (
        b"http://127.0.0.1:%d/collect" % stage.stranger.port,
        b"http://169.254.169.254/latest/meta-data",
        b"//127.0.0.1:%d/collect" % stage.stranger.port,
    ):
        async with stage.connected() as connection:
            target = b"/api/public/_redirect/other?status=%d&to=%s" % (status, to)
            answer = await connection.ask(stage.request(b"GET " + target))
            assert (answer.status, answer.values(b"location")) == (status, (to,))


@pytest.mark.parametrize(
    "target", [PROFILES, b"/session/bootstrap", b"/api/public/coworkers/published/101/related"]
)
async def test_pitfall_17_no_cached_call_follows_a_redirect(stage: RawStage, target: bytes) -> None:
    to = b"http://127.0.0.1:%d/collect" % stage.stranger.port
    asked = []

    async def redirect(peer: Peer, received: Received) -> None:
        asked.append(received.target)
        await peer.answer(b"", b"HTTP/1.1 302 Found\r\nLocation: " + to)

    stage.scripts[PROFILES] = redirect
    async with stage.connected() as connection:
        answer = await connection.ask(stage.request(b"GET " + target, host=SCRIPTED))
        assert (answer.status, answer.values(b"location")) == (302, (to,))
    assert asked == [PROFILES]
