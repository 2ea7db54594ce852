"""The files of the operators' page, as packaged: no figure and no secret is in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bff.edge import exchange as exchanges
from bff.edge.compression import Encoding
from bff.edge.conditional import etag, matches
from bff.edge.problems import NOT_FOUND, Problem

PAGE: Final = "index.html"
TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        ".html": "text/html; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
    }
)
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        # Asked for again each time, so that a page never meets the scripts of another version.
        "cache-control": "no-cache",
        "vary": "Origin",
        "content-security-policy": POLICY,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
    }
)


@dataclass(frozen=True, slots=True)
class _Asset:
    body: bytes
    media_type: str
    validator: str


class Assets:
    """`GET /ops` and `GET /ops/assets/{name}`: the page asks for the token itself."""

    def __init__(self) -> None:
        self._assets = dict(_packaged())

    def routes(self) -> list[Route]:
        """To be put before everything that belongs to a space."""
        return [
            Route("/ops", self.page, methods=["GET"]),
            Route("/ops/assets/{name}", self.asset, methods=["GET"]),
        ]

    def names(self) -> frozenset[str]:
        """Of all files, the page itself among them."""
        return frozenset(self._assets)

    async def page(self, request: Request) -> Response:
        exchanges.of(request.scope).route = "/ops"
        return _answer(request, self._assets[PAGE])

    async def asset(self, request: Request) -> Response:
        """200, 304, or a problem 404."""
        exchange = exchanges.of(request.scope)
        exchange.route = "/ops/assets/{name}"
        asset = self._assets.get(request.path_params["name"])
        if asset is None:
            problem = Problem(NOT_FOUND, "The page has no such file.", exchange.request_id)
            headers = {name.decode(): value.decode() for name, value in problem.headers()}
            return Response(problem.body(), NOT_FOUND.status, headers=headers)
        return _answer(request, asset)


def _packaged() -> list[tuple[str, _Asset]]:
    found: list[tuple[str, _Asset]] = []
    for entry in (files("bff.ops.page") / "files").iterdir():
        media_type = TYPES.get(entry.name[entry.name.rfind(".") :])
        if media_type is not None:
            body = entry.read_bytes()
            found.append((entry.name, _Asset(body, media_type, etag(body, Encoding.IDENTITY))))
    return found


def _answer(request: Request, asset: _Asset) -> Response:
    headers = {**HEADERS, "etag": asset.validator}
    if matches(request.headers.get("if-none-match"), asset.validator):
        return Response(status_code=304, headers=headers)
    return Response(asset.body, headers=headers, media_type=asset.media_type)
