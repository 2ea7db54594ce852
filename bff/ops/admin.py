"""Operators only: metrics, figures, purge. Absent when no operator token is set."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import orjson
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bff.cache import tags
from bff.cache.invalidation import Invalidator
from bff.cache.secrets import is_digest
from bff.edge import exchange as exchanges
from bff.edge.headers_in import bearer
from bff.errors import (
    BodyTooLarge,
    CredentialsError,
    ParameterError,
    RequestStalled,
    StoreUnavailable,
)
from bff.observe.metrics import Metrics
from bff.resources import ALL_TAGS, as_id
from bff.session.sharing import Sharing
from bff.spaces import SpaceTable

log = structlog.get_logger("bff.ops")

MAX_BODY = 4096
BODY_WITHIN_S = 10.0
Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Purge:
    """What an operator asked to drop: the tags, in words and as such."""

    space: str
    what: str
    tags: frozenset[str]


class Admin:
    """The operators' routes; every one of them asks for the operator token."""

    def __init__(
        self,
        token: str,
        metrics: Metrics,
        invalidator: Invalidator,
        sharing: Sharing,
        table: SpaceTable,
    ) -> None:
        self._token = token.encode()
        self._metrics = metrics
        self._invalidator = invalidator
        self._sharing = sharing
        self._table = table

    def routes(self) -> list[Route]:
        """To be put before everything that belongs to a space."""
        return [
            Route("/metrics", self._guarded("/metrics", self._render), methods=["GET"]),
            Route("/ops/api/purge", self._guarded("/ops/api/purge", self._purge), methods=["POST"]),
            Route(
                "/ops/api/sharing",
                self._guarded("/ops/api/sharing", self._restore),
                methods=["POST"],
            ),
        ]

    def _guarded(self, route: str, handler: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            exchanges.of(request.scope).route = route
            presented = bearer(request.scope["headers"])
            if not hmac.compare_digest(presented.encode(), self._token):
                raise CredentialsError("This is not the operator token (BFF_OPS_TOKEN).")
            response = await handler(request)
            response.headers["cache-control"] = "no-store"
            response.headers["vary"] = "Authorization, Origin"
            return response

        return guarded

    async def _render(self, _: Request) -> Response:
        return Response(self._metrics.render(), media_type="text/plain; version=0.0.4")

    async def _purge(self, request: Request) -> Response:
        purge = self._read_purge(await _json_body(request))
        reach = await self._invalidator.invalidate(purge.space, purge.tags, "operator")
        log.warning("purged", space=purge.space, what=purge.what, everywhere=reach.everywhere)
        content = {
            "space": purge.space,
            "purged": purge.what,
            "stored": reach.stored,
            "everywhere": reach.everywhere,
        }
        return Response(orjson.dumps(content), media_type="application/json")

    async def _restore(self, request: Request) -> Response:
        asked = await _json_body(request)
        space = self._space(asked)
        scope = asked.get("scope")
        if self._sharing.is_set_by_hand(space):
            raise ParameterError("BFF_RELATED_SCOPE=token decides this; change the configuration.")
        try:
            if scope == "coworker":
                await self._sharing.restore(space)
            elif scope == "token":
                await self._sharing.demote(space)
            else:
                raise ParameterError('Send {"space": …, "scope": "coworker"} or "token".')
        except StoreUnavailable as error:
            raise ParameterError(f"The shared store is away ({error}); try again.") from None
        log.warning("sharing_set", space=space, scope=scope)
        content = {"space": space, "scope": scope}
        return Response(orjson.dumps(content), media_type="application/json")

    def _read_purge(self, asked: dict[str, object]) -> Purge:
        """`{"space"?, one of "user": id, "coworker": id, "token": digest, "everything": true}`."""
        space = self._space(asked)
        match {name: value for name, value in asked.items() if name != "space"}:
            case {"user": value, **rest} if not rest and (ident := as_id(value)):
                return Purge(space, f"user {ident}", frozenset({tags.user(ident)}))
            case {"coworker": value, **rest} if not rest and (ident := as_id(value)):
                return Purge(space, f"coworker {ident}", frozenset({tags.coworker(ident)}))
            case {"token": str(digest), **rest} if not rest and is_digest(digest):
                return Purge(space, "one token", frozenset({tags.token(digest)}))
            case {"everything": True, **rest} if not rest:
                return Purge(space, "everything", ALL_TAGS)
        raise ParameterError(
            'Send one of {"user": id}, {"coworker": id}, {"token": digest}, {"everything": true}; '
            "the digest is the 32 characters that name a token in Redis, never the token itself;"
            ' with "space" if several are served.'
        )

    def _space(self, asked: dict[str, object]) -> str:
        name = asked.get("space")
        spaces = self._table.spaces
        if name is None and len(spaces) == 1:
            return spaces[0].name
        try:
            return self._table.by_name(str(name)).name
        except KeyError:
            known = ", ".join(space.name for space in spaces)
            raise ParameterError(f'"space" must be one of: {known}.') from None


async def _json_body(request: Request) -> dict[str, object]:
    body = b""
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY:
                    raise BodyTooLarge(f"Send at most {MAX_BODY} bytes.")
    except TimeoutError:
        raise RequestStalled(f"The body was not whole within {BODY_WITHIN_S:g} s.") from None
    try:
        asked: object = orjson.loads(body)
    except ValueError:
        asked = None
    if not isinstance(asked, dict):
        raise ParameterError("Send a JSON object.")
    return asked
