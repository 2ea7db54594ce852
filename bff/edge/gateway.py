"""The application: hot answers at once, everything else through its layers and routes."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Lifespan, Receive, Scope, Send

from bff.edge.hot import HotAnswers
from bff.edge.middleware import problem_of_routing

FRONTED = ("/session/", "/api/")
"""Below these there is nothing but what belongs to a space."""


class Gateway(Starlette):
    """`front`: whatever belongs to a space; `routes` are all others, and looked at first: a
    method that one of them does not take is 405.

    `hot`: what is answered before any layer; None for nothing.
    """

    def __init__(
        self,
        front: ASGIApp,
        routes: Sequence[BaseRoute],
        layers: Sequence[Middleware],
        lifespan: Lifespan[Gateway],
        hot: HotAnswers | None,
    ) -> None:
        super().__init__(
            routes=routes,
            middleware=layers,
            exception_handlers={HTTPException: problem_of_routing},
            lifespan=lifespan,
        )
        # A redirect would name the Host that the caller sent, which may be anybody's.
        self.router.redirect_slashes = False
        # No route of its own, which would be meant by whatever others do not take.
        self.router.default = front
        self.hot = hot
        self._front = _within(layers, front)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        hot = self.hot
        found = None if hot is None else hot.find(scope)
        if hot is not None and found is not None:
            hot.settle()  # counted before it goes out, and whatever becomes of it
            start, body = found
            await send(start)
            await send(body)
        elif scope["path"].startswith(FRONTED):
            await self._front(scope, receive, send)  # no route of the others is meant
        else:
            await super().__call__(scope, receive, send)


def _within(layers: Sequence[Middleware], app: ASGIApp) -> ASGIApp:
    for layer in reversed(layers):
        app = layer.cls(app, *layer.args, **layer.kwargs)
    return app
