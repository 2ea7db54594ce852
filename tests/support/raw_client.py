"""A client that writes any bytes it likes, and reads answers by their framing and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bff.nexudus.headers import Header, values_of

_PATIENCE_S = 20.0
_LIMIT = 2**20


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as it came; `body` is without its framing, but still encoded."""

    status: int
    headers: list[Header]
    body: bytes

    def values(self, name: bytes) -> tuple[bytes, ...]:
        return values_of(self.headers, name)


class RawConnection:
    """One connection. Every wait ends after 20 s with a TimeoutError."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Written; a server that has closed already is no error, its answer may still be read."""
        with contextlib.suppress(ConnectionError):
            self.writer.write(data)
            async with asyncio.timeout(_PATIENCE_S):
                await self.writer.drain()

    async def head(self) -> Answer:
        """The next answer's status and headers, an interim one (1xx) too."""
        async with asyncio.timeout(_PATIENCE_S):
            lines = (await self.reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[:-2]
        pairs = (line.split(b":", 1) for line in lines[1:])
        headers = [(name.lower(), value.strip()) for name, value in pairs]
        return Answer(int(lines[0].split(b" ")[1]), headers, b"")

    async def answer(self, method: str = "GET") -> Answer:
        """The next answer, whole, as RFC 9112 6.3 delimits it; `method` is that of its request."""
        head = await self.head()
        async with asyncio.timeout(_PATIENCE_S):
            if method == "HEAD" or head.status in (204, 304):
                return head
            if head.values(b"transfer-encoding"):
                body = b"".join([part async for part in self._chunks()])
            else:
                (length,) = head.values(b"content-length")
                body = await self.reader.readexactly(int(length))
        return Answer(head.status, head.headers, body)

    async def ask(self, request: bytes, method: str = "GET") -> Answer:
        """`send`, then `answer`."""
        await self.send(request)
        return await self.answer(method)

    async def rest(self) -> bytes:
        """Everything until the server closes or resets the connection."""
        data = bytearray()
        async with asyncio.timeout(_PATIENCE_S):
            with contextlib.suppress(ConnectionError):
                while part := await self.reader.read(65536):
                    data += part
        return bytes(data)

    def leave(self) -> None:
        """Without a word, as a phone does that loses its network: RST where data is unread."""
        self.writer.transport.abort()

    async def _chunks(self) -> AsyncIterator[bytes]:
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            yield (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readexactly(2)


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[RawConnection]:
    """A connection to a loopback port, closed at the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=_LIMIT)
    try:
        yield RawConnection(reader, writer)
    finally:
        writer.transport.abort()


async def spoken(port: int, data: bytes) -> bytes:
    """All that comes back on a connection of its own until the server closes it."""
    async with connected(port) as connection:
        await connection.send(data)
        return await connection.rest()


def statuses(reply: bytes) -> list[int]:
    """Of all the answers on a connection, none of whose bodies may look like one."""
    lines = reply.split(b"\r\n")
    return [int(line.split(b" ")[1]) for line in lines if line.startswith(b"HTTP/1.")]
