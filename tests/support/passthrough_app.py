"""An application that only passes through, for a server in a process of its own."""

from __future__ import annotations

import os

from starlette.types import ASGIApp, Receive, Scope, Send

from bff.clock import SystemClock
from bff.nexudus.client import NexudusClient, Timeouts, open_pools
from bff.nexudus.passthrough import Plan, forward
from bff.spaces import Space
from tests.support.nexudus_client import no_trust
from tests.support.unlimited import free

ORIGIN = "PASSTHROUGH_ORIGIN"
PLAN = Plan(max_body=2**30, idle_s=10)


def create() -> ASGIApp:
    """Passes to the origin that the environment names."""
    space = Space.parse(os.environ[ORIGIN])
    client = NexudusClient(open_pools(tls=no_trust), Timeouts(), SystemClock())

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await forward(scope, receive, send, passage=free(client, space), plan=PLAN)
            return
        while (message := await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await client.aclose()
        await send({"type": f"{message['type']}.complete"})

    return app
