"""Connections to Nexudus, kept for the next call: those of httpcore, without its pool.

That pool looks at every connection, and asks the kernel about every idle one, whenever a request
begins or ends: with some dozens under way, this was most of the work of a call. Here the one used
last is looked at. Nothing waits here: NexudusClient holds calls back (see Places).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import anyio
import httpcore

SWEEPS: Final = 4
"""Within the life of an idle connection; a sweep closes those that have ended."""

Connection = httpcore.AsyncConnectionInterface


@dataclass(slots=True, eq=False)
class _Kept:
    """A connection, and where it waits for requests; `shared`: also while it has some."""

    connection: Connection
    ready: list[_Kept]
    shared: bool = False
    requests: int = 0

    @property
    def has_expired(self) -> bool:
        """Whether it was idle for too long: no more so, once it has a request."""
        return not self.requests and self.connection.has_expired()


class Connections:
    """A transport whose connections come from `opened(origin)`; at most `most` are kept.

    All failures are httpcore's. `keepalive_s`: how long an idle one is kept. `clock`:
    monotonic seconds.
    """

    def __init__(
        self,
        opened: Callable[[httpcore.Origin], Connection],
        *,
        most: int,
        keepalive_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._opened = opened
        self._most = most
        self._sweep_s = keepalive_s / SWEEPS
        self._clock = clock
        self._swept_at = clock()
        self._all: set[_Kept] = set()
        self._ready: dict[tuple[bytes, bytes, int], list[_Kept]] = {}

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        response, used = await self._answered(request)
        response.stream = _Body(response.stream, lambda: self._put_back(used))
        return response

    async def aclose(self) -> None:
        for kept in list(self._all):
            await self._close(kept)

    async def _answered(self, request: httpcore.Request) -> tuple[httpcore.Response, _Kept]:
        while True:
            kept = await self._taken(request.url.origin)
            kept.requests += 1
            try:
                return await kept.connection.handle_async_request(request), kept
            except httpcore.ConnectionNotAvailable:
                kept.requests -= 1  # it turned out to be HTTP/1.1, or to have no streams left
            except BaseException:
                await self._put_back(kept)
                raise

    async def _taken(self, origin: httpcore.Origin) -> _Kept:
        """One that may be used: by nobody else, unless it is shared, as HTTP/2 is."""
        ready = self._ready.setdefault((origin.scheme, origin.host, origin.port), [])
        while ready:
            kept = ready[-1]
            if kept.connection.is_closed() or kept.has_expired:
                await self._close(kept)
            elif not kept.connection.is_available():
                # Not HTTP/2 after all. Whoever uses it puts it back.
                ready.pop()
                kept.shared = False
            else:
                if not kept.shared:
                    ready.pop()
                return kept
        kept = _Kept(self._opened(origin), ready)
        self._all.add(kept)
        if kept.connection.is_available():  # before it is there: it may turn out to be HTTP/2
            kept.shared = True
            ready.append(kept)
        return kept

    async def _put_back(self, kept: _Kept) -> None:
        """After an exchange, however it ended."""
        kept.requests -= 1
        if kept.connection.is_closed():
            self._forget(kept)
        elif not kept.requests and (
            not kept.connection.is_available()
            or len(self._all) > self._most
            or _holds_more(kept.connection)
        ):
            await self._close(kept)
        elif not kept.shared and kept.connection.is_available():
            self._all.add(kept)
            kept.ready.append(kept)
        if self._clock() - self._swept_at > self._sweep_s:
            await self._sweep()

    async def _sweep(self) -> None:
        self._swept_at = self._clock()
        for kept in [each for ready in self._ready.values() for each in ready]:
            if kept.has_expired:
                await self._close(kept)

    async def _close(self, kept: _Kept) -> None:
        self._forget(kept)
        with anyio.CancelScope(shield=True):
            await kept.connection.aclose()

    def _forget(self, kept: _Kept) -> None:
        self._all.discard(kept)
        kept.shared = False
        with contextlib.suppress(ValueError):
            kept.ready.remove(kept)


def _holds_more(connection: Connection) -> bool:
    """Whether bytes beyond a response were read with it: they would begin the next one.

    httpcore asks the network only, and has no name for those that h11 holds already.
    """
    inner = getattr(connection, "_connection", None)
    return isinstance(inner, httpcore.AsyncHTTP11Connection) and bool(
        inner._h11_state.trailing_data[0]
    )


class _Body:
    """A response's, whose end gives the connection back."""

    def __init__(self, stream: Any, ended: Callable[[], Awaitable[None]]) -> None:
        self._stream = stream
        self._ended = ended
        self._closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        chunks: AsyncIterator[bytes] = self._stream.__aiter__()
        return chunks

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            try:
                await self._stream.aclose()
            finally:
                await self._ended()
