"""What is known of one request while it is served; one line of log and the metrics come of it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.types import Scope

from bff.edge.headers_in import RawHeaders, given_once
from bff.errors import RequestError, UnknownHost
from bff.observe.trace_context import Parent, parent_of
from bff.session.reading import Part
from bff.spaces import Space

if TYPE_CHECKING:
    from bff.edge.respond import AtHand, RepresentationKey

FINISHED = "hit:l1"
"""How `Exchange.cache` says that a request was answered from finished bytes."""
_KEY = "bff.exchange"
_METHODS = frozenset(["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"])
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")
_IDS_AT_ONCE = 256
_ids: list[str] = []


@dataclass(slots=True)
class Exchange:
    """One request. `started`: monotonic seconds; `cache`: how a cached route was answered.

    `space`: what its Host resolved to, or why it did not. `problem`: the type of the gateway's own
    problem document that answers it, if one does. `parts`: what a cached answer was made of.
    `parent`: the caller's span, by its own account. `trace_id`: empty where there is no trace.
    `given`: its headers, where each is given once. `recalled`: what it was answered with of this
    process, if it was: a finished answer, by its key, or a whole document that it was made of;
    `shape_name`: what its shape was asked by.
    """

    request_id: str
    started: float
    space: Space | RequestError | None = None
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
    given: Mapping[bytes, bytes] | None = None
    recalled: RepresentationKey | AtHand | None = None
    shape_name: str = ""


def begin(scope: Scope, headers: RawHeaders, now: float) -> Exchange:
    """Attach an exchange to a request; a well-formed `X-Request-Id` of the caller is kept."""
    given = given_once(headers)
    if given is not None:
        asked, is_traced = given.get(b"x-request-id"), b"traceparent" in given
    else:
        ids = [value for name, value in headers if name == b"x-request-id"]
        asked, is_traced = ids[0] if len(ids) == 1 else None, True
    request_id = usable_request_id(asked) or new_request_id()
    parent = parent_of(headers) if is_traced else None
    trace_id = parent.trace_id if parent else ""
    exchange = Exchange(request_id, now, parent=parent, trace_id=trace_id, given=given)
    scope[_KEY] = exchange
    return exchange


def usable_request_id(given: bytes | None) -> str:
    """The caller's own id for a request; empty where there is none, or it is malformed."""
    return given.decode() if given is not None and _REQUEST_ID.fullmatch(given) else ""


def new_request_id() -> str:
    """32 random hexadecimal digits. For any thread: what two draw at once, each has alone."""
    try:
        return _ids.pop()
    except IndexError:
        digits = os.urandom(16 * _IDS_AT_ONCE).hex()
        _ids.extend(digits[at : at + 32] for at in range(32, len(digits), 32))
        return digits[:32]


def trace_id_of(given: Mapping[bytes, bytes]) -> str:
    """The trace that a caller's headers, each given once, name; empty for none."""
    parent = parent_of(list(given.items()))
    return parent.trace_id if parent else ""


def method_of(scope: Scope) -> str:
    """The method to be told of: a client may send any word as one, its token among them."""
    method: str = scope["method"]
    return method if method in _METHODS else "_OTHER"


def of(scope: Scope) -> Exchange:
    """The exchange of a request that went through the outermost middleware."""
    exchange: Exchange = scope[_KEY]
    return exchange


def space_name(exchange: Exchange) -> str:
    """The name of a request's space, empty where its Host names none."""
    return exchange.space.name if isinstance(exchange.space, Space) else ""


def space_of(scope: Scope) -> Space:
    """The space that the request's Host resolved to. Raises UnknownHost, HeaderError."""
    space = of(scope).space
    if isinstance(space, Space):
        return space
    raise space or UnknownHost("No space was asked.")
