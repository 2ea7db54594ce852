"""What every request passes on its way in: log, throttle, latency, faults; and counters after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bff.clock import Clock
from bff.sandbox.auth import bearer_of, token_digest
from bff.sandbox.calls import CLIENT_LEFT, UNMATCHED, Call, Calls, Visit
from bff.sandbox.faults import Faults
from bff.sandbox.holds import ClientLeft, Inbox
from bff.sandbox.injection import Injector
from bff.sandbox.latency import Distribution, sample_s
from bff.sandbox.throttle import Throttle, refuse
from bff.sandbox.world import World

CONTROL = "/_sandbox/"
PROFILES = "/api/public/coworkers/profiles"
_SUFFIX_STARTS = ("/", ";", ".", "%", "\x00")


@dataclass(frozen=True, slots=True)
class Passage:
    """What the gate works with."""

    clock: Clock
    rng: Random
    world: World
    calls: Calls
    throttle: Throttle
    faults: Faults
    injector: Injector
    latency: Distribution
    routes: Sequence[BaseRoute]


class Gate:
    """Pure ASGI middleware; control routes pass it untouched."""

    def __init__(self, app: ASGIApp, passage: Passage) -> None:
        self._app = app
        self._passage = passage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(CONTROL):
            await self._app(scope, receive, send)
            return
        passage, token = self._passage, bearer_of(scope["headers"])
        visit = _visit(scope, passage.clock.wall(), token)
        passage.calls.arrived(visit)
        status = CLIENT_LEFT

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            if passage.throttle.admit(visit.method):
                await self._admitted(scope, receive, watched, token)
            else:
                await refuse(watched)
        except ClientLeft:
            return
        finally:
            route = _template(scope, passage.routes)
            passage.calls.ended(visit, Call(route, visit.method, status, visit.token))

    async def _admitted(self, scope: Scope, receive: Receive, send: Send, token: str) -> None:
        passage = self._passage
        method, path = scope["method"], scope["path"]
        if passage.world.behaviour.lenient_paths:
            scope["path"] = _lenient(path)
        delay_s = sample_s(passage.latency, passage.rng)
        if delay_s > 0:
            await passage.clock.sleep(delay_s)
        effects = passage.faults.choose(method, path, token)
        if not effects:
            await self._app(scope, receive, send)
            return
        inbox = Inbox(receive)
        try:
            await passage.injector.run(self._app, scope, inbox, send, effects)
        finally:
            inbox.close()


def _visit(scope: Scope, at: float, token: str) -> Visit:
    return Visit(
        at=at,
        method=scope["method"],
        path=scope["path"],
        query=scope["query_string"].decode("latin-1"),
        token=token_digest(token) if token else "",
        headers=scope["headers"],
    )


def _template(scope: Scope, routes: Sequence[BaseRoute]) -> str:
    route = scope.get("route") or next(
        (each for each in routes if each.matches(scope)[0] is not Match.NONE), None
    )
    return route.path if isinstance(route, Route) else UNMATCHED


def _lenient(path: str) -> str:
    rest = path.removeprefix(PROFILES)
    known = rest.startswith(("/current",))
    return PROFILES if rest != path and rest.startswith(_SUFFIX_STARTS) and not known else path
