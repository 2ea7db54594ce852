"""ASGI applications called without sockets; and Nexudus as seen from its door, with a count."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import httpcore
from starlette.types import ASGIApp, Message, Scope

from bff.clock import Clock
from bff.nexudus.headers import Header, RawHeaders

THROTTLED: Final = 409
AGAIN_S: Final = 60.0
"""What was answered so lately would not have had to be asked for again."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer."""

    status: int
    headers: RawHeaders
    body: bytes

    def header(self, name: bytes) -> bytes:
        """The first value, empty if there is none."""
        return next((value for key, value in self.headers if key == name), b"")


async def call(app: ASGIApp, method: str, target: bytes, headers: RawHeaders) -> Reply:
    """One request without a body; `target` is path and query."""
    path, _, query = target.partition(b"?")
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": path.decode("ascii"),
        "raw_path": path,
        "query_string": query,
        "headers": headers,
    }
    start: Message = {"status": 0, "headers": []}
    body = bytearray()

    received = False

    async def receive() -> Message:
        nonlocal received
        if received:  # nobody leaves before the answer
            await asyncio.get_running_loop().create_future()
        received = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start":
            start = message
        else:
            body.extend(message.get("body", b""))

    await app(scope, receive, send)
    return Reply(start["status"], start["headers"], bytes(body))


@dataclass(slots=True)
class Door:
    """Nexudus, and how often it was asked: by minute of virtual time, and how often in vain.

    `again`: how often for what it had told the same token within `AGAIN_S`.
    """

    app: ASGIApp
    clock: Clock
    calls: Counter[int] = field(default_factory=Counter)
    refused: Counter[int] = field(default_factory=Counter)
    again: int = 0
    _told: dict[tuple[bytes, bytes], float] = field(default_factory=dict)

    async def call(self, method: str, target: bytes, headers: RawHeaders) -> Reply:
        now = self.clock.monotonic()
        minute = int(now // 60)
        self.calls[minute] += 1
        token = next((value for name, value in headers if name == b"authorization"), b"")
        self.again += method == "GET" and now < self._told.get((target, token), -AGAIN_S) + AGAIN_S
        reply = await call(self.app, method, target, headers)
        if reply.status in (200, 404):
            self._told[target, token] = now
        if reply.status == THROTTLED:
            self.refused[minute] += 1
        return reply


class DoorTransport:
    """What the gateway's client has instead of a network."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        headers: list[Header] = [(name.lower(), value) for name, value in request.headers]
        trace = request.extensions["trace"]
        # What httpcore says of a request that leaves: the budget counts from here.
        for moment in ("started", "complete"):
            await trace(f"http11.send_request_headers.{moment}", {})
        method = request.method.decode()
        reply = await self._door.call(method, request.url.target, headers)
        return httpcore.Response(reply.status, headers=list(reply.headers), content=reply.body)

    async def aclose(self) -> None:
        """There is nothing to close."""
