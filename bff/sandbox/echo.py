"""Routes that no Nexudus has: they show what arrived, or answer in one awkward way."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from bff.sandbox.answers import JSON, encoded, id_of
from bff.sandbox.legacy import CultureRoute

ELSEWHERE = "https://elsewhere.example.com/collect"
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


@dataclass(frozen=True, slots=True)
class Echo:
    """All anonymous, all below `/api/public/_…`, the echo below a culture too."""

    def routes(self) -> list[BaseRoute]:
        public = "/api/public"
        return [
            Route(f"{public}/_echo", self.echo, methods=_METHODS),
            Route(f"{public}/_echo/{{rest:path}}", self.echo, methods=_METHODS),
            CultureRoute("/{culture}/_echo", self.echo, methods=_METHODS),
            CultureRoute("/{culture}/_echo/{rest:path}", self.echo, methods=_METHODS),
            Route(f"{public}/_cookies", self.cookies),
            Route(f"{public}/_gzip", self.gzip),
            Route(f"{public}/_redirect/own", self.redirect_own),
            Route(f"{public}/_redirect/relative", self.redirect_relative),
            Route(f"{public}/_redirect/other", self.redirect_other),
        ]

    async def echo(self, request: Request) -> Response:
        """`{Method, RawPath, RawQuery, Headers: [[name, value]], Body: {Bytes, Sha256}}`."""
        digest, size = hashlib.sha256(), 0
        async for chunk in request.stream():
            digest.update(chunk)
            size += len(chunk)
        scope = request.scope
        body = {
            "Method": scope["method"],
            "RawPath": scope["raw_path"].decode("latin-1"),
            "RawQuery": scope["query_string"].decode("latin-1"),
            "Headers": [
                [name.decode("latin-1"), value.decode("latin-1")]
                for name, value in scope["headers"]
            ],
            "Body": {"Bytes": size, "Sha256": digest.hexdigest()},
        }
        response = encoded(orjson.dumps(body))
        response.headers["X-Powered-By"] = "ASP.NET"
        return response

    async def cookies(self, _: Request) -> Response:
        """Two `Set-Cookie` headers, which must not become one."""
        response = encoded(b'{"Cookies":2}')
        response.headers.append("set-cookie", "first=1; path=/; HttpOnly")
        response.headers.append(
            "set-cookie", "second=2; path=/; expires=Wed, 21 Oct 2026 07:28:00 GMT"
        )
        return response

    async def gzip(self, _: Request) -> Response:
        """A body that is compressed whatever the caller accepts."""
        body = gzip.compress(b'{"Encoded":true}', mtime=0)
        return Response(body, media_type=JSON, headers={"Content-Encoding": "gzip"})

    async def redirect_own(self, request: Request) -> Response:
        """To the echo, absolutely, on the host that was asked."""
        host = request.headers.get("host", "")
        return _redirect(request, f"{request.url.scheme}://{host}/api/public/_echo")

    async def redirect_relative(self, request: Request) -> Response:
        """To the echo, by path alone."""
        return _redirect(request, "/api/public/_echo")

    async def redirect_other(self, request: Request) -> Response:
        """To `?to=`, by default a host that is not ours."""
        return _redirect(request, request.query_params.get("to", ELSEWHERE))


def _redirect(request: Request, location: str) -> Response:
    asked = id_of(request.query_params.get("status", "302"))
    status = asked if asked in (301, 302, 303, 307, 308) else 302
    return Response(status_code=status, headers={"Location": location})
