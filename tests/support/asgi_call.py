"""The server's side of one ASGI call, under the test's control."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from starlette.types import Message, Scope

from bff.nexudus.headers import Header


class AsgiCall:
    """Offers `parts` as the request body and records what the application sends.

    With `open_end` the body goes on: `feed`, `finish`. `disconnect` is seen by the next `receive`.
    With `reading` cleared, `send` blocks, as a server does whose client does not read.
    """

    def __init__(
        self,
        method: str = "GET",
        path: bytes = b"/api/x",
        query: bytes = b"",
        headers: Iterable[Header] = (),
        parts: Iterable[bytes] = (),
        *,
        open_end: bool = False,
    ) -> None:
        self.scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path.decode("latin-1"),
            "raw_path": path,
            "query_string": query,
            "headers": list(headers),
        }
        self.sent: list[Message] = []
        self.reading = asyncio.Event()
        self.reading.set()
        self.sending = asyncio.Event()
        self.received = 0
        self._parts = iter(parts)
        self._later: asyncio.Queue[Message] = asyncio.Queue()
        self._receiving = False
        if not open_end:
            self.finish()

    def feed(self, part: bytes) -> None:
        self._later.put_nowait({"type": "http.request", "body": part, "more_body": True})

    def finish(self) -> None:
        self._later.put_nowait({"type": "http.request", "body": b"", "more_body": False})

    def disconnect(self) -> None:
        self._later.put_nowait({"type": "http.disconnect"})

    async def receive(self) -> Message:
        assert not self._receiving, "two tasks receive at once"
        self._receiving = True
        try:
            await asyncio.sleep(0)
            for part in self._parts:
                self.received += len(part)
                return {"type": "http.request", "body": part, "more_body": True}
            return await self._later.get()
        finally:
            self._receiving = False

    async def send(self, message: Message) -> None:
        assert not self.ended, "sent after the end of the response"
        self.sending.set()
        await self.reading.wait()
        self.sent.append(message)

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status

    @property
    def headers(self) -> list[Header]:
        headers: list[Header] = self.sent[0]["headers"]
        return headers

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.sent[1:])

    @property
    def ended(self) -> bool:
        """Whether the response has had a clean end."""
        return bool(self.sent) and not self.sent[-1].get("more_body", True)
