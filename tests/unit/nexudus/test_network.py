"""One TCP connection as httpcore sees it: real sockets, since what matters is what they do."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpcore
import pytest

from bff.nexudus.network import AHEAD, Network, Stream
from tests.support.raw_upstream import Peer, upstream
from tests.support.tls import TestTls

HOST = "127.0.0.1"
Served = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]


@asynccontextmanager
async def connected(serve: Served) -> AsyncIterator[httpcore.AsyncNetworkStream]:
    serving: list[asyncio.Task[None]] = []

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.CancelledError):
            serving.append(asyncio.ensure_future(serve(reader, writer)))
            await serving[0]
        writer.transport.abort()

    server = await asyncio.start_server(served, HOST, 0)
    stream = await Network().connect_tcp(HOST, server.sockets[0].getsockname()[1], timeout=5)
    try:
        yield stream
    finally:
        await stream.aclose()
        for task in serving:
            task.cancel()
        await asyncio.wait(serving)
        server.close()
        await server.wait_closed()


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def test_what_arrives_is_read_in_pieces_and_then_the_end() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"abcdef")
        await writer.drain()
        writer.close()

    async with connected(serve) as stream:
        assert [await stream.read(4, 5), await stream.read(4, 5)] == [b"abcd", b"ef"]
        assert await stream.read(4, 5) == b""
        assert stream.get_extra_info("is_readable")


async def test_an_idle_one_is_quiet_until_its_peer_leaves_though_nobody_looked() -> None:
    leaves, left = asyncio.Event(), asyncio.Event()

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await leaves.wait()
        # Past the event loop, which is yet to hear of it when this one is asked.
        raw = writer.get_extra_info("socket")
        with socket.fromfd(raw.fileno(), raw.family, raw.type) as copy:
            copy.shutdown(socket.SHUT_RDWR)
        seen.append(stream.get_extra_info("is_readable"))
        left.set()

    seen: list[bool] = []
    async with connected(serve) as stream:
        assert not stream.get_extra_info("is_readable")
        leaves.set()
        await left.wait()
    assert seen == [True]


async def test_an_idle_one_with_tls_tells_that_it_was_reset_in_every_turn_of_it(
    tmp_path: Path,
) -> None:
    tls = TestTls(tmp_path)
    async with upstream(Peer.closed, tls.server) as up:
        to = up.space.origin
        plain = await Network().connect_tcp(to.host, to.port, timeout=5)
        stream = await plain.start_tls(tls.client(), to.host, timeout=5)
        await up.until_live(1)
        assert not stream.get_extra_info("is_readable")
        up.peers[0].reset()
        told = []
        for _ in range(30):
            told.append(stream.get_extra_info("is_readable"))
            await asyncio.sleep(0)
        assert told == sorted(told)
        assert told[-1]
        await stream.aclose()


async def test_a_slow_reader_slows_its_peer_down() -> None:
    size = 32 * 2**20
    written = 0

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        while written < size:
            writer.write(bytes(AHEAD))
            await writer.drain()
            written += AHEAD
        writer.close()
        await writer.wait_closed()

    async with connected(serve) as stream:
        before = -1
        while before != written:
            before = written
            await asyncio.sleep(0.02)
        assert written < size
        read = 0
        while part := await stream.read(AHEAD, 5):
            read += len(part)
        assert read == size


async def test_who_leaves_while_it_writes_takes_nothing_from_who_writes_next() -> None:
    """Requests of one connection by HTTP/2 write in turn, and any of them may be given up."""
    listens = asyncio.Event()

    async def deaf_at_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await listens.wait()
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        while await reader.read(2**20):
            pass
        writer.close()

    async with connected(deaf_at_first) as stream:
        assert isinstance(stream, Stream)
        leaving = asyncio.create_task(stream.write(bytes(32 * 2**20), timeout=5))
        await asyncio.sleep(0)
        assert stream._writer is not None, "more than anything between them takes"
        leaving.cancel()
        await asyncio.wait((leaving,))
        assert leaving.cancelled()
        following = asyncio.create_task(stream.write(b"next", timeout=5))
        for _ in range(3):
            await asyncio.sleep(0)
        assert not following.done(), "it waits as well"
        listens.set()
        await following


async def test_the_end_of_a_wait_for_what_came_disturbs_no_later_one() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"a")
        await reader.read(1)
        await asyncio.sleep(0.05)
        writer.write(b"b")
        await reader.read()

    async with connected(serve) as stream:
        for waits_s, comes in ((0.04, b"a"), (5, b"b")):
            reader = asyncio.create_task(stream.read(1, waits_s))
            await asyncio.sleep(0)
            await stream.write(b"?", 5)
            assert await reader == comes


async def test_what_comes_as_a_wait_ends_is_read() -> None:
    loop, stream = asyncio.get_running_loop(), Stream()
    failed: list[object] = []
    loop.set_exception_handler(lambda _, context: failed.append(context))
    loop.call_later(0.001, stream.data_received, b"x")
    reader = asyncio.create_task(stream.read(1, 0.002))
    await asyncio.sleep(0)
    time.sleep(0.005)  # noqa: ASYNC251 - both are due in the same turn then
    assert await reader == b"x"
    assert not failed


async def test_waits_are_bounded() -> None:
    async with connected(silent) as stream:
        with pytest.raises(httpcore.ReadTimeout):
            await stream.read(1, timeout=0.01)
        await stream.write(b"goes on", timeout=5)

    async def deaf(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    async with connected(deaf) as stream:
        with pytest.raises(httpcore.WriteTimeout):
            await stream.write(bytes(64 * 2**20), timeout=0.01)


async def test_pitfall_12_what_is_closed_here_or_broken_there_is_no_end() -> None:
    async with connected(silent) as stream:
        reading = asyncio.create_task(stream.read(1, 5))
        await asyncio.sleep(0)
        await stream.aclose()
        with pytest.raises(httpcore.ReadError):
            await reading
        with pytest.raises(httpcore.WriteError):
            await stream.write(b"x", 5)

    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        writer.write(b"last words")
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    async with connected(reset) as stream:
        await stream.write(b"x", 5)
        assert await stream.read(AHEAD, 5) == b"last words"
        with pytest.raises(httpcore.ReadError):
            await stream.read(1, 5)


async def test_nobody_there_and_nobody_answering_are_told_apart() -> None:
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
    for host in (HOST, "localhost"):
        with pytest.raises(httpcore.ConnectError):
            await Network().connect_tcp(host, port, timeout=5)
    with pytest.raises(httpcore.ConnectTimeout):
        await Network().connect_tcp(HOST, port, timeout=0)
