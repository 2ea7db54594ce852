"""A crowd of members with nothing cached, two gateways, and a Nexudus that means what it says."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import httpx
import pytest

from bff.app import Seams, build
from bff.clock import SystemClock
from bff.nexudus.client import open_pools
from bff.sandbox.app import create_app, sandbox_of
from bff.sandbox.options import SandboxOptions
from bff.sandbox.throttle import Limit
from bff.settings import load
from tests.support.gateway import BOOTSTRAP, OPS_TOKEN, SECRET, bearer
from tests.support.plain import PLAIN
from tests.support.serving import client, serving

# Members, gateways and Nexudus share one event loop here, which now and then stands still between
# the sending of a call and its arrival: the spacing that is kept is longer than the one asked for.
ASKED = (Limit(1, 0.06), Limit(120, 60.0))
KEPT = "1/80ms,120/m"
SESSIONS = 20


@pytest.mark.timeout(30)
async def test_a_crowd_is_served_session_by_session_and_nothing_is_refused(redis_url: str) -> None:
    sandbox_app = create_app(
        SandboxOptions(space="alpha", members=SESSIONS, limits=ASKED, latency_ms=(40, 40))
    )
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(serving(sandbox_app))
        settings = load(
            {
                **PLAIN,
                "BFF_UPSTREAM": upstream,
                "BFF_REDIS_URL": redis_url,
                "BFF_REDIS_TIMEOUT_MS": "5000",
                "BFF_SECRET": SECRET,
                "BFF_OPS_TOKEN": OPS_TOKEN,
                "BFF_SENTINEL_RATE": "0",
                "BFF_BUDGET": "on",
                "BFF_BUDGET_CALLS": KEPT,
            }
        )
        gateways = []
        for _ in range(2):
            app = build(settings, Seams(transport=open_pools(), clock=SystemClock()))
            gateways.append(await stack.enter_async_context(serving(app)))
        sandbox = sandbox_of(sandbox_app)
        members = [member.user_id for member in sandbox.world.members()][-SESSIONS:]
        clients = [await stack.enter_async_context(client(origin)) for origin in gateways]

        async def begin(number: int, user_id: int) -> httpx.Response:
            token = sandbox.tokens.mint(user_id)
            return await clients[number % 2].get(BOOTSTRAP, headers=bearer(token))

        answers = await asyncio.gather(*(begin(*each) for each in enumerate(members)))
        assert sandbox.throttle.refused == 0
        complete = [a for a in answers if a.status_code == 200 and "bff-complete" not in a.headers]
        assert len(complete) >= 0.9 * SESSIONS
        # What was begun is finished first: half of them are there when half of the calls are.
        took = sorted(answer.elapsed.total_seconds() for answer in complete)
        assert took[len(took) // 2] < 0.7 * took[-1]
