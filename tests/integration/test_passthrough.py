"""What passes through, and how much of it is held on the way."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
from collections.abc import Callable

import pytest
from starlette.types import Message

from bff.errors import BodyTooLarge, HeaderError, TargetError
from bff.nexudus.client import NexudusClient
from bff.nexudus.headers import Header
from bff.nexudus.passthrough import Forwarded, Outcome, Plan, forward
from bff.spaces import Space
from tests.support.asgi_call import AsgiCall
from tests.support.nexudus_client import client_and_upstream
from tests.support.raw_upstream import Handler, Peer, Received, answering, once, upstream
from tests.support.unlimited import free

PLAN = Plan(max_body=200 * 2**20, idle_s=5)
MIB = 2**20


async def run(call: AsgiCall, client: NexudusClient, space: Space, plan: Plan = PLAN) -> Forwarded:
    return await forward(
        call.scope, call.receive, call.send, passage=free(client, space), plan=plan
    )


async def through(call: AsgiCall, handler: Handler, plan: Plan = PLAN) -> Forwarded:
    async with client_and_upstream(handler) as (client, up):
        return await run(call, client, up.space, plan)


def recording(seen: list[Received], reply: bytes) -> Handler:
    async def handler(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.send(reply)

    return handler


async def test_request_and_response_pass_unchanged() -> None:
    seen: list[Received] = []
    call = AsgiCall(
        "PUT",
        b"/api/public/a%2Fb//c;x",
        b"coworkerId=1%32&_shape=A,B&&=",
        [(b"authorization", b"Bearer t"), (b"content-length", b"7"), (b"accept", b"*/*")],
        [b"pay", b"", b"load"],
    )
    reply = (
        b"HTTP/1.1 201 Created\r\nContent-Type: text/html\r\nContent-Length: 5\r\n"
        b'Set-Cookie: a=1\r\nETag: W/"x"\r\nSet-Cookie: b=2\r\nServer: s\r\n\r\nhello'
    )
    forwarded = await through(call, recording(seen, reply))
    assert (seen[0].method, seen[0].target) == (
        "PUT",
        b"/api/public/a%2Fb//c;x?coworkerId=1%32&_shape=A,B&&=",
    )
    assert seen[0].body == b"payload"
    assert seen[0].headers[1:] == call.scope["headers"]
    assert (call.status, call.body, call.ended) == (201, b"hello", True)
    assert call.headers == [
        (b"content-type", b"text/html"),
        (b"content-length", b"5"),
        (b"set-cookie", b"a=1"),
        (b"etag", b'W/"x"'),
        (b"set-cookie", b"b=2"),
    ]
    assert (forwarded.status, forwarded.bytes_up, forwarded.bytes_down) == (201, 7, 5)
    assert forwarded.complete
    assert forwarded.outcome is Outcome.ANSWERED
    assert forwarded.took_s > 0


async def test_pitfall_16_spoofed_headers_do_not_go_up() -> None:
    seen: list[Received] = []
    spoofed = [
        (b"host", b"evil.example"),
        (b"x-forwarded-host", b"evil.example"),
        (b"X_Forwarded_For", b"127.0.0.1"),
        (b"transfer-encoding", b"chunked"),
        (b"x-original-url", b"/admin"),
        (b"expect", b"100-continue"),
        (b"connection", b"upgrade, cookie"),
        (b"upgrade", b"websocket"),
        (b"cookie", b"a=1"),
    ]
    async with client_and_upstream(recording(seen, b"HTTP/1.1 204 No Content\r\n\r\n")) as (
        client,
        up,
    ):
        await run(AsgiCall(headers=spoofed), client, up.space)
        assert seen[0].headers == [(b"host", up.space.origin.url.removeprefix("http://").encode())]


@pytest.mark.parametrize(
    ("headers", "parts", "framing"),
    [
        ([], [], {}),
        ([], [b"a", b"b"], {b"transfer-encoding": (b"chunked",)}),
        ([(b"content-length", b"2")], [b"ab"], {b"content-length": (b"2",)}),
        ([(b"content-length", b"0")], [], {b"content-length": (b"0",)}),
    ],
)
@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS", "REPORT"])
async def test_a_body_keeps_its_framing_whatever_the_method(
    method: str, headers: list[Header], parts: list[bytes], framing: dict[bytes, tuple[bytes, ...]]
) -> None:
    seen: list[Received] = []
    await through(
        AsgiCall(method, headers=headers, parts=parts),
        recording(seen, b"HTTP/1.1 204 No Content\r\n\r\n"),
    )
    names = (b"content-length", b"transfer-encoding")
    assert {n: seen[0].values(n) for n in names if seen[0].values(n)} == framing
    assert (seen[0].method, seen[0].body) == (method, b"".join(parts))


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH"])
async def test_a_write_without_a_body_says_so(method: str) -> None:
    seen: list[Received] = []
    await through(AsgiCall(method), recording(seen, b"HTTP/1.1 204 No Content\r\n\r\n"))
    assert seen[0].values(b"content-length") == (b"0",)


@pytest.mark.parametrize(
    ("method", "head", "body"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 500", b""),
        ("GET", b"HTTP/1.1 204 No Content", b""),
        ("GET", b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nContent-Length: 500', b""),
        (
            "GET",
            b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/9\r\nContent-Length: 2",
            b"ab",
        ),
        ("GET", b"HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0", b""),
        ("GET", b"HTTP/1.1 409 Wait\r\nRetry-After: 1\r\nContent-Length: 0", b""),
        ("GET", b"HTTP/1.1 500 Oops\r\nContent-Length: 4", b"oops"),
        ("GET", b"HTTP/1.1 299 Own\r\nContent-Length: 1", b"x"),
    ],
)
async def test_every_status_passes_with_its_headers(method: str, head: bytes, body: bytes) -> None:
    async with client_and_upstream(answers(head + b"\r\n\r\n" + body)) as (client, up):
        for _ in range(2):
            call = AsgiCall(method)
            forwarded = await run(call, client, up.space)
            status, *headers = head.split(b"\r\n")
            assert call.status == forwarded.status == int(status.split()[1])
            assert call.headers == [(n.lower(), v) for n, v in (h.split(b": ") for h in headers)]
            assert (call.body, call.ended) == (body, True)
        assert len(up.peers) == 1


def answers(reply: bytes) -> Handler:
    async def handler(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(reply)

    return handler


async def test_compressed_bodies_are_not_touched() -> None:
    body = gzip.compress(b'{"a":1}' * 100)
    reply = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    call = AsgiCall(headers=[(b"accept-encoding", b"gzip")])
    await through(call, once(reply + body))
    assert call.body == body
    assert (b"content-encoding", b"gzip") in call.headers
    assert (b"content-length", b"%d" % len(body)) in call.headers


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nabcde",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\r\nabcde",
    ],
    ids=["chunked", "until-close", "after-103"],
)
async def test_a_body_of_undeclared_length_passes(reply: bytes) -> None:
    call = AsgiCall()
    forwarded = await through(call, once(reply))
    assert (call.status, call.headers, call.body, call.ended) == (200, [], b"abcde", True)
    assert forwarded.bytes_down == 5


@pytest.mark.parametrize(
    ("location", "seen"),
    [
        ("HTTP://{own}/en?x#y", "/en?x#y"),
        ("//{own}/en", "/en"),
        ("http://{own}//{other}/en", "/.//{other}/en"),
        ("http://{other}/en", "http://{other}/en"),
        ("https://exa mple/", "https://exa mple/"),
        ("relative/x", "relative/x"),
    ],
)
async def test_pitfall_17_a_redirect_is_not_followed_and_its_own_origin_stays_hidden(
    location: str, seen: str
) -> None:
    def named(text: str) -> bytes:
        own, other = (u.space.origin.url.removeprefix("http://") for u in (up, elsewhere))
        return text.format(own=own, other=other).encode()

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.answer(head=b"HTTP/1.1 302 Found\r\nLocation: " + named(location))

    async with upstream(answering(b"")) as elsewhere, client_and_upstream(handler) as (client, up):
        call = AsgiCall(headers=[(b"authorization", b"Bearer t")])
        await run(call, client, up.space)
        assert call.status == 302
        assert dict(call.headers)[b"location"] == named(seen)
        assert (len(up.peers), len(elsewhere.peers)) == (1, 0)


async def test_before_start_sees_the_answer_first_and_decides_the_headers() -> None:
    call = AsgiCall()

    async def before_start(status: int, headers: list[Header]) -> list[Header]:
        assert not call.sent
        assert (status, headers) == (200, [(b"content-length", b"2")])
        return [*headers, (b"x-request-id", b"r1")]

    async def on_unknown() -> None:
        raise AssertionError("the outcome is known")

    plan = Plan(max_body=10, idle_s=5, before_start=before_start, on_unknown=on_unknown)
    await through(call, answering(b"ok"), plan)
    assert call.headers == [(b"content-length", b"2"), (b"x-request-id", b"r1")]
    assert call.body == b"ok"


async def test_a_declared_length_past_the_limit_is_refused_before_anything_is_sent() -> None:
    call = AsgiCall("POST", headers=[(b"content-length", b"11")], parts=[b"x" * 11])
    async with client_and_upstream(answering(b"")) as (client, up):
        with pytest.raises(BodyTooLarge):
            await run(call, client, up.space, Plan(max_body=10, idle_s=5))
        assert not up.peers
    assert call.received == 0
    assert not call.sent


async def test_a_body_of_exactly_the_limit_passes() -> None:
    call = AsgiCall("POST", headers=[(b"content-length", b"10")], parts=[b"x" * 10])
    forwarded = await through(call, answering(b"ok"), Plan(max_body=10, idle_s=5))
    assert (call.status, forwarded.bytes_up) == (200, 10)


@pytest.mark.parametrize(
    "headers",
    [
        [(b"content-length", b"1"), (b"content-length", b"2")],
        [(b"content-length", b"0x1")],
        [(b"authorization", b"Bearer a"), (b"Authorization", b"Bearer b")],
    ],
)
async def test_pitfall_15_ambiguous_headers_are_refused(headers: list[Header]) -> None:
    async with client_and_upstream(answering(b"")) as (client, up):
        with pytest.raises(HeaderError):
            await run(AsgiCall("POST", headers=headers), client, up.space)
        assert not up.peers


@pytest.mark.parametrize(
    "path", [b"//evil.example/x", b"x", b"http://evil.example/", b"/a b", b"/\xff", b""]
)
async def test_pitfall_17_a_target_that_is_no_path_is_refused(path: bytes) -> None:
    async with client_and_upstream(answering(b"")) as (client, up):
        with pytest.raises(TargetError):
            await run(AsgiCall(path=path), client, up.space)
        assert not up.peers


async def test_a_server_that_hides_the_raw_path_is_refused() -> None:
    call = AsgiCall()
    del call.scope["raw_path"]
    async with client_and_upstream(answering(b"")) as (client, up):
        with pytest.raises(TargetError):
            await run(call, client, up.space)


async def stalled(progress: Callable[[], int]) -> int:
    """Where `progress` stops: it has not moved for 0.2 s."""
    last, quiet = -1, 0
    while quiet < 100:
        now = progress()
        last, quiet = now, quiet + 1 if now == last else 0
        await asyncio.sleep(0.002)
    return last


async def test_a_client_that_does_not_read_holds_the_upstream_back() -> None:
    """100 MB are on offer; what leaves the upstream fits into a few buffers."""

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (100 * MIB))
        while peer.written < 100 * MIB:
            await peer.send(bytes(256 * 1024))

    call = AsgiCall()
    async with client_and_upstream(handler) as (client, up):
        task = asyncio.create_task(run(call, client, up.space))
        await call.sending.wait()
        call.reading.clear()
        assert 0 < await stalled(lambda: up.peers[0].written) < 8 * MIB
        call.reading.set()
        forwarded = await task
    assert forwarded.bytes_down == 100 * MIB
    assert call.ended


async def test_an_upstream_that_does_not_read_holds_the_client_back() -> None:
    async def handler(peer: Peer) -> None:
        await peer.head()
        head_read.set()
        await goes_on.wait()
        await peer.answer(b"%d" % sum([len(part) async for part in peer.chunks()]))

    head_read, goes_on = asyncio.Event(), asyncio.Event()
    call = AsgiCall("POST", parts=(bytes(256 * 1024) for _ in range(400)))
    async with client_and_upstream(handler) as (client, up):
        task = asyncio.create_task(run(call, client, up.space))
        await head_read.wait()
        assert 0 < await stalled(lambda: call.received) < 8 * MIB
        goes_on.set()
        forwarded = await task
    assert forwarded.bytes_up == 100 * MIB
    assert call.body == b"%d" % (100 * MIB)


async def test_large_bodies_pass_in_constant_memory() -> None:
    size = 64 * MIB
    part = bytes(64 * 1024)

    async def handler(peer: Peer) -> None:
        await peer.head()
        async for _ in peer.chunks():
            pass
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while peer.written < size:
            await peer.send(part)

    async def send(message: Message) -> None:
        assert len(message.get("body", b"")) <= MIB

    call = AsgiCall("POST", parts=(part for _ in range(size // len(part))))
    async with client_and_upstream(handler) as (client, up):
        tracemalloc.start()
        try:
            forwarded = await forward(
                call.scope, call.receive, send, passage=free(client, up.space), plan=PLAN
            )
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert (forwarded.bytes_up, forwarded.bytes_down) == (size, size)
    assert peak < 4 * MIB
