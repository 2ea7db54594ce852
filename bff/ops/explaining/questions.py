"""What operators ask to have explained: a request that might come, read as one that does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast
from urllib.parse import unquote, urlsplit

from starlette.types import Message, Receive, Scope, Send

from bff.edge import exchange as exchanges
from bff.edge.endpoints import Endpoints
from bff.edge.exchange import Exchange
from bff.edge.headers_in import check_framing
from bff.edge.relay import Relay
from bff.edge.routes import Front
from bff.edge.target import Target
from bff.errors import ParameterError, RequestError
from bff.ops.access.bodies import named_space
from bff.resources import Resource
from bff.spaces import Space, SpaceTable

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
OWN: Final = "own"
"""Instead of a route: of whatever is about the gateway."""
_ABOUT_ITSELF: Final = frozenset(
    ("/healthz", "/readyz", "/openapi.json", "/metrics", "/ops", "/hooks/nexudus")
)
_FORM: Final = (
    'Send {"request_id": …}, or {"url": "https://…", "headers": {"Authorization": …}}, or '
    '{"space": …, "path": "/…"} instead of a url.'
)
_MEMBERS: Final = frozenset({"url", "space", "path", "method", "headers"})


@dataclass(frozen=True, slots=True, repr=False)
class Question:
    """A request: never printed, for its headers hold a token.

    `space`: by name; None where the Host of the headers decides, as for any request.
    """

    method: str
    path: str
    query: str
    headers: tuple[tuple[bytes, bytes], ...]
    space: str | None = None


@dataclass(slots=True)
class Routed:
    """Where a request goes: `exchange` names the route, or why there is no space.

    `ident`: of a related list. `bypassed`: the cached list that is asked for in another way than
    the cache understands. `relayed`: what goes to Nexudus. `refused`: a status of the routes' own.
    `own`: it is about the gateway.
    """

    scope: Scope
    exchange: Exchange
    ident: str = ""
    bypassed: Resource | None = None
    relayed: Target | None = None
    refused: int = 0
    cached: bool = False
    own: bool = False


def read_question(asked: Mapping[str, object], table: SpaceTable) -> Question:
    """Raises ParameterError; its message quotes nothing of what was sent."""
    unclear = ("url" in asked) == ("path" in asked) or {"url", "space"} <= asked.keys()
    if unclear or not asked.keys() <= _MEMBERS:
        raise ParameterError(_FORM)
    method = asked.get("method", "GET")
    if not isinstance(method, str) or method.upper() not in METHODS:
        raise ParameterError(f'"method" must be one of {", ".join(sorted(METHODS))}.')
    headers = _headers(asked.get("headers", {}))
    if "path" in asked:
        path, query = _split(asked["path"])
        space = named_space(dict(asked), table)
        return Question(method.upper(), path, query, headers, space)
    host, path, query = _located(asked["url"])
    others = tuple(pair for pair in headers if pair[0] != b"host")
    return Question(method.upper(), path, query, ((b"host", host.encode()), *others))


def _headers(given: object) -> tuple[tuple[bytes, bytes], ...]:
    if not isinstance(given, Mapping):
        raise ParameterError('"headers" must be an object of names and texts.')
    pairs = []
    for name, value in given.items():
        for each in value if isinstance(value, list) else [value]:
            if not isinstance(each, str) or not name.isascii():
                raise ParameterError('"headers" must be an object of names and texts.')
            pairs.append((name.strip().lower().encode(), each.encode("utf-8", "replace")))
    return tuple(pairs)


def _located(url: object) -> tuple[str, str, str]:
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
    except ValueError:
        parts = None
    if parts is None or parts.scheme not in ("http", "https") or not parts.netloc.isascii():
        raise ParameterError('"url" must be a whole one: https://host/path?query.')
    if "@" in parts.netloc or not parts.netloc:
        raise ParameterError('"url" must name a host, and no user.')
    return parts.netloc, parts.path or "/", parts.query


def _split(path: object) -> tuple[str, str]:
    if not isinstance(path, str) or not path.startswith("/"):
        raise ParameterError('"path" must begin with a slash; a query may follow it.')
    raw, _, query = path.partition("?")
    return raw, query


async def route(question: Question, table: SpaceTable, now: float) -> Routed:
    """Where the gateway's own routes would send it, with nothing behind them.

    Raises RequestError as a request would. `now`: monotonic seconds.
    """
    scope: Scope = {
        "type": "http",
        "method": question.method,
        "path": question.path,
        "raw_path": question.path.encode("utf-8", "replace"),
        "query_string": question.query.encode("utf-8", "replace"),
        "headers": list(question.headers),
    }
    routed = Routed(scope, exchanges.begin(scope, (), now))
    check_framing(question.headers)
    if _is_own(question.path):  # whatever its Host is
        routed.own = True
        return routed
    routed.exchange.space = _space_of(question, table)
    recorder = _Recorder(routed)
    front = Front(cast(Endpoints, recorder), cast(Relay, recorder), store_s=1.0)
    await front(scope, _receive, recorder.send)
    return routed


def _is_own(path: str) -> bool:
    """Those are matched by what a path means, members' by how it is written."""
    meant = unquote(path)
    return meant in _ABOUT_ITSELF or meant.startswith(("/ops/", "/hooks/nexudus/"))


def _space_of(question: Question, table: SpaceTable) -> Space | RequestError:
    if question.space is not None:
        return table.by_name(question.space)
    host = dict(question.headers)[b"host"].decode()
    try:
        return table.resolve(host)
    except RequestError as error:
        return error


async def _receive() -> Message:
    raise AssertionError("nothing of the body of a request that is only explained is read")


class _Recorder:
    """Stands where the endpoints and the relay do, and writes down which of them is meant."""

    def __init__(self, routed: Routed) -> None:
        self._routed = routed

    async def session_bootstrap(self, *_: object) -> None:
        self._routed.cached = True

    async def profiles(self, *_: object) -> None:
        self._routed.cached = True

    async def related(self, _scope: Scope, _receive: Receive, _send: Send, ident: str) -> None:
        self._routed.cached, self._routed.ident = True, ident

    def bypassed(self, _scope: Scope, resource: Resource) -> None:
        self._routed.bypassed = resource

    async def __call__(self, _scope: Scope, _receive: Receive, _send: Send, target: Target) -> None:
        self._routed.relayed = target

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._routed.refused = message["status"]
