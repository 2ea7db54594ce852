"""An upstream on a real socket whose every byte, pause and reset the test decides."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bff.nexudus.headers import Header, values_of
from bff.spaces import Origin, Space

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came over the wire; `body` is without its framing."""

    method: str
    target: bytes
    headers: list[Header]
    body: bytes

    def values(self, name: bytes) -> tuple[bytes, ...]:
        return values_of(self.headers, name)


class Peer:
    """The upstream's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.written = 0

    async def head(self) -> Received:
        """The next request's line and headers. IncompleteReadError once the client has closed."""
        lines = (await self.reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[:-2]
        method, target, _version = lines[0].split(b" ")
        pairs = (line.split(b": ", 1) for line in lines[1:])
        return Received(method.decode(), target, [(name, value) for name, value in pairs], b"")

    async def request(self) -> Received:
        """The next request, whole."""
        head = await self.head()
        if head.values(b"transfer-encoding"):
            body = b"".join([part async for part in self.chunks()])
        else:
            length = b"".join(head.values(b"content-length"))
            body = await self.reader.readexactly(int(length or b"0"))
        return Received(head.method, head.target, head.headers, body)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The parts of a chunked body."""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            yield (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readexactly(2)

    async def send(self, data: bytes) -> None:
        """Written and handed to the kernel."""
        self.writer.write(data)
        await self.writer.drain()
        self.written += len(data)

    async def answer(self, body: bytes = b"", head: bytes = b"HTTP/1.1 200 OK") -> None:
        """A whole answer; `head` is the status line and any headers but Content-Length."""
        await self.send(head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    async def closed(self) -> None:
        """Returns when the client has closed or reset the connection; drops what comes."""
        try:
            while await self.reader.read(65536):
                pass
        except ConnectionError:
            pass

    def reset(self) -> None:
        """RST instead of FIN."""
        sock: socket.socket = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Handler = Callable[[Peer], Awaitable[None]]


@dataclass(slots=True)
class Upstream:
    """A running upstream: where it is, and every connection that it has had."""

    space: Space
    peers: list[Peer] = field(default_factory=list)
    live: int = 0
    _change: asyncio.Event = field(default_factory=asyncio.Event)

    async def until_live(self, connections: int) -> None:
        """Returns when exactly so many connections are open; TimeoutError after 5 s."""
        async with asyncio.timeout(20):
            while self.live != connections:
                await self._change.wait()

    def count(self, change: int) -> None:
        self.live += change
        before, self._change = self._change, asyncio.Event()
        before.set()


@asynccontextmanager
async def upstream(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[Upstream]:
    """Serves each connection with `handler`; what it raises, but for lost clients, fails the test.

    A handler that is still running at the end is cancelled.
    """
    running: set[asyncio.Task[None]] = set()
    failures: list[Exception] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        peer = Peer(reader, writer)
        state.peers.append(peer)
        state.count(1)
        try:
            await handler(peer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        except Exception as error:
            failures.append(error)
        finally:
            writer.transport.abort()
            running.discard(task)
            state.count(-1)

    server = await asyncio.start_server(serve, HOST, 0, ssl=tls)
    port: int = server.sockets[0].getsockname()[1]
    state = Upstream(Space.of(Origin("https" if tls else "http", HOST, port)))
    try:
        yield state
    finally:
        server.close()
        for task in list(running):
            task.cancel()
        while running:
            await asyncio.wait(running)
    if failures:
        raise failures[0]


def answering(*bodies: bytes, head: bytes = b"HTTP/1.1 200 OK") -> Handler:
    """Answers the requests of a connection with `bodies` in turn, then with the last one."""

    async def handler(peer: Peer) -> None:
        left = list(bodies)
        while True:
            await peer.request()
            await peer.answer(left.pop(0) if len(left) > 1 else left[0], head)

    return handler


def once(reply: bytes) -> Handler:
    """Answers one request with exactly these bytes, then closes."""

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(reply)
        peer.writer.close()
        await peer.writer.wait_closed()

    return handler
