"""Cached calls, over real sockets."""

from __future__ import annotations

import asyncio
import gzip
import random
import time
import tracemalloc

import pytest

from bff.errors import (
    Overloaded,
    TargetError,
    UnusableAnswer,
    UpstreamDown,
    UpstreamError,
    UpstreamTimeout,
)
from bff.nexudus.client import Call, NexudusClient, Timeouts
from bff.nexudus.exchange import Exchange
from bff.nexudus.headers import Variants, cached_request_headers
from bff.spaces import Origin, Space
from tests.support.nexudus_client import client_and_upstream, nexudus_client
from tests.support.raw_upstream import Peer, Upstream, answering, once, upstream

HEADERS = cached_request_headers("t0ken", Variants())
PATH = "/api/public/coworkers/profiles"
QUICK = Timeouts(connect_s=1, read_s=0.2, write_s=1, pool_s=0.2)


async def test_an_answer_is_decoded_and_its_headers_are_allow_listed() -> None:
    head = (
        b"HTTP/1.1 409 You must wait\r\nContent-Encoding: gzip\r\nRetry-After: 1\r\n"
        b"Server: x\r\nSet-Cookie: a=1\r\nCache-Control: no-store"
    )
    async with client_and_upstream(answering(gzip.compress(b'{"a":1}'), head=head)) as (client, up):
        answer = await client.get(up.space, PATH, HEADERS, 5)
    assert (answer.status, answer.body) == (409, b'{"a":1}')
    assert answer.headers == (
        (b"retry-after", b"1"),
        (b"set-cookie", b"a=1"),
        (b"cache-control", b"no-store"),
    )
    assert answer.no_store
    assert answer.set_cookie
    assert answer.took_s > 0


async def test_the_request_is_exactly_what_was_asked_for() -> None:
    seen = []

    async def handler(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.answer()

    async with client_and_upstream(handler) as (client, up):
        await client.get(up.space, PATH + "?_shape=A%2cb,c", HEADERS, 5)
    assert (seen[0].method, seen[0].target) == ("GET", PATH.encode() + b"?_shape=A%2cb,c")
    assert seen[0].headers == [(b"host", up.space.origin.url[7:].encode()), *HEADERS]


async def test_connections_are_reused() -> None:
    async with client_and_upstream(answering(b"1", b"2")) as (client, up):
        bodies = [(await client.get(up.space, PATH, HEADERS, 5)).body for _ in range(3)]
        assert bodies == [b"1", b"2", b"2"]
        assert len(up.peers) == 1


@pytest.mark.parametrize("more", [b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold"])
async def test_pitfall_15_what_comes_behind_an_answer_is_nobodys(more: bytes) -> None:
    async def handler(peer: Peer) -> None:
        while True:
            asked = (await peer.request()).target
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + asked + more)

    async with client_and_upstream(handler) as (client, up):
        for path in ("/a", "/b"):
            assert (await client.get(up.space, path, HEADERS, 5)).body == path.encode()
        assert len(up.peers) == 2


async def test_cookies_are_neither_kept_nor_sent() -> None:
    seen = []

    async def handler(peer: Peer) -> None:
        while True:
            seen.append(await peer.request())
            await peer.answer(head=b"HTTP/1.1 200 OK\r\nSet-Cookie: session=canary; Path=/")

    async with client_and_upstream(handler) as (client, up):
        await client.get(up.space, PATH, HEADERS, 5)
        await client.get(up.space, PATH, HEADERS, 5)
    assert len(seen) == 2
    assert not any(b"canary" in value for request in seen for _, value in request.headers)


@pytest.mark.parametrize(
    "location", [b"/elsewhere", b"http://127.0.0.1:1/", b"https://exa mple:x/"]
)
async def test_pitfall_17_a_redirect_is_an_answer_like_any_other(location: bytes) -> None:
    head = b"HTTP/1.1 302 Found\r\nLocation: " + location
    async with client_and_upstream(answering(b"", head=head)) as (client, up):
        answer = await client.get(up.space, PATH, HEADERS, 5)
        assert (answer.status, answer.values(b"location")) == (302, (location,))
        assert len(up.peers) == 1


async def test_pitfall_17_the_environment_names_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async with upstream(answering(b"direct")) as up, upstream(answering(b"proxied")) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.space.origin.url)
        async with nexudus_client() as client:
            assert (await client.get(up.space, PATH, HEADERS, 5)).body == b"direct"
        assert not proxy.peers


@pytest.mark.parametrize(
    "path",
    [
        "http://evil.example/",
        "//evil.example/x",
        "@evil.example/",
        "x",
        "",
        "*",
        "/a b",
        "/a\r\nHost: evil",
        "/a#x",
        "/\x7f",
        "/é",
    ],
)
async def test_pitfall_17_a_target_that_is_no_path_is_never_sent(path: str) -> None:
    async with client_and_upstream(answering(b"")) as (client, up):
        with pytest.raises(TargetError):
            await client.get(up.space, path, HEADERS, 5)
        assert not up.peers


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "get", "G T", "", "GET\n"])
async def test_a_method_that_is_never_forwarded(method: str) -> None:
    async with client_and_upstream(answering(b"")) as (client, up):
        with pytest.raises(TargetError):
            async with client.stream(up.space, Call(method, b"/", ()), 5) as exchange:
                await exchange.head()
        assert not up.peers


