"""Wiring of the simulated Nexudus: `create_app(options)`, or `create_app_from_env` as a factory."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from bff.sandbox.accounts import Accounts
from bff.sandbox.answers import Refusal, refusal_response
from bff.sandbox.auth import Tokens
from bff.sandbox.calls import Calls
from bff.sandbox.content import Content
from bff.sandbox.control import Control
from bff.sandbox.directory import Directory
from bff.sandbox.documents import Documents
from bff.sandbox.echo import Echo
from bff.sandbox.faults import Faults
from bff.sandbox.gate import Gate, Passage
from bff.sandbox.holds import Holds
from bff.sandbox.injection import Injector
from bff.sandbox.latency import distribution_of
from bff.sandbox.legacy import Legacy
from bff.sandbox.options import SandboxOptions, options_from_env
from bff.sandbox.portal import Portal
from bff.sandbox.seed import JANE, business_of, seeded
from bff.sandbox.throttle import Throttle
from bff.sandbox.world import World


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The inside of a running sandbox, for tests in the same event loop."""

    options: SandboxOptions
    world: World
    tokens: Tokens
    directory: Directory
    calls: Calls
    throttle: Throttle
    faults: Faults
    holds: Holds


def create_app(options: SandboxOptions) -> Starlette:
    """A simulated space of its own; `sandbox_of` gives its inside."""
    sandbox = _sandbox(options)
    rng = Random(f"{options.seed}:gate")  # noqa: S311  (repeatable on purpose)
    routes = _routes(sandbox)
    passage = Passage(
        clock=options.clock,
        rng=rng,
        world=sandbox.world,
        calls=sandbox.calls,
        throttle=sandbox.throttle,
        faults=sandbox.faults,
        injector=Injector(options.clock, rng, sandbox.holds),
        latency=distribution_of(options.latency_ms),
        routes=routes,
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        sandbox.holds.release()

    app = Starlette(
        routes=routes,
        middleware=[Middleware(Gate, passage)],
        exception_handlers={Refusal: refusal_response, HTTPException: _empty},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # Nexudus is not known to redirect them
    app.state.sandbox = sandbox
    return app


def create_app_from_env() -> Starlette:
    """An ASGI factory that reads `BFF_SANDBOX_…`; serve it with one worker."""
    return create_app(options_from_env(os.environ))


def sandbox_of(app: Starlette) -> Sandbox:
    """The inside of an application made by `create_app`."""
    return cast(Sandbox, app.state.sandbox)


def _sandbox(options: SandboxOptions) -> Sandbox:
    clock = options.clock
    world = World(seeded(options.seed, options.members), business_of(options.space), options.seed)
    tokens = Tokens(clock, options.entropy, space=options.space, jwt=options.jwt_tokens)
    if options.demo_token:
        tokens.mint(JANE, text=options.demo_token)
    return Sandbox(
        options=options,
        world=world,
        tokens=tokens,
        directory=Directory(world),
        calls=Calls(),
        throttle=Throttle(clock, enabled=options.throttle, limits=options.limits),
        faults=Faults(Random(f"{options.seed}:faults")),  # noqa: S311  (repeatable on purpose)
        holds=Holds(),
    )


def _routes(sandbox: Sandbox) -> list[BaseRoute]:
    world, tokens = sandbox.world, sandbox.tokens
    portal = Portal(world, tokens, Documents(world), sandbox.directory)
    control = Control(world, tokens, sandbox.calls, sandbox.throttle, sandbox.faults, sandbox.holds)
    return [
        *portal.routes(),
        *Accounts(world, tokens).routes(),
        *Content(portal).routes(),
        *Echo().routes(),
        *Legacy(portal).routes(),
        *control.routes(),
    ]


def _empty(_: Request, error: Exception) -> Response:
    """Unknown routes and methods: the bodies of these are not documented."""
    assert isinstance(error, HTTPException)
    return Response(status_code=error.status_code, headers=error.headers)
