"""A TCP proxy that delays, stops passing or cuts what goes between a client and a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import urlsplit

from tests.support.redis_server import HOST

_CHUNK = 65_536


class SlowProxy:
    """Between `url` and whoever connects to `self.url`. `delay_s()` is waited before each chunk."""

    def __init__(self, url: str) -> None:
        self._upstream = urlsplit(url)
        self._port = 0
        self._open = asyncio.Event()
        self._open.set()
        self._links: set[asyncio.Task[None]] = set()
        self.delay_s: Callable[[], float] = lambda: 0.0
        self.connections = 0

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self._port}{self._upstream.path}"

    def hang(self) -> None:
        """Pass nothing on in either direction; connections stay open, as over a dead link."""
        self._open.clear()

    def resume(self) -> None:
        self._open.set()

    @contextmanager
    def holding(self) -> Iterator[asyncio.Event]:
        """What comes within the block is passed on once the event is set; the rest at once."""
        usual, self._open = self._open, asyncio.Event()
        try:
            yield self._open
        finally:
            self._open = usual

    def lead_to(self, url: str) -> None:
        """Connections from now on are to another server."""
        self._upstream = urlsplit(url)

    async def cut(self) -> None:
        """Drop every connection there is; new ones are taken."""
        links = list(self._links)
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        self.connections += 1
        try:
            host, port = self._upstream.hostname, self._upstream.port
            up_reader, up_writer = await asyncio.open_connection(host, port)
            try:
                await _first_to_end(self._pass(reader, up_writer), self._pass(up_reader, writer))
            finally:
                up_writer.transport.abort()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._links.discard(task)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(_CHUNK):
            if delay_s := self.delay_s():
                await asyncio.sleep(delay_s)
            await self._open.wait()
            writer.write(chunk)
            await writer.drain()


async def _first_to_end(*ways: Coroutine[object, object, None]) -> None:
    tasks = [asyncio.create_task(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def slow_proxy(url: str) -> AsyncIterator[SlowProxy]:
    """A proxy in front of a Redis URL, in the test's own event loop."""
    proxy = SlowProxy(url)
    server = await asyncio.start_server(proxy._serve, HOST, 0)
    proxy._port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.cut()
