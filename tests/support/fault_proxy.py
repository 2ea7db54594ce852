"""A TCP proxy that makes of a sound network any other, also while traffic runs through it.

`Line` says what the network is like, one `Way` for each direction; `FaultProxy.become` puts another
in force for the connections that there are and for those to come.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Final

HOST: Final = "127.0.0.1"

_CHUNK: Final = 65_536
_HELD: Final = 64
"""Chunks of one direction that are on their way at most; the sender then has to wait."""
_SLICE_S: Final = 0.02
_LINGER_NONE: Final = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Way:
    """One direction. What is sent arrives after `delay_s` and up to `jitter_s` more, in order.

    `hung`: nothing arrives until another Way is in force. `cut_after`, `reset_after`: so many bytes
    of a connection pass from now on, then it ends by FIN, or by RST. `bytes_per_s`: not faster.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    hung: bool = False
    cut_after: int | None = None
    reset_after: int | None = None
    bytes_per_s: float | None = None

    @property
    def last_byte(self) -> int | None:
        """After how many bytes a connection ends, if it does."""
        ends = [end for end in (self.cut_after, self.reset_after) if end is not None]
        return min(ends, default=None)


@dataclass(frozen=True, slots=True)
class Line:
    """Both directions; `up` is towards the server.

    `refused`: nobody listens any more. `reset_new`: connections are taken, and reset at once.
    """

    up: Way = Way()
    down: Way = Way()
    refused: bool = False
    reset_new: bool = False


SOUND: Final = Line()


class FaultProxy:
    """Between `port` and a server on a loopback port. Counts the `connections` that it took."""

    def __init__(self, server_port: int, port: int = 0, jitter: random.Random | None = None):
        self._server_port = server_port
        self._jitter = jitter or random.Random()
        self._listener: asyncio.Server | None = None
        self._links: dict[asyncio.Task[None], _Link] = {}
        self._changed = asyncio.Event()
        self.line = SOUND
        self.port = port
        self.connections = 0

    @property
    def open(self) -> int:
        """How many connections there are."""
        return len(self._links)

    async def become(self, line: Line) -> None:
        """From now on, the network is like this."""
        self.line = line
        self._changed.set()
        self._changed = asyncio.Event()
        if line.refused:
            await self._close_listener()
        elif self._listener is None:
            await self.listen()

    async def reset(self) -> None:
        """RST to both ends of every connection there is."""
        for link in self._links.values():
            link.reset()
        await self._drop()

    async def listen(self) -> None:
        """On `port` from now on, which is drawn where it is 0."""
        self._listener = await asyncio.start_server(self._take, HOST, self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def aclose(self) -> None:
        """Listen no more, and drop every connection."""
        await self._close_listener()
        await self._drop()

    async def _close_listener(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def _drop(self) -> None:
        tasks = list(self._links)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.connections += 1
        client = _End(reader, writer)
        if self.line.reset_new:
            client.reset()
            return
        link = self._links[task] = _Link(client)
        try:
            server = _End(*await asyncio.open_connection(HOST, self._server_port))
            link.ends.append(server)
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._carry(client, server, link, lambda line: line.up))
                ways.create_task(self._carry(server, client, link, lambda line: line.down))
        except* (OSError, _Over):
            pass
        except* asyncio.CancelledError:
            pass
        finally:
            del self._links[task]
            for end in link.ends:
                end.writer.close()

    async def _carry(
        self, source: _End, sink: _End, link: _Link, way_of: Callable[[Line], Way]
    ) -> None:
        """One direction until its source ends; raises _Over when the connection is to end."""
        waiting: deque[tuple[float, bytes]] = deque()
        room, news = asyncio.Semaphore(_HELD), asyncio.Event()

        async def read() -> None:
            while True:
                await room.acquire()
                chunk = await source.reader.read(_CHUNK)
                way = way_of(self.line)
                lag_s = way.delay_s + self._jitter.uniform(0, way.jitter_s)
                waiting.append((monotonic() + lag_s, chunk))
                news.set()
                if not chunk:
                    return

        reading = asyncio.create_task(read())
        reading.add_done_callback(lambda _: news.set())
        passage = _Passage(self.line)
        try:
            while True:
                while not waiting:
                    if reading.done():
                        await reading
                    news.clear()
                    await news.wait()
                due, chunk = waiting.popleft()
                room.release()
                await asyncio.sleep(max(0.0, due - monotonic()))
                while way_of(self.line).hung:
                    await self._changed.wait()
                if not chunk:
                    raise _Over
                await self._pass(chunk, sink, link, (passage, way_of))
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _pass(
        self, chunk: bytes, sink: _End, link: _Link, how: tuple[_Passage, Callable[[Line], Way]]
    ) -> None:
        passage, way_of = how
        while chunk:
            if passage.line is not self.line:
                passage.line, passage.passed = self.line, 0
            way = way_of(self.line)
            size = len(chunk)
            if way.bytes_per_s is not None:
                size = min(size, max(1, int(way.bytes_per_s * _SLICE_S)))
            if way.last_byte is not None:
                size = min(size, way.last_byte - passage.passed)
            sink.writer.write(chunk[:size])
            await sink.writer.drain()
            passage.passed += size
            chunk = chunk[size:]
            if way.last_byte is not None and passage.passed >= way.last_byte:
                if way.last_byte == way.reset_after:
                    link.reset()
                raise _Over
            if way.bytes_per_s is not None:
                await asyncio.sleep(size / way.bytes_per_s)


class _Over(Exception):
    """A connection is to end."""


@dataclass(slots=True)
class _Passage:
    """How many bytes passed in one direction under `line`."""

    line: Line
    passed: int = 0


@dataclass(frozen=True, slots=True)
class _End:
    """One end of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def reset(self) -> None:
        """RST instead of FIN."""
        opened = self.writer.get_extra_info("socket")
        with contextlib.suppress(OSError):  # it is closed already
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
        self.writer.transport.abort()


class _Link:
    """Both ends of one connection."""

    def __init__(self, client: _End) -> None:
        self.ends = [client]

    def reset(self) -> None:
        for end in self.ends:
            end.reset()


@asynccontextmanager
async def fault_proxy(server_port: int) -> AsyncIterator[FaultProxy]:
    """A proxy in the caller's event loop, before a server on a loopback port."""
    proxy = FaultProxy(server_port)
    await proxy.listen()
    try:
        yield proxy
    finally:
        await proxy.aclose()
