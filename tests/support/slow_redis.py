"""A proxy before Redis that is slow in both directions, by chance."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from random import Random
from urllib.parse import urlsplit

from tests.support.redis_server import HOST


@contextlib.asynccontextmanager
async def slow_redis(url: str, draw: Random, *, most_s: float) -> AsyncIterator[str]:
    """The URL of the proxy. Each piece that passes waits up to `most_s`, its order kept."""
    behind = urlsplit(url).port
    running: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(65536):
                await asyncio.sleep(draw.uniform(0, most_s))
                writer.write(piece)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection(HOST, behind)
        for task in (
            asyncio.create_task(pump(reader, ours)),
            asyncio.create_task(pump(theirs, writer)),
        ):
            running.add(task)
            task.add_done_callback(running.discard)

    server = await asyncio.start_server(serve, HOST, 0)
    try:
        yield f"redis://{HOST}:{server.sockets[0].getsockname()[1]}/0"
    finally:
        server.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
