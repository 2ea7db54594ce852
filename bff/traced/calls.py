"""Calls to Nexudus: a span for each, which Nexudus is told of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Final

import httpcore

from bff.errors import UpstreamDown, UpstreamError, UpstreamTimeout
from bff.nexudus.admission import ABANDONED, CUT, Admission, Attempt, Tries
from bff.nexudus.answers import Answer
from bff.nexudus.client import ANYTIME, Call, NexudusClient
from bff.nexudus.exchange import Departure, Exchange, Transport
from bff.nexudus.headers import RawHeaders
from bff.nexudus.intent import Intent
from bff.observe.tracing import Kind, Tracer
from bff.spaces import Space
from bff.traced.flights import FLYING

_METHODS: Final = frozenset(["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"])
_TRIED: Final[ContextVar[tuple[Intent, int] | None]] = ContextVar("tried", default=None)
_ANSWERED: Final[ContextVar[list[int] | None]] = ContextVar("answered", default=None)


class TracedAdmission(Admission):
    """Lets a call's span know what the call is for, and how often it was made before."""

    def tries(self, intent: Intent) -> Tries:
        return _TracedTries(self, intent)


class _TracedTries(Tries):
    def attempt(self) -> Attempt:
        _TRIED.set((self.intent, self._made))
        return super().attempt()


class TracedClient(NexudusClient):
    """Spans `upstream.call`: route, reason, outcome; no path, query, header or body."""

    tracer: Tracer

    def told_by(self, tracer: Tracer) -> None:
        """Have calls traced from now on."""
        self.tracer = tracer
        self._transport = _Telling(self._transport, tracer)

    async def get(
        self,
        space: Space,
        path: str,
        headers: RawHeaders,
        deadline_s: float,
        departure: Departure = ANYTIME,
    ) -> Answer:
        with self._called(space, "GET"):
            return await super().get(space, path, headers, deadline_s, departure)

    @asynccontextmanager
    async def stream(
        self, space: Space, call: Call, idle_s: float, departure: Departure = ANYTIME
    ) -> AsyncIterator[Exchange]:
        with self._called(space, call.method):
            async with super().stream(space, call, idle_s, departure) as exchange:
                yield exchange

    @contextmanager
    def _called(self, space: Space, method: str) -> Iterator[None]:
        attributes: dict[str, str | int] = {
            "bff.space": space.name,
            "http.request.method": method if method in _METHODS else "_OTHER",
            "server.address": space.origin.host,
            "server.port": space.origin.port,
        }
        if (tried := _TRIED.get()) is not None:
            intent, made = tried
            attributes["bff.route"] = intent.purpose.route
            attributes["bff.reason"] = intent.purpose.reason.value
            if made:
                attributes["http.request.resend_count"] = made
        statuses: list[int] = []
        _ANSWERED.set(statuses)
        with self.tracer.step("upstream.call", attributes, Kind.CLIENT) as span:
            if (flown := FLYING.get()) is not None:
                flown.shown = span
            error: BaseException | None = None
            try:
                yield
            except BaseException as raised:
                error = raised
                raise
            finally:
                status = statuses[-1] if statuses else None
                span.tell({"bff.outcome": _outcome(status, error)})
                if status is not None:
                    span.tell({"http.response.status_code": status})
                    if status >= 400:  # by convention, of a client's span
                        span.failed(str(status))


class _Telling:
    """A transport that tells Nexudus of the trace, and the trace of Nexudus' status."""

    def __init__(self, inner: Transport, tracer: Tracer) -> None:
        self._inner = inner
        self._tracer = tracer

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        told = {name.encode(): value.encode() for name, value in self._tracer.outgoing()}
        # It may be there already, from where it missed its turn.
        kept = [header for header in request.headers if header[0] not in told]
        request.headers = [*kept, *told.items()]
        response = await self._inner.handle_async_request(request)
        if (statuses := _ANSWERED.get()) is not None:
            statuses.append(response.status)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


def _outcome(status: int | None, error: BaseException | None) -> str:
    """A class of status, the name of an error, cut, or abandoned."""
    if isinstance(error, UpstreamDown | UpstreamTimeout) and status is not None:
        return CUT
    if isinstance(error, UpstreamError):
        return type(error).__name__
    return ABANDONED if status is None else f"{status // 100}xx"
