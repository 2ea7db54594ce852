"""The gateway's only way to Nexudus: bounded cached calls and streamed ones, never a redirect.

It is built on what is below httpx's `AsyncClient`: that one keeps cookies, logs every URL (one-time
tokens travel in queries) and fails on a `Location` it cannot parse, even when not following it.
"""

from __future__ import annotations

import asyncio
import functools
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import httpcore
import httpx

from bff.clock import Clock
from bff.errors import TargetError
from bff.nexudus.answers import Answer
from bff.nexudus.connections import Connections
from bff.nexudus.decoding import decoded
from bff.nexudus.exchange import Anytime, Departure, Exchange, Transport
from bff.nexudus.headers import Header, RawHeaders, values_of
from bff.nexudus.network import Network
from bff.nexudus.places import Party, Place, Places
from bff.spaces import Origin, Space

MAX_ANSWER: Final = 8 * 2**20
CONNECTIONS: Final = 100
ANYTIME: Final = Anytime()

_DEFAULT_PORT: Final = {"http": 80, "https": 443}
_CREDENTIALS: Final = frozenset((b"authorization", b"cookie"))
_STREAMED: Final = "bff.streamed"
_TARGET: Final = re.compile(rb"/(?!/)[\x21\x22\x24-\x7e]*")
_METHOD: Final = re.compile(r"(?!(?:CONNECT|TRACE)\Z)[!#$%&'*+.^_`|~0-9A-Z-]+")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds for each wait on the network; `read_s` is also the longest silence of an answer."""

    connect_s: float = 3.0
    read_s: float = 15.0
    write_s: float = 10.0
    pool_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Call:
    """A request to stream: `target` is path and query as received, `headers` are allow-listed.

    Without a Content-Length the body goes chunked; None means that there is no body. `arriving`:
    part of it is still waited for.
    """

    method: str
    target: bytes
    headers: RawHeaders
    body: AsyncIterator[bytes] | None = None
    arriving: bool = False


class TwoPools:
    """Cached calls on one pool, streams on another, `connections` at a time on each.

    Streams need HTTP/1.1: a slow reader of an HTTP/2 stream holds up its whole connection, and a
    server that retires one loses the writes that are under way.
    """

    def __init__(
        self,
        *,
        cached: Transport,
        streamed: Transport,
        connections: int,
    ) -> None:
        self.connections: Final = connections
        self._cached = cached
        self._streamed = streamed

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        pool = self._streamed if request.extensions.get(_STREAMED) else self._cached
        return await pool.handle_async_request(request)

    async def aclose(self) -> None:
        await self._cached.aclose()
        await self._streamed.aclose()


def verified_tls() -> ssl.SSLContext:
    """TLS that trusts certifi's authorities, whatever the environment says."""
    return httpx.create_ssl_context(trust_env=False)


def open_pools(
    connections: int = CONNECTIONS,
    keepalive_s: float = 20.0,
    tls: Callable[[], ssl.SSLContext | None] = verified_tls,
) -> TwoPools:
    """The transport of production: HTTP/2 where offered for cached calls, no proxy.

    `keepalive_s` stays below the idle limit of usual load balancers (60 s), so that a request
    rarely meets a connection that is being closed.
    """

    def pool(*, http2: bool) -> Connections:
        # A context each: httpcore writes the protocols to offer into it before every handshake.
        context = tls()

        def opened(origin: httpcore.Origin) -> httpcore.AsyncHTTPConnection:
            return httpcore.AsyncHTTPConnection(
                origin,
                ssl_context=context,
                keepalive_expiry=keepalive_s,
                http2=http2,
                network_backend=Network(),
            )

        return Connections(opened, most=connections, keepalive_s=keepalive_s)

    return TwoPools(cached=pool(http2=True), streamed=pool(http2=False), connections=connections)


