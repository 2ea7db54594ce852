"""HTTP/2 towards Nexudus: cached calls share a connection, and none of them can spoil it."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from bff.clock import SystemClock
from bff.errors import UnusableAnswer, UpstreamDown, UpstreamError, UpstreamTimeout
from bff.nexudus.client import Call, NexudusClient, Timeouts, open_pools
from bff.nexudus.headers import Variants, cached_request_headers
from bff.spaces import Origin, Space
from tests.support.h2_upstream import H2Stream, http2
from tests.support.raw_upstream import HOST, Handler, Peer, Upstream, answering, upstream
from tests.support.tls import TestTls

HEADERS = cached_request_headers("t0ken", Variants())
WINDOW = 2**24 + 2**16  # how much a server may send before the client gives window back


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TestTls:
    return TestTls(Path(tmp_path_factory.mktemp("tls")))


@asynccontextmanager
async def both(
    tls: TestTls, answer: Callable[[H2Stream], Awaitable[None]], http1: Handler = Peer.closed
) -> AsyncIterator[tuple[NexudusClient, Upstream]]:
    async with upstream(http2(answer, http1), tls.server) as up:
        client = NexudusClient(open_pools(tls=tls.client), Timeouts(read_s=5), SystemClock())
        try:
            yield client, up
        finally:
            await client.aclose()


async def echo(stream: H2Stream) -> None:
    await stream.answer(stream.target * 40)


async def test_cached_calls_share_a_connection_and_streams_have_their_own(tls: TestTls) -> None:
    async with both(tls, echo, answering(b"http/1.1")) as (client, up):
        await client.get(up.space, "/first", HEADERS, 5)
        paths = [f"/{i}?a=%2c" for i in range(30)]
        answers = await asyncio.gather(*(client.get(up.space, p, HEADERS, 5) for p in paths))
        assert [answer.body for answer in answers] == [p.encode() * 40 for p in paths]
        assert len(up.peers) == 1
        async with client.stream(up.space, Call("GET", b"/", ()), 5) as exchange:
            await exchange.head()
            assert b"".join([part async for part in exchange.chunks()]) == b"http/1.1"
        assert len(up.peers) == 2


async def test_pitfall_8_calls_that_ran_out_of_time_do_not_stall_the_connection(
    tls: TestTls,
) -> None:
    """What they leave unread is together longer than the connection's flow-control window."""
    body = bytes(400_000)
    calls = 60
    assert calls * len(body) > WINDOW

    async def late(stream: H2Stream) -> None:
        if stream.target == b"/late":
            await released.wait()
            await stream.answer(body)
        else:
            await echo(stream)

    released = asyncio.Event()
    async with both(tls, late) as (client, up):
        await client.get(up.space, "/first", HEADERS, 5)
        late_calls = (client.get(up.space, "/late", HEADERS, 0.2) for _ in range(calls))
        results = await asyncio.gather(*late_calls, return_exceptions=True)
        assert all(isinstance(result, UpstreamTimeout) for result in results)
        released.set()
        for turn in range(20):
            path = f"/after{turn}"
            assert (await client.get(up.space, path, HEADERS, 5)).body == path.encode() * 40
        assert len(up.peers) == 1


async def test_an_endless_answer_costs_its_connection_and_the_next_call_has_another(
    tls: TestTls,
) -> None:
    async def endless(stream: H2Stream) -> None:
        if stream.target != b"/endless":
            return await echo(stream)
        await stream.head()
        while True:
            await stream.data(bytes(65536), end=False)

    async with both(tls, endless) as (client, up):
        with pytest.raises(UnusableAnswer):
            await client.get(up.space, "/endless", HEADERS, 5)
        await up.until_live(0)
        # A call may come just before the client has noticed that it closed the connection itself.
        with suppress(UpstreamDown):
            await client.get(up.space, "/x", HEADERS, 5)
        assert (await client.get(up.space, "/x", HEADERS, 5)).body == b"/x" * 40
        assert up.peers[0].written < 64 * 2**20


