"""A minimal relay as Starlette and httpx make it easy: one client, bodies streamed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator

import httpx
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

_HOP_BY_HOP = frozenset({b"host", b"connection", b"transfer-encoding", b"keep-alive"})


@contextlib.asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=100)
    async with httpx.AsyncClient(
        base_url=os.environ["BENCH_UPSTREAM"], limits=limits, trust_env=False, timeout=30
    ) as client:
        app.state.client = client
        yield


async def _relay(request: Request) -> StreamingResponse:
    client: httpx.AsyncClient = request.app.state.client
    sent = client.build_request(
        request.method,
        httpx.URL(path=request.url.path, query=request.url.query.encode()),
        headers=[pair for pair in request.headers.raw if pair[0] not in _HOP_BY_HOP],
        content=request.stream() if request.method not in ("GET", "HEAD") else None,
    )
    answer = await client.send(sent, stream=True)
    relayed = StreamingResponse(
        answer.aiter_raw(), answer.status_code, background=BackgroundTask(answer.aclose)
    )
    relayed.raw_headers = [
        (name.lower(), value)
        for name, value in answer.headers.raw
        if name.lower() not in _HOP_BY_HOP
    ]
    return relayed


app = Starlette(
    routes=[Route("/{path:path}", _relay, methods=["GET", "POST", "PUT", "DELETE"])],
    lifespan=_lifespan,
)
