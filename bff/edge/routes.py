"""Where a request goes. Cached routes match the target's bytes exactly; what is near them relays.

| target | goes to |
| --- | --- |
| `GET /session/bootstrap` | the bootstrap |
| `GET /api/public/coworkers/profiles`, `…/published/{id}/related` | the cached lists |
| any other `/api/…` or `/{lang}/…`, any method but TRACE | Nexudus, streamed, never stored |
| anything else | 404 |
"""

from __future__ import annotations

import re
from collections.abc import Awaitable

from starlette.types import Receive, Scope, Send

from bff.cache import patience
from bff.edge import exchange as exchanges
from bff.edge.endpoints import LIST_PARAMETERS, Endpoints
from bff.edge.middleware import send_problem
from bff.edge.problems import METHOD_NOT_ALLOWED, NOT_FOUND, Problem
from bff.edge.relay import Relay
from bff.edge.target import BOOTSTRAP_PATH, Target, check_path, check_target
from bff.errors import TargetError
from bff.nexudus.client import is_forwarded
from bff.resources import PROFILES, RELATED, Resource

_BOOTSTRAP = BOOTSTRAP_PATH.encode()
_LIST_PARAMETERS = frozenset(name.encode() for name in LIST_PARAMETERS)
_READING = frozenset({"GET", "HEAD"})
_FORWARDABLE = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""For whoever sent a method that is never forwarded; extensions of HTTP are, too."""
_RELATED = re.compile(re.escape(RELATED.path).replace(r"\{id\}", "([1-9][0-9]{0,18})"))
_FORWARDED = re.compile(r"/(?:api|[a-z]{2}(?:-[a-z]{2,4})?)(?:/.*)?", re.IGNORECASE | re.DOTALL)


class Front:
    """The routes that belong to a space. A request waits `store_s` in all for the shared store."""

    def __init__(self, endpoints: Endpoints, relay: Relay, *, store_s: float) -> None:
        self._endpoints = endpoints
        self._relay = relay
        self._store_s = store_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with patience.limited(self._store_s):
            await self._route(scope, receive, send)

    def _route(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """What answers. Raises RequestError."""
        exchange = exchanges.of(scope)
        exchanges.space_of(scope)  # an unknown host learns nothing about routes
        raw, query = raw_path(scope), scope["query_string"]
        path = BOOTSTRAP_PATH if raw == _BOOTSTRAP else check_path(raw)
        if path == BOOTSTRAP_PATH:
            exchange.route = BOOTSTRAP_PATH
            if scope["method"] not in _READING:
                detail = f"`{BOOTSTRAP_PATH}` is read with GET."
                return _refuse_method(scope, send, detail, ("GET", "HEAD"))
            return self._endpoints.session_bootstrap(scope, receive, send)
        if path == PROFILES.path and _is_cached(scope):
            exchange.route = PROFILES.path
            return self._endpoints.profiles(scope, receive, send)
        if (found := _RELATED.fullmatch(path)) and int(found[1]) < 2**63 and _is_cached(scope):
            exchange.route = RELATED.path
            return self._endpoints.related(scope, receive, send, found[1])
        if _FORWARDED.fullmatch(path):
            exchange.route = "forwarded"
            return self._forward(scope, receive, send, check_target(raw, query))
        exchange.route = "unmatched"
        problem = Problem(NOT_FOUND, NOT_FOUND.remedy, exchange.request_id)
        return send_problem(problem, scope, send)

    def _forward(
        self, scope: Scope, receive: Receive, send: Send, target: Target
    ) -> Awaitable[None]:
        if not is_forwarded(scope["method"]):  # here, where it costs nothing of the budget
            detail = "This method is never forwarded; methods are written in capitals."
            return _refuse_method(scope, send, detail, _FORWARDABLE)
        if scope["method"] in _READING and (resource := _listed(target.path)) is not None:
            self._endpoints.bypassed(scope, resource)
        return self._relay(scope, receive, send, target)


def raw_path(scope: Scope) -> bytes:
    """The target's path as sent. ASGI servers give it without the query."""
    raw = scope.get("raw_path")
    if not isinstance(raw, bytes):
        raise TargetError("The server did not pass on the request target as it was sent.")
    return raw.partition(b"?")[0]


def _listed(path: str) -> Resource | None:
    """The cached list at a path, however it is asked for."""
    if path == PROFILES.path:
        return PROFILES
    return RELATED if _RELATED.fullmatch(path) else None


def _is_cached(scope: Scope) -> bool:
    """Whether a list is read with nothing that the cache does not understand.

    Any other parameter may change Nexudus' answer: the call is then relayed, not cached.
    """
    if scope["method"] not in _READING:
        return False
    names = {piece.partition(b"=")[0] for piece in scope["query_string"].split(b"&") if piece}
    return names <= _LIST_PARAMETERS


async def _refuse_method(scope: Scope, send: Send, detail: str, allow: tuple[str, ...]) -> None:
    request_id = exchanges.of(scope).request_id
    await send_problem(Problem(METHOD_NOT_ALLOWED, detail, request_id, allow=allow), scope, send)