class NexudusClient:
    """Calls Nexudus; owns `transport` and closes it. Every failure is an UpstreamError.

    No redirect is followed, no cookie kept, no header added but Host and the body's framing.
    Of cached calls, and likewise of streams, as many are under way as the pools have connections;
    `shared`: several spaces are called, and none of them takes all (see Places).
    """

    def __init__(
        self,
        transport: Transport,
        timeouts: Timeouts,
        clock: Clock,
        *,
        max_answer: int = MAX_ANSWER,
        shared: bool = False,
    ) -> None:
        self.clock: Final = clock
        self._transport = transport
        self._timeouts = timeouts
        self._max_answer = max_answer
        most = transport.connections if isinstance(transport, TwoPools) else CONNECTIONS
        self._cached = Places(most, clock, shared=shared)
        self._streamed = Places(most, clock, shared=shared)
        self._draining: set[asyncio.Task[None]] = set()

    async def get(
        self,
        space: Space,
        path: str,
        headers: RawHeaders,
        deadline_s: float,
        departure: Departure = ANYTIME,
    ) -> Answer:
        """GET `path` (with its query, validated) as a whole, decoded Answer of any status.

        Raises UpstreamDown, UpstreamTimeout (also past `deadline_s`), Overloaded, or UnusableAnswer
        for a body that does not decode or is longer than `max_answer`.
        """
        began = self.clock.monotonic()
        call = Call("GET", path.encode(), headers)
        exchange = self._begin(space, call, self._timeouts.read_s, departure, streamed=False)
        try:
            head, raw = await exchange.whole(deadline_s)
        finally:
            await self._release(exchange)
        body = decoded(head.headers, raw, self._max_answer)
        return Answer.of(head.status, head.headers, body, self.clock.monotonic() - began)

    @asynccontextmanager
    async def stream(
        self, space: Space, call: Call, idle_s: float, departure: Departure = ANYTIME
    ) -> AsyncIterator[Exchange]:
        """The exchange of `call`, whose connection is closed on leaving unless it was read whole.

        `idle_s` bounds each wait for a byte of the answer. Raises TargetError for a target or a
        method that is never forwarded; the exchange raises UpstreamError, or what `body` raises.
        """
        exchange = self._begin(space, call, idle_s, departure, streamed=True)
        try:
            yield exchange
        finally:
            await self._release(exchange)

    async def aclose(self) -> None:
        """Ends what is still being drained and closes every connection."""
        for task in list(self._draining):
            task.cancel()
            await asyncio.wait({task})
        await self._transport.aclose()

    def _begin(
        self, space: Space, call: Call, read_s: float, departure: Departure, *, streamed: bool
    ) -> Exchange:
        limits = self._timeouts
        host, to = _host(space.origin), space.origin
        places = self._streamed if streamed else self._cached
        known = any(name in _CREDENTIALS for name, _ in call.headers)
        place = places.place(Party(space.name, known, call.arriving))
        request = httpcore.Request(
            call.method,
            # The target is beside the origin, so that no part of it can become a host.
            httpcore.URL(scheme=to.scheme, host=to.host, port=to.port, target=_target(call)),
            headers=[(b"host", host), *_framed(call)],
            content=b"" if call.body is None else _Body(call.body, place),
            extensions={
                "timeout": {
                    "connect": limits.connect_s,
                    "read": read_s,
                    "write": limits.write_s,
                    "pool": limits.pool_s,
                },
                _STREAMED: streamed,
            },
        )
        most = None if streamed else self._max_answer
        return Exchange(self._transport, request, place, departure, most)

    async def _release(self, exchange: Exchange) -> None:
        await exchange.release()
        if not exchange.task.done():
            drain = asyncio.create_task(exchange.drained())
            self._draining.add(drain)
            drain.add_done_callback(self._draining.discard)


class _Body:
    def __init__(self, chunks: AsyncIterator[bytes], place: Place) -> None:
        self._chunks = chunks
        self._place = place

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            with self._place.standing():
                chunk = await anext(self._chunks, None)
            if chunk is None:
                return
            yield chunk


@functools.lru_cache
def _host(origin: Origin) -> bytes:
    """The value of `Host`. Raises TargetError for an origin that reads otherwise than it says."""
    try:
        url = httpx.URL(origin.url)
    except httpx.InvalidURL:
        raise TargetError("the space has no usable origin") from None
    port = url.port or _DEFAULT_PORT.get(url.scheme)
    read = Origin(url.scheme, url.raw_host.decode("ascii"), port or 0)
    if read != origin or url.raw_path != b"/" or url.userinfo:
        raise TargetError("the space has no usable origin")
    return url.netloc


def is_forwarded(method: str) -> bool:
    """Whether calls of it go to Nexudus: not TRACE, CONNECT, or one in lower case."""
    return _METHOD.fullmatch(method) is not None


def _target(call: Call) -> bytes:
    if not is_forwarded(call.method) or not _TARGET.fullmatch(call.target):
        raise TargetError("this request target is never forwarded")
    return call.target


def _framed(call: Call) -> list[Header]:
    declared = values_of(call.headers, b"content-length")
    framing: list[Header] = []
    if call.body is not None and not declared:
        framing = [(b"transfer-encoding", b"chunked")]
    elif not declared and call.method in ("POST", "PUT", "PATCH"):
        # Some servers answer 411 to a write that says nothing about its body.
        framing = [(b"content-length", b"0")]
    return [*call.headers, *framing]
