"""Whatever is asked of any route, on raw sockets: a 4xx with a sentence, at once, in little memory.

What is malformed is in `test_raw_sockets`, single bombs are in `test_raw_limits`: here is all that
is merely strange or too much, on every route of the gateway's own and some that are passed on.
"""

from __future__ import annotations

import asyncio
import hmac
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import orjson
import pytest
import pytest_asyncio

from bff.hooks.bodies import AT_ONCE as BODIES
from tests.support.raw_client import Answer, connected, statuses
from tests.support.raw_stage import RawStage, raw_stage

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

ANSWERED_S = 4.0
AT_ONCE = 16
OPS_TOKEN = b"operator-of-these-tests"
WEBHOOK_SECRET = b"webhook-secret-of-tests"
HOOK = b"/hooks/nexudus"
ROUTES = (
    *(b"/session/bootstrap", b"/api/public/coworkers/profiles", b"/api/public/_echo"),
    *(b"/api/public/coworkers/published/101/related", b"/api/token", b"/en/profile"),
    *(HOOK, HOOK + b"/x", b"/healthz", b"/readyz", b"/openapi.json", b"/metrics"),
    *(b"/ops/api/purge", b"/ops/api/sharing", b"/nothing", b"/", b"*"),
)
METHODS = (
    *(b"GET", b"HEAD", b"OPTIONS", b"POST", b"PUT", b"PATCH", b"DELETE", b"TRACE", b"CONNECT"),
    *(b"PROPFIND", b"get", b"M-SEARCH", b"A" * 200),
)
FIELDS: tuple[tuple[bytes, ...], ...] = (
    (b"If-None-Match: " + b",".join(b'"%d"' % i for i in range(3000)),),
    tuple(b'If-None-Match: "%d"' % i for i in range(80)),
    (b'If-None-Match: W/"' + b"\xff" * 2000,),
    (b"Accept-Encoding: " + b",".join(b"x%d;q=0.%d" % (i, i % 10) for i in range(3000)),),
    (b"Accept-Encoding: " + b" " * 30_000 + b"br",),
    (b"Accept-Language: " + b"de-CH;q=0.1," * 3000,),
    (b"Accept-Language: \xff\x80", b"X-Use-Timezone: \xff"),
    (b"X-Use-Timezone: " + b"z" * 30_000,),
    (b"Range: bytes=" + b",".join(b"%d-%d" % (i, i) for i in range(2000)),),
    (b'If-Range: "a"', b"Range: bytes=9-1", b"If-Modified-Since: yesterday"),
    (b"Upgrade: h2c", b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: AAMAAABkAAQAAP__"),
    (b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Version: 13"),
    (b"Expect: 200-ok",),
    (b"Cookie: " + b"a=b;" * 8000,),
    (b"X-Request-Id: \xff" + b"a" * 10_000,),
    (b"Origin: " + b"http://x" * 3000,),
    (b"Authorization: Bearer " + b"a" * 20_000,),
    (b"Authorization: \xff", b"Authorization: Bearer b"),
    (b"Content-Type: " + b"x" * 20_000,),
    (b"X-Nexudus-Hook-Signature: " + b"z" * 20_000,),
    (b"X-Nexudus-Hook-Signature: \xff", b"X-Nexudus-Hook-Signature: a"),
    tuple(b"X-%d: a" % i for i in range(80)),
    (b"Connection: " + b"a," * 5000,),
    (b"TE: " + b"a" * 10_000, b"Forwarded: for=" + b'"_' * 5000),
)
QUERIES = (
    *(b"&" * 5000, b"a=b&" * 1500, b"%41" * 2500, b"_shape=" + b"(" * 2000, b"_shape=%ff"),
    *(b"_shape=%00", b"_shape=@" + b"x" * 500, b"coworkerId=" + b"9" * 4000, b"coworkerId=-1"),
    *(b"coworkerId=%F0%9F%98%80", b"%", b"_shape=a&_shape=b", b"?", b"_shape=a%0d%0aX:y"),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """One strange request."""

    line: bytes
    fields: tuple[bytes, ...] = ()


def strange() -> Iterator[Asked]:
    for route in ROUTES:
        yield from (Asked(method + b" " + route) for method in METHODS)
        own = b"POST " if route.startswith((HOOK, b"/ops")) else b"GET "
        yield from (Asked(own + route, fields) for fields in FIELDS)
        yield from (Asked(own + route + b"?" + query) for query in QUERIES)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RawStage]:
    variables = {
        "BFF_OPS_TOKEN": OPS_TOKEN.decode(),
        "BFF_WEBHOOK_SECRET": WEBHOOK_SECRET.decode(),
        "BFF_CORS_ORIGINS": "https://app.test",
    }
    async with raw_stage(tmp_path_factory.mktemp("raw"), **variables) as stage:
        yield stage
    stage.assert_nothing_leaked()


def held_mib(pid: int) -> float:
    """The memory that a process and its children have now."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(line.split()[1]) / 1024 + sum(held_mib(int(child)) for child in children)


async def test_whatever_is_asked_is_answered_at_once_and_costs_nothing(stage: RawStage) -> None:
    turns = asyncio.Semaphore(AT_ONCE)

    async def ask(asked: Asked) -> None:
        names = {field.partition(b":")[0] for field in asked.fields}
        fields = asked.fields if b"Connection" in names else (b"Connection: close", *asked.fields)
        token = None if b"Authorization" in names else b""
        request = stage.request(asked.line, *fields, token=token)
        method = asked.line.partition(b" ")[0].decode()
        async with turns, asyncio.timeout(ANSWERED_S), connected(stage.port) as connection:
            assert_decent(asked, await connection.ask(request, method))

    everything = list(strange())
    await asyncio.gather(*(ask(asked) for asked in everything[::3]))
    before = held_mib(stage.process.pid)
    await asyncio.gather(*(ask(asked) for asked in everything))
    assert held_mib(stage.process.pid) - before < 10
    assert "unexpected_error" not in stage.log.read_text()


def assert_decent(asked: Asked, answer: Answer) -> None:
    """No 5xx; and a 4xx of the gateway's own says what is wrong."""
    assert 200 <= answer.status < 500, (asked, answer)
    passed_on = any(b"fwd-status=" in value for value in answer.values(b"cache-status"))
    of_the_server = not answer.values(b"x-request-id")
    if answer.status < 400 or passed_on or of_the_server:
        return
    assert answer.values(b"content-type") == (b"application/problem+json",), (asked, answer)
    if not asked.line.startswith(b"HEAD"):
        assert len(orjson.loads(answer.body)["detail"]) > 10, asked


@pytest.mark.parametrize("origin", [b"https://app.test", b"https://other.test"])
async def test_pitfall_15_a_preflight_with_a_coding_beside_chunked_is_refused(
    stage: RawStage, origin: bytes
) -> None:
    fields = [b"Origin: " + origin, b"Access-Control-Request-Method: GET"]
    head = stage.request(b"OPTIONS /healthz", *fields, b"Transfer-Encoding: gzip, chunked")
    reply = await stage.spoken(head + b"0\r\n\r\n" + stage.request(b"GET /healthz"))
    assert statuses(reply) == [400]


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 500_000,
        b'{"Id":' * 1000 + b"1" + b"}" * 1000,
        b"[" + b'{"Id":1,"UserId":7},' * 20_000 + b"{}]",
        b'[{"Id":' + b"9" * 5000 + b"}]",
        b"\xff\xfe",
        b"",
    ],
    ids=["open", "nested", "many", "number", "binary", "empty"],
)
async def test_pitfall_18_a_signed_bomb_is_taken_and_understood_as_nothing(
    stage: RawStage, body: bytes
) -> None:
    signature = hmac.new(WEBHOOK_SECRET, body, sha256).hexdigest().encode()
    fields = (b"Content-Length: %d" % len(body), b"X-Nexudus-Hook-Signature: " + signature)
    before = held_mib(stage.process.pid)
    began = time.monotonic()
    async with stage.connected() as connection:
        answer = await connection.ask(stage.request(b"POST " + HOOK, *fields, body=body))
    assert answer.status == 204
    assert time.monotonic() - began < ANSWERED_S
    assert held_mib(stage.process.pid) - before < 20


