"""An application as granian needs it, in a worker."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

IS_STOPPING: Final = "bff.is_stopping"
"""In the ASGI `state` of every request: says whether the server is about to stop, also later."""
STOPPING: Final = "bff.stopping"
"""In the ASGI `state` of a request once the server is about to stop."""
_CLOSE: Final = (b"connection", b"close")
_REFUSAL: Final = (
    (b"cache-control", b"no-store"),
    (b"vary", b"Authorization, Origin"),
    _CLOSE,
    (b"content-length", b"0"),
)


class Hosted:
    """An application as granian needs it: every call is answered, and lets go of its connection."""

    def __init__(self, app: ASGIApp) -> None:
        self.stopping = False
        self._app = app

    def stop(self) -> None:
        """From now on, requests are told so in their `state`, and answers close their connection.

        Whoever keeps connections to this server so meets another one at the next request.
        """
        self.stopping = True

    def is_stopping(self) -> bool:
        """Whether `stop` was called; answers that go on and on end by it."""
        return self.stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state[IS_STOPPING] = self.is_stopping
        if self.stopping:
            state[STOPPING] = True
        call = _Call(self, receive, send)
        try:
            await self._app(scope, call.receive, call.send)
            await call.refuse_if_malformed()
        except asyncio.CancelledError:
            # Its client left, or the server ends: whoever cancelled it does not wait for it, and
            # would log it as a failure of the application.
            return
        finally:
            call.let_go()


class _Call:
    """The two ends of one call."""

    __slots__ = ("_answered", "_host", "_left", "_receive", "_send")

    def __init__(self, host: Hosted, receive: Receive, send: Send) -> None:
        self._host = host
        self._receive = receive
        self._send = send
        self._left = False
        self._answered = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._left = message["type"] == "http.disconnect"
        return message

    async def send(self, message: Message) -> None:
        self._answered = True
        if self._host.stopping and message["type"] == "http.response.start":
            headers = [pair for pair in message.get("headers", ()) if pair[0] != _CLOSE[0]]
            message = {**message, "headers": [*headers, _CLOSE]}
        await self._send(message)

    async def refuse_if_malformed(self) -> None:
        """400 where the client seems to have left, and so has been answered nothing.

        granian tells the same of a malformed body, whose sender still listens; its own answer to a
        call that has none is a 500.
        """
        if self._left and not self._answered:
            await self._send({"type": "http.response.start", "status": 400, "headers": _REFUSAL})
            await self._send({"type": "http.response.body", "body": b""})

    def let_go(self) -> None:
        """From now on, whoever has kept the two ends has nothing of the server's in hand.

        A connection whose request was not read to its end is closed only once nobody can read it
        any more, and the traceback of an error may keep `receive` until the next collection.
        """
        self._receive, self._send = _over, _unheard


async def _over() -> Message:
    return {"type": "http.disconnect"}


async def _unheard(_: Message) -> None:
    return None