async def test_pitfall_8_cancelled_calls_do_not_disturb_the_others(tls: TestTls) -> None:
    rng = random.Random(8)

    async def slowly(stream: H2Stream) -> None:
        await asyncio.sleep(rng.random() * 0.004)
        await stream.head()
        await stream.data(stream.target * 20, end=False)
        await asyncio.sleep(rng.random() * 0.004)
        await stream.data(stream.target * 20)

    async def ask(name: str) -> None:
        answer = await client.get(up.space, f"/{name}", HEADERS, 5)
        assert answer.body == f"/{name}".encode() * 40

    async with both(tls, slowly) as (client, up):
        await ask("first")
        cancelled = 0
        for turn in range(20):
            doomed = [asyncio.create_task(ask(f"c{turn}-{i}")) for i in range(10)]
            for task in doomed:
                asyncio.get_running_loop().call_later(rng.random() * 0.012, task.cancel)
            await asyncio.gather(*(ask(f"k{turn}-{i}") for i in range(10)))
            done = await asyncio.gather(*doomed, return_exceptions=True)
            assert all(isinstance(result, asyncio.CancelledError | None) for result in done)
            cancelled += sum(result is not None for result in done)
        assert cancelled > 50
        assert len(up.peers) == 1


@pytest.mark.parametrize("length", ["39", "41"])
async def test_pitfall_12_a_body_of_another_length_than_declared_is_refused(
    tls: TestTls, length: str
) -> None:
    async def lying(stream: H2Stream) -> None:
        await stream.answer(bytes(40), ("content-length", length))

    async with both(tls, lying) as (client, up):
        with pytest.raises(UpstreamError):
            await client.get(up.space, "/", HEADERS, 5)


async def test_a_certificate_that_is_not_trusted_is_no_connection(tls: TestTls) -> None:
    async with upstream(http2(echo), tls.server) as up:
        client = NexudusClient(open_pools(), Timeouts(), SystemClock())
        with pytest.raises(UpstreamDown):
            await client.get(up.space, "/", HEADERS, 5)
        await client.aclose()


@asynccontextmanager
async def accepted_peer(accepted: socket.socket, tls: TestTls) -> AsyncIterator[Peer]:
    """Does the server's part of the handshake; forgives the client that it leaves."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await loop.connect_accepted_socket(lambda: protocol, accepted, ssl=tls.server)
    try:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            yield Peer(reader, asyncio.StreamWriter(transport, protocol, reader, loop))
    finally:
        transport.abort()


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_call_that_is_given_up_while_connecting_is_not_sent_and_leaks_nothing(
    tls: TestTls, streamed: bool
) -> None:
    """The server takes up the handshake when the caller has left; the pool has one place."""
    loop = asyncio.get_running_loop()
    connected, goes_on = asyncio.Event(), asyncio.Event()
    targets: list[bytes] = []

    async def http1(peer: Peer) -> None:
        targets.append((await peer.request()).target)
        await peer.answer()

    async def answer(stream: H2Stream) -> None:
        targets.append(stream.target)
        await stream.answer(b"")

    async def serve(listener: socket.socket) -> None:
        while True:
            accepted, _ = await loop.sock_accept(listener)
            connected.set()
            await goes_on.wait()
            async with accepted_peer(accepted, tls) as peer:
                await http2(answer, http1)(peer)

    async def ask(path: str) -> None:
        if not streamed:
            await client.get(space, path, HEADERS, 5)
            return
        async with client.stream(space, Call("PUT", path.encode(), ()), 5) as exchange:
            await exchange.head()

    with socket.create_server((HOST, 0)) as listener:
        listener.setblocking(False)
        space = Space.of(Origin("https", HOST, listener.getsockname()[1]))
        client = NexudusClient(open_pools(1, tls=tls.client), Timeouts(), SystemClock())
        serving = asyncio.create_task(serve(listener))
        task = asyncio.create_task(ask("/given-up"))
        await connected.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        goes_on.set()
        await ask("/next")
        await client.aclose()
        serving.cancel()
        await asyncio.wait({serving})
    assert targets == [b"/next"]
