"""What is known of one request while it is served; one line of log and the metrics come of it."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from typing import cast

from starlette.types import Scope

from bff.edge.headers_in import RawHeaders
from bff.errors import RequestError, UnknownHost
from bff.observe.trace_context import Parent, parent_of
from bff.session.reading import Part
from bff.spaces import Space

_KEY = "bff.exchange"
_METHODS = frozenset(["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"])
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")


@dataclass(slots=True)
class Exchange:
    """One request. `started`: monotonic seconds; `cache`: how a cached route was answered.

    `space`: what its Host resolved to, or why it did not. `problem`: the type of the gateway's own
    problem document that answers it, if one does. `parts`: what a cached answer was made of.
    `parent`: the caller's span, by its own account. `trace_id`: empty where there is no trace.
    """

    request_id: str
    started: float
    space: Space | RequestError = field(default_factory=lambda: UnknownHost("No space was asked."))
    route: str = "unmatched"
    cache: str = ""
    problem: str = ""
    counted: bool = False
    parts: tuple[Part, ...] = ()
    status: int = 0
    bytes_down: int = 0
    timings_ms: dict[str, float] = field(default_factory=dict)
    parent: Parent | None = None
    trace_id: str = ""


def begin(scope: Scope, headers: RawHeaders, now: float) -> Exchange:
    """Attach an exchange to a request; a well-formed `X-Request-Id` of the caller is kept."""
    given, is_traced = [], False
    for name, value in headers:
        if name == b"x-request-id":
            given.append(value)
        elif name == b"traceparent":
            is_traced = True
    if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]):
        request_id = given[0].decode()
    else:
        request_id = uuid.uuid4().hex
    parent = parent_of(headers) if is_traced else None
    exchange = Exchange(request_id, now, parent=parent, trace_id=parent.trace_id if parent else "")
    scope[_KEY] = exchange
    return exchange


def method_of(scope: Scope) -> str:
    """The method to be told of: a client may send any word as one, its token among them."""
    method = cast(str, scope["method"])
    return method if method in _METHODS else "_OTHER"


def of(scope: Scope) -> Exchange:
    """The exchange of a request that went through the outermost middleware."""
    return cast(Exchange, scope[_KEY])


def space_name(exchange: Exchange) -> str:
    """The name of a request's space, empty where its Host names none."""
    return exchange.space.name if isinstance(exchange.space, Space) else ""


def space_of(scope: Scope) -> Space:
    """The space that the request's Host resolved to. Raises UnknownHost, HeaderError."""
    space = of(scope).space
    if isinstance(space, RequestError):
        raise space
    return space
