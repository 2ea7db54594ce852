"""The proxy of the fault tests does to a connection what its line says, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import monotonic

import pytest

from tests.support.fault_proxy import HOST, SOUND, FaultProxy, Line, Way, fault_proxy

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
PATIENCE_S = 5.0
SHORT_S = 0.05


@pytest.fixture
async def proxy() -> AsyncIterator[FaultProxy]:
    """Before a server that sends back what it gets."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(echo, HOST, 0)
    async with server, fault_proxy(server.sockets[0].getsockname()[1]) as opened:
        yield opened


async def connect(proxy: FaultProxy) -> Streams:
    return await asyncio.open_connection(HOST, proxy.port)


async def say(streams: Streams, data: bytes, answer: int | None = None) -> bytes:
    """What comes back of `data`, all of it or the first bytes."""
    reader, writer = streams
    writer.write(data)
    async with asyncio.timeout(PATIENCE_S):
        return await reader.readexactly(len(data) if answer is None else answer)


async def is_silent(streams: Streams) -> bool:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SHORT_S):
            await streams[0].read(1)
    return True


async def test_a_sound_line_passes_everything_both_ways(proxy: FaultProxy) -> None:
    streams, data = await connect(proxy), bytes(range(256)) * 4_000
    assert await say(streams, data) == data
    assert (proxy.connections, proxy.open) == (1, 1)
    streams[1].close()
    other = await connect(proxy)
    assert await say(other, b"x") == b"x"
    assert (proxy.connections, proxy.open) == (2, 1)
    other[1].close()


async def test_a_delay_holds_up_but_does_not_reorder_or_add_up(proxy: FaultProxy) -> None:
    await proxy.become(Line(up=Way(delay_s=0.1), down=Way(delay_s=0.05, jitter_s=0.02)))
    streams, began = await connect(proxy), monotonic()
    for number in range(40):
        streams[1].write(bytes([number]))
        await asyncio.sleep(0.005)
    async with asyncio.timeout(PATIENCE_S):
        assert await streams[0].readexactly(40) == bytes(range(40))
    assert 0.15 <= monotonic() - began < 40 * 0.15
    streams[1].close()


async def test_what_hangs_arrives_once_the_line_is_sound(proxy: FaultProxy) -> None:
    streams = await connect(proxy)
    await say(streams, b"before")
    await proxy.become(Line(down=Way(hung=True)))
    streams[1].write(b"asked")
    new = await connect(proxy)  # is taken all the same
    new[1].write(b"too")
    assert await is_silent(streams)
    assert await is_silent(new)
    await proxy.become(SOUND)
    assert await say(streams, b"", 5) == b"asked"
    assert await say(new, b"", 3) == b"too"
    for _, writer in (streams, new):
        writer.close()


async def test_a_cut_connection_ends_after_so_many_bytes(proxy: FaultProxy) -> None:
    streams = await connect(proxy)
    await say(streams, b"counted from when the line becomes so")
    await proxy.become(Line(down=Way(cut_after=4)))
    streams[1].write(b"0123456789")
    async with asyncio.timeout(PATIENCE_S):
        assert await streams[0].read() == b"0123"
    streams[1].close()
    new = await connect(proxy)
    new[1].write(b"abcdefgh")
    async with asyncio.timeout(PATIENCE_S):
        assert await new[0].read() == b"abcd"
    new[1].close()


async def test_a_reset_comes_after_so_many_bytes(proxy: FaultProxy) -> None:
    await proxy.become(Line(up=Way(reset_after=3)))
    streams = await connect(proxy)
    streams[1].write(b"0123456789")
    with pytest.raises(ConnectionResetError):
        async with asyncio.timeout(PATIENCE_S):
            await streams[0].read()
    streams[1].close()


async def test_every_connection_can_be_reset_now(proxy: FaultProxy) -> None:
    streams = [await connect(proxy) for _ in range(3)]
    for each in streams:
        await say(each, b"x")
    await proxy.reset()
    for reader, writer in streams:
        with pytest.raises(ConnectionResetError):
            async with asyncio.timeout(PATIENCE_S):
                await reader.read()
        writer.close()
    assert proxy.open == 0
    new = await connect(proxy)
    assert await say(new, b"again") == b"again"
    new[1].close()


async def test_new_connections_are_reset_and_old_ones_not(proxy: FaultProxy) -> None:
    old = await connect(proxy)
    await say(old, b"x")
    await proxy.become(Line(reset_new=True))
    with pytest.raises(ConnectionResetError):
        new = await connect(proxy)
        async with asyncio.timeout(PATIENCE_S):
            await new[0].read()
    assert await say(old, b"still here") == b"still here"
    old[1].close()


async def test_connections_are_refused_and_taken_again_on_the_same_port(proxy: FaultProxy) -> None:
    old, port = await connect(proxy), proxy.port
    await say(old, b"x")
    await proxy.become(Line(refused=True))
    with pytest.raises(ConnectionRefusedError):
        await connect(proxy)
    assert await say(old, b"still here") == b"still here"
    await proxy.become(SOUND)
    assert proxy.port == port
    new = await connect(proxy)
    assert await say(new, b"again") == b"again"
    for _, writer in (old, new):
        writer.close()


async def test_a_narrow_line_passes_no_more_than_it_can(proxy: FaultProxy) -> None:
    await proxy.become(Line(down=Way(bytes_per_s=20_000)))
    streams, began = await connect(proxy), monotonic()
    assert len(await say(streams, bytes(4_000))) == 4_000
    assert monotonic() - began >= 0.15
    streams[1].close()


async def test_a_server_that_is_down_ends_the_connection() -> None:
    async with await asyncio.start_server(lambda _r, _w: None, HOST, 0) as server:
        port = server.sockets[0].getsockname()[1]
    async with fault_proxy(port) as proxy:
        reader, writer = await connect(proxy)
        async with asyncio.timeout(PATIENCE_S):
            assert await reader.read() == b""
        writer.close()
