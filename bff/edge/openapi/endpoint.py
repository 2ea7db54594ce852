"""`GET /openapi.json`: the document as bytes, made once and revalidated by its ETag."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

import orjson
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from bff.edge import exchange as exchanges
from bff.edge.compression import Encoding, compress, negotiate
from bff.edge.conditional import etag, matches
from bff.edge.headers_in import combined
from bff.edge.middleware import send_problem
from bff.edge.openapi.document import describe
from bff.edge.openapi.member_routes import member_paths
from bff.edge.openapi.open_routes import DOCUMENT_PATH
from bff.edge.problems import METHOD_NOT_ALLOWED, Problem

CACHE_CONTROL: Final = "public, max-age=300"

_METHODS: Final = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class _Representation:
    body: bytes
    validator: str


class OpenApiEndpoint:
    """Describes what the application around it mounts, so that it never names a route in vain."""

    def __init__(self) -> None:
        self._document = b""
        self._made: dict[Encoding, _Representation] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = exchanges.of(scope)
        exchange.route = DOCUMENT_PATH
        if scope["method"] not in _METHODS:
            detail = f"`{DOCUMENT_PATH}` is read with GET."
            problem = Problem(METHOD_NOT_ALLOWED, detail, exchange.request_id, allow=_METHODS)
            await send_problem(problem, scope, send)
            return
        encoding = negotiate(combined(scope["headers"], b"accept-encoding"))
        held = self._representation(scope, encoding)
        headers = [
            (b"etag", held.validator.encode()),
            (b"cache-control", CACHE_CONTROL.encode()),
            (b"vary", b"Accept-Encoding, Origin"),
        ]
        status, body = 200, held.body
        if matches(combined(scope["headers"], b"if-none-match"), held.validator):
            status, body = 304, b""
        else:
            headers.append((b"content-type", b"application/json"))
            headers.append((b"content-length", str(len(body)).encode()))
            if encoding is not Encoding.IDENTITY:
                headers.append((b"content-encoding", encoding.value.encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        body = b"" if scope["method"] == "HEAD" else body
        await send({"type": "http.response.body", "body": body})

    def _representation(self, scope: Scope, encoding: Encoding) -> _Representation:
        if not self._document:
            self._document = orjson.dumps(describe(_served(cast(Starlette, scope["app"]))))
        if encoding not in self._made:
            body = compress(self._document, encoding)
            validator = etag(self._document, encoding)
            self._made[encoding] = _Representation(body, validator)
        return self._made[encoding]


def _served(app: Starlette) -> frozenset[str]:
    mounted = frozenset(route.path for route in app.routes if isinstance(route, Route))
    # Besides the routes there is the front, which always serves the members' paths.
    return mounted | member_paths().keys()
