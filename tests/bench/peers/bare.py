"""The servers underneath: one answer of given bytes and headers, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

BODY = Path(os.environ["BENCH_BODY"]).read_bytes()
HEADERS = {
    "content-type": "application/json; charset=utf-8",
    "content-encoding": "br",
    "content-length": str(len(BODY)),
    "etag": '"kKK9mXLF8PVX12fMTQ_cYA-br"',
    "cache-control": "private, no-cache",
    "vary": "Authorization, Accept-Encoding, Origin",
    "age": "1",
    "cache-status": "bff; hit; ttl=42; detail=l1",
    "server-timing": "total;dur=0.1",
    "x-request-id": "a2f06bfa0b06477e91a3f4544132554b",
}
_RAW = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
_PAIRS = list(HEADERS.items())


async def asgi(scope: dict[str, Any], _receive: Any, send: Any) -> None:
    """A bare ASGI callable."""
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": _RAW})
    await send({"type": "http.response.body", "body": BODY})


async def stream(scope: dict[str, Any], _receive: Any, send: Any) -> None:
    """`BENCH_STREAM_MIB` of bytes in chunks of 64 KiB."""
    assert scope["type"] == "http"
    chunk, count = bytes(65_536), int(os.environ["BENCH_STREAM_MIB"]) * 16
    headers = [
        (b"content-type", b"application/octet-stream"),
        (b"content-length", str(len(chunk) * count).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for left in range(count, 0, -1):
        await send({"type": "http.response.body", "body": chunk, "more_body": left > 1})


async def rsgi(_scope: Any, protocol: Any) -> None:
    """A bare RSGI callable."""
    protocol.response_bytes(200, _PAIRS, BODY)


async def _answer(_: Request) -> Response:
    return Response(BODY, headers=HEADERS)


starlette = Starlette(routes=[Route("/session/bootstrap", _answer)])
