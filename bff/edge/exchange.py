"""What is known of one request while it is served; one line of log and the metrics come of it."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from typing import cast

from starlette.types import Scope

from bff.edge.headers_in import RawHeaders
from bff.errors import RequestError, UnknownHost
from bff.spaces import Space

_KEY = "bff.exchange"
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")


@dataclass(slots=True)
class Exchange:
    """One request. `started`: monotonic seconds; `cache`: how a cached route was answered.

    `space`: what its Host resolved to, or why it did not.
    """

    request_id: str
    started: float
    space: Space | RequestError = field(default_factory=lambda: UnknownHost("No space was asked."))
    route: str = "unmatched"
    cache: str = ""
    status: int = 0
    bytes_down: int = 0
    timings_ms: dict[str, float] = field(default_factory=dict)


def begin(scope: Scope, headers: RawHeaders, now: float) -> Exchange:
    """Attach an exchange to a request; a well-formed `X-Request-Id` of the caller is kept."""
    given = [value for name, value in headers if name == b"x-request-id"]
    if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]):
        request_id = given[0].decode()
    else:
        request_id = uuid.uuid4().hex
    exchange = Exchange(request_id, now)
    scope[_KEY] = exchange
    return exchange


def of(scope: Scope) -> Exchange:
    """The exchange of a request that went through the outermost middleware."""
    return cast(Exchange, scope[_KEY])


def space_of(scope: Scope) -> Space:
    """The space that the request's Host resolved to. Raises UnknownHost, HeaderError."""
    space = of(scope).space
    if isinstance(space, RequestError):
        raise space
    return space
