"""The servers underneath: one answer of given bytes and headers, and nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

BODY = Path(os.environ["BENCH_BODY"]).read_bytes()
HEADERS: dict[str, str] = json.loads(Path(os.environ["BENCH_HEADERS"]).read_bytes())
HEADERS["content-length"] = str(len(BODY))
_RAW = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
_PAIRS = list(HEADERS.items())
_KNOWN = (b"authorization", b"Bearer " + os.environ["BENCH_TOKEN"].encode())
_CHUNK = bytes(65_536)


async def asgi(_scope: dict[str, Any], _receive: Any, send: Any) -> None:
    """A bare ASGI callable."""
    await send({"type": "http.response.start", "status": 200, "headers": _RAW})
    await send({"type": "http.response.body", "body": BODY})


async def rsgi(_scope: Any, protocol: Any) -> None:
    """A bare RSGI callable."""
    protocol.response_bytes(200, _PAIRS, BODY)


async def origin(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """What a cache stands in front of: it knows one token, and refuses all others."""
    if _KNOWN in map(tuple, scope["headers"]):
        await asgi(scope, receive, send)
        return
    headers = [(b"content-length", b"0"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def stream(_scope: dict[str, Any], _receive: Any, send: Any) -> None:
    """`BENCH_STREAM_MIB` of bytes in chunks of 64 KiB."""
    count = int(os.environ["BENCH_STREAM_MIB"]) * 2**20 // len(_CHUNK)
    headers = [
        (b"content-type", b"application/octet-stream"),
        (b"content-length", str(len(_CHUNK) * count).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for left in range(count, 0, -1):
        await send({"type": "http.response.body", "body": _CHUNK, "more_body": left > 1})


async def _answer(_: Request) -> Response:
    return Response(BODY, headers=HEADERS)


starlette = Starlette(routes=[Route("/session/bootstrap", _answer)])
