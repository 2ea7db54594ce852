"""A crowd of members with nothing cached, two gateways, and a Nexudus that means what it says."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpcore
import httpx

from bff.app import Seams, build
from bff.clock import SystemClock
from bff.nexudus.budget.windows import SENDS_WITHIN_S
from bff.nexudus.client import TwoPools, open_pools
from bff.nexudus.connections import Connections
from bff.nexudus.exchange import Transport
from bff.nexudus.network import Network
from bff.resources import RELATED
from bff.sandbox.app import Sandbox, create_app, sandbox_of
from bff.sandbox.options import SandboxOptions
from bff.sandbox.throttle import Limit
from bff.settings import load
from tests.support.gateway import BOOTSTRAP, OPS_TOKEN, SECRET, bearer
from tests.support.plain import PLAIN
from tests.support.serving import client, serving
from tests.support.standing_still import stood_still

# Members, gateways and Nexudus share one event loop here, which now and then stands still between
# the sending of a call and its arrival: the spacing that is kept is longer than the one asked for.
ASKED = (Limit(1, 0.06), Limit(120, 60.0))
KEPT = "1/80ms,120/m"
SESSIONS = 20


@dataclass(frozen=True, slots=True)
class House:
    """A Nexudus, and two gateways before it."""

    sandbox: Sandbox
    gateways: tuple[httpx.AsyncClient, ...]

    def tokens(self, number: int) -> list[str]:
        """Of so many members, none of them known to the gateways yet."""
        members = [member.user_id for member in self.sandbox.world.members()][-number:]
        return [self.sandbox.tokens.mint(user_id) for user_id in members]

    async def get(self, number: int, path: str, token: str) -> httpx.Response:
        """From one gateway or the other."""
        return await self.gateways[number % 2].get(path, headers=bearer(token))


@asynccontextmanager
async def house(
    redis_url: str,
    asked: tuple[Limit, ...],
    settings: Mapping[str, str],
    pools: Callable[[], Transport] = open_pools,
) -> AsyncIterator[House]:
    """Settings differ from those of other tests."""
    sandbox_app = create_app(
        SandboxOptions(space="alpha", members=SESSIONS, limits=asked, latency_ms=(40, 40))
    )
    async with AsyncExitStack() as stack:
        environ = {
            **PLAIN,
            "BFF_UPSTREAM": await stack.enter_async_context(serving(sandbox_app)),
            "BFF_REDIS_URL": redis_url,
            "BFF_REDIS_TIMEOUT_MS": "5000",
            "BFF_SECRET": SECRET,
            "BFF_OPS_TOKEN": OPS_TOKEN,
            "BFF_SENTINEL_RATE": "0",
            "BFF_BUDGET": "on",
            **settings,
        }
        gateways = []
        for _ in range(2):
            app = build(load(environ), Seams(transport=pools(), clock=SystemClock()))
            origin = await stack.enter_async_context(serving(app))
            gateways.append(await stack.enter_async_context(client(origin)))
        yield House(sandbox_of(sandbox_app), tuple(gateways))


async def test_a_crowd_is_served_session_by_session_and_nothing_is_refused(redis_url: str) -> None:
    # Nobody knows their tokens before Nexudus does: far more than the part of such tokens is used.
    kept = {"BFF_BUDGET_CALLS": KEPT, "BFF_BUDGET_STRANGER_SHARE": "0.1"}
    async with house(redis_url, ASKED, kept) as there:
        begun = enumerate(there.tokens(SESSIONS))
        async with stood_still(0.01) as late:
            answers = await asyncio.gather(*(there.get(n, BOOTSTRAP, token) for n, token in begun))
        # A call that arrives later than it was sent is one that the next one follows too closely.
        assert there.sandbox.throttle.refused <= len(late)
        complete = [a for a in answers if a.status_code == 200 and "bff-complete" not in a.headers]
        assert len(complete) >= 0.9 * SESSIONS
        # What was begun is finished first: half of them are there when half of the calls are.
        took = sorted(answer.elapsed.total_seconds() for answer in complete)
        assert took[len(took) // 2] < 0.7 * took[-1]


class Slow(Network):
    """To connect takes longer than a grant lasts."""

    async def connect_tcp(self, *args: Any, **kwargs: Any) -> httpcore.AsyncNetworkStream:
        await asyncio.sleep(1.2 * SENDS_WITHIN_S)
        return await super().connect_tcp(*args, **kwargs)


def slow_pools() -> TwoPools:
    """Connections that take long to make, for each gateway a call for each of them."""

    def opened(origin: httpcore.Origin) -> httpcore.AsyncHTTPConnection:
        return httpcore.AsyncHTTPConnection(origin, network_backend=Slow())

    cached, streamed = (Connections(opened, most=8, keepalive_s=20.0) for _ in range(2))
    return TwoPools(cached=cached, streamed=streamed, connections=8)


async def test_a_call_that_missed_its_turn_while_it_connected_is_paid_for_once(
    redis_url: str,
) -> None:
    sessions = 4
    kept = {"BFF_BUDGET_CALLS": f"1/30ms,{2 * sessions}/m"}
    asked = (Limit(2 * sessions, 60.0),)
    async with house(redis_url, asked, kept, slow_pools) as there:
        begun = enumerate(there.tokens(sessions))
        answers = await asyncio.gather(*(there.get(n, BOOTSTRAP, token) for n, token in begun))
        assert [answer.status_code for answer in answers] == [200] * sessions
        assert there.sandbox.throttle.refused == 0
        assert (await there.get(0, BOOTSTRAP, there.tokens(5)[0])).status_code == 503


async def test_a_flood_of_invented_tokens_leaves_the_rest_to_those_that_nexudus_knows(
    redis_url: str,
) -> None:
    kept = {
        "BFF_BUDGET_CALLS": "1/30ms,20/m",
        "BFF_BUDGET_STRANGER_SHARE": "0.25",
        "BFF_DEADLINE_S": "15",
    }
    async with house(redis_url, (Limit(20, 60.0),), kept) as there:
        known = there.tokens(2)
        for number, token in enumerate(known):
            assert (await there.get(number, BOOTSTRAP, token)).status_code == 200
        flood = [there.get(n, BOOTSTRAP, f"invented-{n}") for n in range(16)]
        statuses = Counter(answer.status_code for answer in await asyncio.gather(*flood))
        # Who waits until the deadline is told so by the budget or, on a busy machine, by the clock.
        assert (statuses[401], statuses[503] + statuses[504]) == (5, 11)
        cards = [RELATED.path_for(str(each.id)) for each in there.sandbox.world.coworkers()][:8]
        for number, card in enumerate(cards):
            answer = await there.get(number, card, known[number % 2])
            assert answer.status_code in (200, 404)
        assert (await there.get(0, BOOTSTRAP, there.tokens(3)[0])).status_code == 503
        assert there.sandbox.throttle.refused == 0
