"""The two uses of an ASGI `receive`: the request body, and the news that the client has left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import anyio
from starlette.types import Receive

from bff.errors import BffError, BodyTooLarge, UpstreamTimeout


class ClientGoneError(BffError):
    """The client closed its connection; there is nobody to answer."""


class ClientStalledError(BffError):
    """The client holds its connection and does not read."""


class Upload:
    """Reads a request body of at most `max_body` bytes, each part within `idle_s`.

    `size` counts the bytes handed out.
    """

    def __init__(self, receive: Receive, max_body: int, idle_s: float) -> None:
        self._receive = receive
        self._max_body = max_body
        self._idle_s = idle_s
        self._over = asyncio.Event()
        self._received = 0
        self.size = 0

    async def opened(self) -> AsyncIterator[bytes] | None:
        """The body, or None for an empty one; waits for the first byte to tell.

        Raises ClientGoneError, UpstreamTimeout and BodyTooLarge, and so does the iterator.
        """
        first = b""
        while not first and not self._over.is_set():
            first = await self._part()
        return self._parts(first) if first else None

    async def client_gone(self) -> None:
        """Returns when the client has left; listens once the body is over."""
        await self._over.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _parts(self, first: bytes) -> AsyncIterator[bytes]:
        part = first
        while True:
            if part:
                self.size += len(part)
                yield part
            if self._over.is_set():
                return
            part = await self._part()

    async def _part(self) -> bytes:
        try:
            # anyio's, because the iterator runs inside an exchange, under an anyio scope.
            with anyio.fail_after(self._idle_s):
                message = await self._receive()
        except TimeoutError:
            raise UpstreamTimeout("the request body stopped arriving") from None
        if message["type"] == "http.disconnect":
            raise ClientGoneError("the client left")
        part: bytes = message.get("body", b"")
        self._received += len(part)
        if self._received > self._max_body:
            raise BodyTooLarge(f"the request body is longer than {self._max_body} bytes")
        if not message.get("more_body", False):
            self._over.set()
        return part