async def test_500_heads_that_never_end_keep_nobody_waiting(stage: RawStage) -> None:
    """Each is closed HEAD_TIMEOUT_S after it began, see `test_raw_connections`."""
    before = held_mib(stage.process.pid)
    async with AsyncExitStack() as stack:
        for _ in range(500):
            slow = await stack.enter_async_context(stage.connected())
            await slow.send(stage.request(b"GET /healthz")[:-2] + b"X-A: ")
        for _ in range(10):
            async with asyncio.timeout(ANSWERED_S), stage.connected() as quick:
                line = b"GET /api/public/coworkers/profiles"
                assert (await quick.ask(stage.request(line))).status == 200
        assert held_mib(stage.process.pid) - before < 30


async def test_webhooks_that_never_end_make_room(stage: RawStage) -> None:
    """What comes beyond has the place of the one that came first, a second later."""
    own = (b"POST " + HOOK, b"Content-Length: 2")

    async def told() -> int:
        async with stage.connected() as connection:
            return (await connection.ask(stage.request(*own, body=b"{}"))).status

    async with AsyncExitStack() as stack, asyncio.timeout(ANSWERED_S):
        endless = [await stack.enter_async_context(stage.connected()) for _ in range(BODIES + 1)]
        asking = [asyncio.create_task(each.ask(stage.request(*own, body=b"{"))) for each in endless]
        # One of them came when all places were taken; from then on all the others are there.
        done, others = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        assert [one.result().status for one in done] == [408]
        assert await told() == 401, "another one made room"
        for one in others:
            one.cancel()
