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

_HOP_BY_HOP = frozenset({"host", "connection", "transfer-encoding", "keep-alive"})


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
    headers = [(k, v) for k, v in request.headers.items() if k not in _HOP_BY_HOP]
    sent = client.build_request(
        request.method,
        request.url.path,
        params=request.url.query,
        headers=headers,
        content=request.stream() if request.method not in ("GET", "HEAD") else None,
    )
    answer = await client.send(sent, stream=True)
    kept = {k: v for k, v in answer.headers.items() if k not in _HOP_BY_HOP}
    return StreamingResponse(
        answer.aiter_raw(), answer.status_code, kept, background=BackgroundTask(answer.aclose)
    )


app = Starlette(
    routes=[Route("/{path:path}", _relay, methods=["GET", "POST", "PUT", "DELETE"])],
    lifespan=_lifespan,
)
