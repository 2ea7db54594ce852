"""Requests held at a known point, and the mailbox that tells when their client leaves."""

from __future__ import annotations

import asyncio
from collections import deque

from starlette.types import Message, Receive


class ClientLeft(Exception):
    """The client closed the connection before its answer."""


class Inbox:
    """An ASGI `receive` that can also be watched for a disconnect without losing a message."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._seen: deque[Message] = deque()
        self._pending: asyncio.Future[Message] | None = None

    async def __call__(self) -> Message:
        return self._seen.popleft() if self._seen else await self._next()

    async def disconnected(self) -> None:
        """Returns when the client leaves; what it sends meanwhile is kept."""
        while True:
            message = await self._next()
            self._seen.append(message)
            if message["type"] == "http.disconnect":
                return

    def close(self) -> None:
        """Ends the wait for a message that nobody wants any more."""
        if self._pending is not None:
            self._pending.cancel()

    async def _next(self) -> Message:
        pending = self._pending
        if pending is None:
            pending = self._pending = asyncio.ensure_future(self._receive())
        # Cancelling a receive in progress could lose the message it was about to return.
        message = await asyncio.shield(pending)
        if self._pending is pending:
            self._pending = None
        return message


class Holds:
    """The requests being held, oldest first. Belongs to one event loop."""

    def __init__(self) -> None:
        self._held: list[asyncio.Future[None]] = []
        self._moved = asyncio.Event()

    @property
    def held(self) -> int:
        return len(self._held)

    async def hold(self, inbox: Inbox) -> None:
        """Returns when released. Raises ClientLeft when the client goes first."""
        released = asyncio.get_running_loop().create_future()
        gone = asyncio.ensure_future(inbox.disconnected())
        self._held.append(released)
        self._tell()
        try:
            await asyncio.wait({released, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not released.done():
                raise ClientLeft
        finally:
            gone.cancel()
            if released in self._held:
                self._held.remove(released)
                self._tell()

    def release(self, count: int | None = None) -> int:
        """Lets the `count` oldest go on, or all; how many that were."""
        going = self._held[: len(self._held) if count is None else count]
        self._held = self._held[len(going) :]
        for released in going:
            released.set_result(None)
        self._tell()
        return len(going)

    async def wait_held(self, at_least: int = 1) -> None:
        """Returns once so many requests are being held at the same time."""
        while self.held < at_least:
            await self._moved.wait()

    def _tell(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
