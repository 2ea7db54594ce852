"""What holds for every request whatever: an answer, below 500, and a sentence with each refusal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from urllib.parse import unquote

import httpcore
import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from bff.app import Seams, build
from bff.settings import load
from tests.support.asgi_call import AsgiCall
from tests.support.plain import PLAIN

ANSWERED_S = 4.0
VARIABLES = {
    **PLAIN,
    "BFF_UPSTREAM": "https://acme.spaces.nexudus.com",
    "BFF_OPS_TOKEN": "operator-of-these-tests",
    "BFF_WEBHOOK_SECRET": "webhook-secret-of-tests",
    "BFF_CORS_ORIGINS": "https://app.test",
}

routes = st.sampled_from(
    [
        *("/session/bootstrap", "/api/public/coworkers/profiles", "/api/token", "/en/profile"),
        *("/api/public/coworkers/published/101/related", "/hooks/nexudus", "/hooks/nexudus/x"),
        *("/healthz", "/readyz", "/openapi.json", "/metrics", "/ops/api/purge", "/", "*"),
    ]
).map(str.encode)
paths = st.one_of(routes, st.builds(bytes.__add__, routes, st.binary(max_size=12)), st.binary())
shapes = st.text("aB.,[]@()%&= é\x00", max_size=30).map(lambda text: b"_shape=" + text.encode())
queries = st.one_of(st.just(b""), shapes, st.binary(max_size=40))
methods = st.sampled_from(
    ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "X"]
)
names = st.sampled_from(
    [
        *(b"authorization", b"accept-encoding", b"accept-language", b"x-use-timezone", b"cookie"),
        *(b"if-none-match", b"range", b"content-type", b"content-length", b"transfer-encoding"),
        *(b"x-request-id", b"host", b"origin", b"x-nexudus-hook-signature", b"connection", b"te"),
        *(b"access-control-request-headers", b"expect", b"upgrade", b"forwarded"),
    ]
)
values = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [
            *(b"Bearer token-of-somebody", b"Bearer ", b"*", b"chunked", b"0", b"-1", b"9" * 30),
            *(b'"a", W/"b"', b"gzip;q=0, br;q=1.0001", b"bytes=0-", b"https://app.test"),
        ]
    ),
)
fields = st.lists(st.tuples(names, values), max_size=6)
bodies = st.lists(st.binary(max_size=40), max_size=3)
requests = st.builds(
    AsgiCall, methods, paths, queries, st.tuples(st.booleans(), fields).map(
        lambda drawn: [*([(b"host", b"app.test")] if drawn[0] else []), *drawn[1]]
    ), bodies
)  # fmt: skip


class Nothing:
    """A Nexudus that knows nothing of what it is asked for."""

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        assert isinstance(request.stream, AsyncIterable)
        async for _ in request.stream:
            pass
        return httpcore.Response(404)

    async def aclose(self) -> None:
        pass


@settings(max_examples=40)
@given(st.lists(requests, min_size=10, max_size=20))
async def test_every_request_is_answered_and_every_refusal_says_why(calls: list[AsgiCall]) -> None:
    app = build(load(VARIABLES), Seams(transport=Nothing()))
    async with app.router.lifespan_context(app):
        for call in calls:
            call.scope["path"] = unquote(call.scope["raw_path"].decode("latin-1"))
            async with asyncio.timeout(ANSWERED_S):
                await app(call.scope, call.receive, call.send)
            assert_decent(call)


def assert_decent(call: AsgiCall) -> None:
    last = call.sent[-1]
    assert last["type"] == "http.response.body"
    assert not last.get("more_body", False)
    assert 200 <= call.status < 500, (call.scope, call.body)
    headers = dict(call.headers)
    passed_on = b"fwd-status=" in headers.get(b"cache-status", b"")
    if call.status >= 400 and not passed_on:
        assert headers[b"content-type"] == b"application/problem+json", call.scope
        if call.scope["method"] != "HEAD":
            assert len(orjson.loads(call.body)["detail"]) > 10