@pytest.mark.parametrize("host", ["a.example/x", "user@a.example", "a.example:1", "a.example#"])
async def test_pitfall_17_an_origin_that_reads_otherwise_is_never_called(host: str) -> None:
    space = Space("odd", Origin("https", host, 443))
    async with nexudus_client() as client:
        with pytest.raises(TargetError):
            await client.get(space, PATH, HEADERS, 5)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (b"", UpstreamDown),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", UpstreamDown),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n", UpstreamDown),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", UpstreamDown),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", UpstreamDown),
        (b"SSH-2.0-OpenSSH_9.6\r\n", UpstreamDown),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", UpstreamDown),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000 + b"\r\n\r\n", UpstreamDown),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
            UnusableAnswer,
        ),
    ],
    ids=["nothing", "short", "cut", "chunk", "lengths", "ssh", "101", "long-head", "gzip"],
)
async def test_pitfall_12_a_broken_answer_has_a_type(
    reply: bytes, expected: type[UpstreamError]
) -> None:
    async with client_and_upstream(once(reply)) as (client, up):
        with pytest.raises(expected):
            await client.get(up.space, PATH, HEADERS, 5)


async def test_a_reset_is_upstream_down() -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        peer.reset()

    async with client_and_upstream(handler) as (client, up):
        with pytest.raises(UpstreamDown):
            await client.get(up.space, PATH, HEADERS, 5)


async def test_no_listener_is_upstream_down() -> None:
    async with upstream(answering(b"")) as up:
        pass
    async with nexudus_client() as client:
        with pytest.raises(UpstreamDown):
            await client.get(up.space, PATH, HEADERS, 5)


async def test_silence_is_a_timeout() -> None:
    async with client_and_upstream(Peer.closed, QUICK) as (client, up):
        with pytest.raises(UpstreamTimeout):
            await client.get(up.space, PATH, HEADERS, 5)


