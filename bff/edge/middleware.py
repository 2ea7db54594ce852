"""The layers around the routes, outermost first: exchange, CORS, problems, space. Pure ASGI."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bff.clock import Clock
from bff.edge import exchange as exchanges
from bff.edge.access_log import AccessLog, Line
from bff.edge.caching import merge_vary, server_timing
from bff.edge.headers_in import FRAMING, check_framing, single
from bff.edge.problems import INTERNAL, METHOD_NOT_ALLOWED, NOT_FOUND, Problem, problem_for
from bff.errors import HeaderError, RequestError, UnknownHost, UpstreamError
from bff.nexudus.headers import Header
from bff.observe.journal import ProblemSeen
from bff.observe.metrics import Metrics
from bff.spaces import Space, SpaceTable

log = structlog.get_logger("bff.access")

EXPOSED_HEADERS = (
    "ETag",
    "Age",
    "Cache-Status",
    "Server-Timing",
    "BFF-Complete",
    "Retry-After",
    "X-Request-Id",
)


class ExchangeMiddleware:
    """Gives every request an id, and reports it once it is over: a log line and the metrics.

    `failed` hears of each answer with a 5xx, and `learn` of each that this process had finished, or
    made of a whole document that it had, with all its headers.
    """

    def __init__(
        self,
        app: ASGIApp,
        clock: Clock,
        metrics: Metrics,
        failed: Callable[[ProblemSeen], None] = lambda _: None,
        access_log: AccessLog | None = None,
        learn: Callable[[Scope, exchanges.Exchange, list[Header]], None] = lambda *_: None,
    ) -> None:
        self._app = app
        self._clock = clock
        self._metrics = metrics
        self._failed = failed
        self._log = access_log or AccessLog()
        self._is_refused = False
        self._learn = learn

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = exchanges.begin(scope, scope["headers"], self._clock.monotonic())
        request_id = (b"x-request-id", exchange.request_id.encode())

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                headers = message["headers"] = self._with_timing(message, exchange)
                headers.append(request_id)
                if exchange.recalled is not None:
                    self._learn(scope, exchange, headers)
            else:
                exchange.bytes_down += len(message.get("body", b""))
                if not message.get("more_body", False):
                    # Before it goes out: who has an answer whole finds it counted, come what may.
                    self._count(exchange)
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            self._count(exchange)
            self._report(exchanges.method_of(scope), exchange)

    def _with_timing(self, message: Message, exchange: exchanges.Exchange) -> list[Header]:
        headers = list(message.get("headers", ()))
        if b"server-timing" not in dict(headers):
            total_ms = (self._clock.monotonic() - exchange.started) * 1000
            headers.append((b"server-timing", server_timing({"total": total_ms}).encode()))
        return headers

    def _count(self, exchange: exchanges.Exchange) -> None:
        if exchange.counted:
            return
        exchange.counted = True
        took_s = self._clock.monotonic() - exchange.started
        space, route = exchanges.space_name(exchange), exchange.route
        try:
            self._metrics.request(route, space, exchange.status, took_s, exchange.bytes_down)
            if exchange.problem:
                self._metrics.count("bff_problems", exchange.problem)
        except OSError:
            # Members have their answers, counted or not.
            if not self._is_refused:
                self._is_refused = True
                log.exception("not_counted")
        if exchange.status >= 500:
            at, kind = self._clock.wall(), exchange.problem
            self._failed(ProblemSeen(at, space, route, exchange.status, kind, exchange.request_id))

    def _report(self, method: str, exchange: exchanges.Exchange) -> None:
        if not self._log.is_on:
            return
        took_s = self._clock.monotonic() - exchange.started
        self._log.tell(
            Line(
                method, exchange.route, exchanges.space_name(exchange), exchange.status,
                exchange.cache, took_s, exchange.bytes_down, exchange.request_id, exchange.trace_id,
            )
        )  # fmt: skip


class Cors(CORSMiddleware):
    """Starlette's CORS, for answers of which most say `Vary: Origin` already."""

    async def send(self, message: Message, send: Send, request_headers: Headers) -> None:
        """As starlette's, which adds `Origin` to a Vary that may name it.

        Who may read an answer may see how long it took (Resource Timing, `serverTiming`).
        """

        async def once_each(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Vary"] = merge_vary(headers["Vary"], ())
                if (origin := headers.get("Access-Control-Allow-Origin")) is not None:
                    headers["Timing-Allow-Origin"] = origin
            await send(message)

        await super().send(message, once_each, request_headers)

    def preflight_response(self, request_headers: Headers) -> Response:
        """Browsers keep it for `max_age`; nobody in between does. A refusal is a problem (400)."""
        if (misframed := _misframed(request_headers)) is not None:
            return misframed
        answer = super().preflight_response(request_headers)
        if answer.status_code != 200:
            return _not_allowed(bytes(answer.body).decode())
        answer.headers["Cache-Control"] = "no-store"
        answer.headers["Vary"] = merge_vary(answer.headers.get("Vary"), ("Authorization", "Origin"))
        return answer


class NoCors:
    """Refuses preflights, where no origin may call: Nexudus is not asked what it may not allow."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if scope["type"] == "http" and scope["method"] == "OPTIONS":
            headers = Headers(scope=scope)
            if "origin" in headers and "access-control-request-method" in headers:
                app = _misframed(headers) or _not_allowed("Disallowed CORS origin")
        await app(scope, receive, send)


def _misframed(headers: Headers) -> Response | None:
    """The refusal of a preflight whose body nobody knows the end of: these layers answer before
    `ProblemMiddleware` looks."""
    try:
        check_framing(headers.raw)
    except RequestError as error:
        return _Refusal(partial(problem_for, error), close=True)
    return None


def _not_allowed(faults: str) -> Response:
    """What a browser is not to send, and how it may."""
    said = f"{faults}: browsers may not send this request."
    if "origin" in faults:
        said += " Operators name the origins that may in `BFF_CORS_ORIGINS`."
    return _Refusal(lambda request_id: problem_for(HeaderError(said), request_id))


class _Refusal(Response):
    """A problem where starlette wants a response. `made` of the request's id; `close`: see
    `send_problem`."""

    def __init__(self, made: Callable[[str], Problem], *, close: bool = False) -> None:
        super().__init__()
        self._made = made
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        problem = self._made(exchanges.of(scope).request_id)
        await send_problem(problem, scope, send, close=self._close)


class ProblemMiddleware:
    """Turns every named error into its problem document, as long as nothing was sent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = exchanges.of(scope)
        try:
            given = exchange.given
            if given is None or not FRAMING.isdisjoint(given):
                check_framing(scope["headers"])
        except RequestError as error:
            problem = problem_for(error, exchange.request_id)
            await send_problem(problem, scope, send, close=True)
            return
        try:
            await self._app(scope, receive, send)
        except (RequestError, UpstreamError) as error:
            if exchange.status:
                raise  # the server cuts the connection: a truncated body must not look whole
            await send_problem(problem_for(error, exchange.request_id), scope, send)
        except ClientDisconnect:
            return  # nobody is there to be told
        except Exception:
            if exchange.status:
                raise
            log.exception("unexpected_error", request_id=exchange.request_id)
            await send_problem(Problem(INTERNAL, INTERNAL.remedy, exchange.request_id), scope, send)


class SpaceMiddleware:
    """Resolves the Host to a space, for the routes that belong to one.

    The others are answered whatever the Host is: probes, scrapers and webhooks come by address.
    """

    def __init__(self, app: ASGIApp, table: SpaceTable) -> None:
        self._app = app
        self._table = table

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            exchanges.of(scope).space = self._resolved(scope)
        await self._app(scope, receive, send)

    def _resolved(self, scope: Scope) -> Space | RequestError:
        try:
            given = exchanges.of(scope).given
            # Of all headers, only the one: it is found by name where names are given once.
            headers = scope["headers"] if given is None else [(b"host", given.get(b"host", b""))]
            host = single(headers, b"host")
            if not host:  # some servers pass on an empty one for none
                return UnknownHost("The request has no Host header.")
            return self._table.resolve(host)
        except RequestError as error:
            return error


async def problem_of_routing(_: Request, error: Exception) -> Response:
    """Starlette's own 405, and its 404 for targets that are no path (`*`), as problem documents."""
    assert isinstance(error, HTTPException)
    if error.status_code != 405:
        return _Refusal(lambda request_id: Problem(NOT_FOUND, NOT_FOUND.remedy, request_id))
    allow = tuple(sorted((error.headers or {}).get("Allow", "").split(", ")))
    detail = "This route does not take this method."
    return _Refusal(lambda request_id: Problem(METHOD_NOT_ALLOWED, detail, request_id, allow=allow))


async def send_problem(problem: Problem, scope: Scope, send: Send, *, close: bool = False) -> None:
    """Send a problem document; a HEAD gets its headers. `close`: and end the connection."""
    exchanges.of(scope).problem = problem.kind.slug
    body = problem.body()
    framing = [(b"content-length", str(len(body)).encode())]
    if close:
        framing.append((b"connection", b"close"))
    await send(
        {
            "type": "http.response.start",
            "status": problem.kind.status,
            "headers": [*problem.headers(), *framing],
        }
    )
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
