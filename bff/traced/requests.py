"""Requests: a span for each, in the caller's trace if it sent one."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from bff.edge import exchange as exchanges
from bff.observe.tracing import Span, Tracer
from bff.spaces import Space

_UNTRACED = frozenset({"/healthz", "/readyz", "/metrics", "/ops"})


class TraceMiddleware:
    """Within the ExchangeMiddleware, around everything else. Spans `<method> <route>`.

    Probes, scrapes and operators' requests have none: they come every few seconds, or last hours.
    """

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _is_untraced(scope["path"]):
            await self._app(scope, receive, send)
            return
        exchange = exchanges.of(scope)
        with self._tracer.request(exchange.parent) as span:
            exchange.trace_id = span.trace_id
            try:
                await self._app(scope, receive, send)
            finally:
                _tell(span, exchanges.method_of(scope), exchange)


def _is_untraced(path: str) -> bool:
    return path in _UNTRACED or path.startswith("/ops/")


def _tell(span: Span, method: str, exchange: exchanges.Exchange) -> None:
    span.rename(f"{method} {exchange.route}")
    attributes = {
        "http.request.method": method,
        "http.route": exchange.route,
        "bff.request_id": exchange.request_id,
    }
    if isinstance(exchange.space, Space):
        attributes["bff.space"] = exchange.space.name
    if exchange.cache:
        attributes["bff.cache"] = exchange.cache
    span.tell(attributes)
    if exchange.status:  # none for callers that left before an answer
        span.tell({"http.response.status_code": exchange.status})
    if exchange.status >= 500:
        span.failed(str(exchange.status))