@pytest.mark.parametrize("trickle", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n"])
async def test_the_deadline_covers_head_and_body(trickle: bytes) -> None:
    """Each byte comes soon enough for the read timeout, all of them never would."""

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(trickle)
        while True:
            await peer.send(b"x")
            await asyncio.sleep(0.01)

    async with client_and_upstream(handler) as (client, up):
        began = time.monotonic()
        with pytest.raises(UpstreamTimeout):
            await client.get(up.space, PATH, HEADERS, 0.15)
        assert 0.15 <= time.monotonic() - began < 2
        await up.until_live(0)


async def test_a_full_pool_is_overload_and_recovers() -> None:
    async def handler(peer: Peer) -> None:
        await answers.wait()
        await answering(b"ok")(peer)

    answers = asyncio.Event()
    async with (
        upstream(handler) as up,
        nexudus_client(Timeouts(pool_s=0.05), connections=1) as client,
    ):
        first = asyncio.create_task(client.get(up.space, PATH, HEADERS, 5))
        await up.until_live(1)
        with pytest.raises(Overloaded):
            await client.get(up.space, PATH, HEADERS, 5)
        answers.set()
        assert (await first).body == b"ok"
        assert (await client.get(up.space, PATH, HEADERS, 5)).body == b"ok"


@pytest.mark.parametrize("framing", [b"Content-Length: 104857600", b"X: y"])
async def test_a_body_past_the_limit_is_not_read_on(framing: bytes) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
        for _ in range(1600):
            await peer.send(bytes(65536))

    async with client_and_upstream(handler, max_answer=2**20) as (client, up):
        with pytest.raises(UnusableAnswer):
            await client.get(up.space, PATH, HEADERS, 5)
        await up.until_live(0)
        assert up.peers[0].written < 16 * 2**20


async def test_a_body_of_exactly_the_limit_passes() -> None:
    async with client_and_upstream(answering(bytes(2**20)), max_answer=2**20) as (client, up):
        assert len((await client.get(up.space, PATH, HEADERS, 5)).body) == 2**20


async def test_pitfall_18_a_decompression_bomb_is_refused_in_bounded_memory() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip"
    bomb = answering(gzip.compress(bytes(64 * 2**20)), head=head)
    async with client_and_upstream(bomb, max_answer=2**20) as (client, up):
        tracemalloc.start()
        try:
            with pytest.raises(UnusableAnswer):
                await client.get(up.space, PATH, HEADERS, 5)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 8 * 2**20


async def test_a_connection_that_the_server_closed_while_idle_is_not_used_again() -> None:
    closing = once(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
    async with client_and_upstream(closing) as (client, up):
        for _ in range(3):
            assert (await client.get(up.space, PATH, HEADERS, 5)).body == b"x"
            await up.until_live(0)
        assert len(up.peers) == 3


async def echo_slowly(peer: Peer) -> None:
    """Answers with the target, in parts, with pauses at every place."""
    rng = random.Random(len(peer.writer.get_extra_info("peername")))
    while True:
        request = await peer.request()
        body = request.target * 40
        await asyncio.sleep(rng.random() * 0.004)
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n" % len(body))
        await asyncio.sleep(rng.random() * 0.002)
        await peer.send(b"\r\n" + body[:50])
        await asyncio.sleep(rng.random() * 0.002)
        await peer.send(body[50:])


async def test_pitfall_8_after_cancellations_every_answer_is_its_own_requests() -> None:
    rng = random.Random(8)

    async def ask(client: NexudusClient, up: Upstream, name: str) -> None:
        answer = await client.get(up.space, f"/{name}", HEADERS, 5)
        assert answer.body == f"/{name}".encode() * 40

    async with upstream(echo_slowly) as up, nexudus_client(connections=8) as client:
        cancelled = 0
        for turn in range(20):
            tasks = [asyncio.create_task(ask(client, up, f"c{turn}-{i}")) for i in range(10)]
            for task in tasks:
                asyncio.get_running_loop().call_later(rng.random() * 0.012, task.cancel)
            done = await asyncio.gather(*tasks, return_exceptions=True)
            cancelled += sum(isinstance(result, asyncio.CancelledError) for result in done)
            assert all(isinstance(r, asyncio.CancelledError | None) for r in done)
            # As many as the pool has places: none of them may have been lost.
            await asyncio.gather(*(ask(client, up, f"k{turn}-{i}") for i in range(8)))
        assert cancelled > 50
        assert up.live <= 8


async def test_a_call_that_is_cancelled_twice_keeps_its_place_in_the_pool() -> None:
    async with (
        upstream(echo_slowly) as up,
        nexudus_client(Timeouts(pool_s=1), connections=1) as client,
    ):
        for turn in range(50):
            task = asyncio.create_task(client.get(up.space, f"/{turn}", HEADERS, 5))
            await asyncio.sleep(turn * 0.0001)
            for _ in range(5):
                task.cancel()
                await asyncio.sleep(0)
            with pytest.raises(asyncio.CancelledError):
                await task
        assert (await client.get(up.space, "/x", HEADERS, 5)).body == b"/x" * 40


async def test_cancelling_closes_the_connection() -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        asked.set()
        await peer.closed()

    asked = asyncio.Event()
    async with client_and_upstream(handler) as (client, up):
        task = asyncio.create_task(client.get(up.space, PATH, HEADERS, 5))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await up.until_live(0)


async def sent(exchange: Exchange) -> bool:
    with pytest.raises(UpstreamError):
        await exchange.head()
    return exchange.sent


async def test_an_exchange_knows_whether_it_was_sent() -> None:
    async with upstream(answering(b"")) as gone:
        pass
    call = Call("POST", b"/", ())
    async with client_and_upstream(Peer.closed) as (client, up):
        async with client.stream(gone.space, call, 5) as exchange:
            assert not await sent(exchange)
        async with client.stream(up.space, call, 0.05) as exchange:
            assert await sent(exchange)


async def test_an_exchange_that_is_ended_from_outside_leaves_no_reader_waiting() -> None:
    async with client_and_upstream(Peer.closed) as (client, up):
        async with client.stream(up.space, Call("GET", b"/", ()), 5) as exchange:
            await up.until_live(1)
            exchange.task.cancel()
            with pytest.raises(UpstreamDown):
                await exchange.head()
        await up.until_live(0)
