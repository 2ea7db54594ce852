"""The two uses of an ASGI `receive`: the request body, and the news that the client has left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import anyio
from starlette.types import Receive

from bff.errors import BffError, BodyTooLarge, RequestStalled

AHEAD: Final = 16 * 2**10
"""Bytes that have to be there, or the end of the body, before a call to Nexudus begins."""
GRACE_S: Final = 30.0
MIN_RATE: Final = 500
"""Bytes a second. A body that comes slower holds a connection to Nexudus that others wait for."""


class ClientGoneError(BffError):
    """The client closed its connection; there is nobody to answer."""


class ClientStalledError(BffError):
    """The client holds its connection and does not read."""


class Upload:
    """Reads a request body of at most `max_body` bytes, each part within `idle_s`.

    The first AHEAD bytes are waited for GRACE_S and as long as they take at MIN_RATE, and so is the
    rest. `size` counts the bytes handed out.
    """

    def __init__(self, receive: Receive, max_body: int, idle_s: float) -> None:
        self._receive = receive
        self._max_body = max_body
        self._idle_s = idle_s
        self._over = asyncio.Event()
        self._heard = asyncio.Event()
        self._left = False
        self._ahead: asyncio.Task[bytes] | None = None
        self._received = 0
        self._earned = 0
        self._waited_s = 0.0
        self.size = 0

    async def opened(self) -> AsyncIterator[bytes] | None:
        """The body, or None for an empty one; waits for AHEAD bytes of it, or its end.

        Raises ClientGoneError, RequestStalled and BodyTooLarge, and so does the iterator.
        """
        first = bytearray()
        while len(first) < AHEAD and not self._over.is_set():
            first += await self._part()
        self._earned, self._waited_s = 0, 0.0
        return self._parts(bytes(first)) if first else None

    @property
    def arriving(self) -> bool:
        """Whether more of the body is still to come."""
        return not self._over.is_set()

    def read_ahead(self) -> None:
        """Read one part further already: a client that leaves meanwhile is noticed.

        The iterator hands that part out, or raises what was met.
        """
        if not self._over.is_set():
            self._ahead = asyncio.create_task(self._part())
            # Nobody may ask for it any more.
            self._ahead.add_done_callback(lambda task: task.cancelled() or task.exception())

    @property
    def pending(self) -> tuple[asyncio.Task[bytes], ...]:
        """What reads ahead, to be ended together with the call."""
        return () if self._ahead is None else (self._ahead,)

    async def client_gone(self) -> None:
        """Returns when the client has left; listens once the body is over."""
        await self._heard.wait()
        while not self._left and (await self._receive())["type"] != "http.disconnect":
            pass

    async def _parts(self, first: bytes) -> AsyncIterator[bytes]:
        part = first
        while True:
            if part:
                self.size += len(part)
                yield part
            if self._over.is_set():
                return
            part = await self._next()

    async def _next(self) -> bytes:
        ahead, self._ahead = self._ahead, None
        return await (ahead or self._part())

    async def _part(self) -> bytes:
        # Only the waits count: the time that Nexudus takes to read is not the sender's.
        patience_s = GRACE_S + self._earned / MIN_RATE - self._waited_s
        began = anyio.current_time()
        try:
            # anyio's, because the iterator runs inside an exchange, under an anyio scope.
            with anyio.fail_after(min(self._idle_s, patience_s)):
                message = await self._receive()
        except TimeoutError:
            raise RequestStalled(
                f"The request body stood still, or came slower than {MIN_RATE} bytes a second."
            ) from None
        self._waited_s += anyio.current_time() - began
        if message["type"] == "http.disconnect":
            self._left = True
            self._heard.set()
            raise ClientGoneError("the client left")
        part: bytes = message.get("body", b"")
        self._received += len(part)
        self._earned += len(part)
        if self._received > self._max_body:
            raise BodyTooLarge(f"the request body is longer than {self._max_body} bytes")
        if not message.get("more_body", False):
            self._over.set()
            self._heard.set()
        return part
