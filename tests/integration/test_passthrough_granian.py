"""Pass-through under the server of production: what really leaves it on the wire."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.e2e.commands import free_port
from tests.support.passthrough_app import ORIGIN
from tests.support.raw_upstream import HOST, Handler, Peer, Upstream, upstream

ROOT = Path(__file__).parents[2]
MIB = 2**20


@asynccontextmanager
async def granian(up: Upstream) -> AsyncIterator[int]:
    """A port on which granian passes through to `up`."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "granian", "--interface", "asgi", "--factory", "--no-log"),
        *("--host", HOST, "--port", str(port), "tests.support.passthrough_app:create"),
        cwd=ROOT,
        env={**os.environ, ORIGIN: up.space.origin.url},
    )
    try:
        await accepting(port)
        yield port
    finally:
        process.terminate()
        await process.wait()


async def accepting(port: int) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection(HOST, port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return await writer.wait_closed()


async def exchange(port: int, request: bytes) -> bytes:
    """Everything that comes back until the server closes."""
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(request)
    reply = await reader.read()
    writer.close()
    return reply


def routes(left: asyncio.Event) -> Handler:
    async def handler(peer: Peer) -> None:
        while True:
            request = await peer.request()
            match request.target.split(b"?")[0]:
                case b"/api/cut":
                    await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                    await peer.send(b"4\r\nhalf\r\n")
                    return peer.writer.close()
                case b"/api/short":
                    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
                    return peer.writer.close()
                case b"/api/endless":
                    await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
                    try:
                        while True:
                            await peer.send(bytes(65536))
                    finally:
                        left.set()
                case b"/api/304":
                    await peer.send(b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n')
                case _:
                    head = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Target: x"
                    body = request.target + b" %d" % len(request.body)
                    sent = b"" if request.method == "HEAD" else body
                    length = b"\r\nContent-Length: %d\r\n\r\n" % len(body)
                    await peer.send(head + length + sent)

    return handler


async def test_on_the_wire() -> None:
    left = asyncio.Event()
    async with upstream(routes(left)) as up, granian(up) as port:
        close = b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"

        reply = await exchange(port, b"GET /api/a%2Fb?x=%41&y" + close + b"\r\n")
        head, _, body = reply.partition(b"\r\n\r\n")
        assert body == b"/api/a%2Fb?x=%41&y 0"
        assert head.index(b"set-cookie: a=1") < head.index(b"set-cookie: b=2")

        reply = await exchange(port, b"HEAD /api/x" + close + b"\r\n")
        assert reply.endswith(b"\r\n\r\n")
        assert b"content-length: 8" in reply

        reply = await exchange(port, b"GET /api/304" + close + b"\r\n")
        assert reply.startswith(b"HTTP/1.1 304")
        assert reply.endswith(b"\r\n\r\n")

        chunks = b"10000\r\n" + bytes(65536) + b"\r\n"
        upload = b"POST /api/up" + close + b"Transfer-Encoding: chunked\r\n\r\n"
        reply = await exchange(port, upload + chunks * 100 + b"0\r\n\r\n")
        assert reply.endswith(b"/api/up %d" % (100 * 65536))

        reply = await exchange(port, b"GET /api/cut" + close + b"\r\n")
        assert reply.endswith(b"4\r\nhalf\r\n"), "the last chunk would say that the body is whole"

        reply = await exchange(port, b"GET /api/short" + close + b"\r\n")
        assert reply.endswith(b"\r\n\r\nhalf")
        assert b"content-length: 10" in reply

        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(b"GET /api/endless" + close + b"\r\n")
        await reader.readexactly(MIB)
        writer.transport.abort()
        await asyncio.wait_for(left.wait(), 5)
