"""The isolation machine against processes: a gateway of two workers, one of one, real spaces.

Time is the machine's own, so freshness is measured in fractions of a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

import httpx
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.e2e.commands import HOST, Command, Unmeasured, free_port, until
from tests.support.gateway import OPS_TOKEN, SECRET, WEBHOOK_SECRET
from tests.support.isolation_machine import machine_on
from tests.support.isolation_model import SPACES, Window, Windows
from tests.support.isolation_stage import DEADLINES, HOSTS, Loop, Place, Stage, Time
from tests.support.plain import PLAIN
from tests.support.redis_server import RedisServer

WINDOWS: Final = Windows(
    profiles=Window(0.3 + 0.3, 0.3 + 0.6),
    related=Window(0.4 + 0.4, 0.4 + 0.8),
    negative=Window(0.3, 0.3),
    proof=Window(0.3, 0.3 + 0.6),
)
FRESHNESS: Final = {
    "BFF_PROFILES_FRESH_S": "0.3",
    "BFF_PROFILES_STALE_S": "0.3",
    "BFF_PROFILES_ERROR_S": "0.6",
    "BFF_RELATED_FRESH_S": "0.4",
    "BFF_RELATED_STALE_S": "0.4",
    "BFF_RELATED_ERROR_S": "0.8",
    "BFF_RELATED_NEGATIVE_S": "0.3",
}
WORKERS: Final = (2, 1)
SURE_THAT_ALL_HEAR: Final = 20
"""So many answers in a row, each over a connection of its own, come from every worker."""


class RealTime(Time):
    """The machine's own time, which passes and is never set back."""

    def wall(self) -> float:
        return time.time()

    async def advance(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def own_environment(sandboxes: Mapping[str, str], redis_url: str) -> dict[str, str]:
    return {
        "BFF_SPACES": ",".join(f"{HOSTS[space]}={url}" for space, url in sandboxes.items()),
        "BFF_REDIS_URL": redis_url,
        # A busy test machine is slow, and never away.
        "BFF_REDIS_TIMEOUT_MS": "5000",
        "BFF_SECRET": SECRET,
        "BFF_OPS_TOKEN": OPS_TOKEN,
        "BFF_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "BFF_SENTINEL_RATE": "0",
        "BFF_LOG_LEVEL": "error",
        **PLAIN,
        **FRESHNESS,
        **DEADLINES,
    }


@pytest.fixture
def place(own_redis: RedisServer) -> Iterator[Place]:
    """Everything as its users run it."""
    with contextlib.ExitStack() as stack:

        def run(*arguments: str, **variables: str) -> tuple[str, Command]:
            port = free_port()
            command = stack.enter_context(
                Unmeasured(*arguments, "--port", str(port), BFF_HOST=HOST, **variables)
            )
            return f"http://{HOST}:{port}", command

        quiet = {"BFF_SANDBOX_THROTTLE": "off", "BFF_SANDBOX_MEMBERS": "0"}
        spaces = {space: run("sandbox", BFF_SANDBOX_SPACE=space, **quiet) for space in SPACES}
        sandboxes = {space: url for space, (url, _) in spaces.items()}
        variables = own_environment(sandboxes, own_redis.url)
        gateways = [run("serve", "--workers", str(number), **variables) for number in WORKERS]
        for url, command in spaces.values():
            command.serves(f"{url}/_sandbox/healthz")
        for url, command in gateways:
            command.serves(f"{url}/readyz")
            until("all workers to hear each other", partial(all_hear, url))
        yield Place(
            gateways=(gateways[0][0], gateways[1][0]),
            sandboxes=sandboxes,
            redis_url=own_redis.url,
            windows=WINDOWS,
            hooked=(1,),
            leaps=(0, 0, 0, 0.05, 0, 0, 0.35, 0, 0, 0.9),  # a second is a long time here
            lifetimes=(0.3, 1, 5),
            keeps_connections=False,
        )


def all_hear(url: str) -> bool:
    """Whether every worker behind an address hears of invalidations."""
    heard = [
        httpx.get(f"{url}/readyz", trust_env=False, verify=False).json()["checks"]["invalidations"]
        == "heard"
        for _ in range(SURE_THAT_ALL_HEAR)
    ]
    return all(heard)


@pytest.fixture
def stage(place: Place) -> Iterator[Stage]:
    loop, stack = Loop(), contextlib.AsyncExitStack()
    opened = Stage(loop, place, RealTime())
    try:
        loop.run(stack.enter_async_context(opened.open()))
        yield opened
    finally:
        loop.run(stack.aclose())
        loop.close()


@pytest.mark.timeout(300)
def test_isolation_and_freshness_hold_across_processes(stage: Stage) -> None:
    examples = settings(
        max_examples=10,
        stateful_step_count=25,
        derandomize=True,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        # What depends on the moment does not get smaller by being tried again.
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(machine_on(stage), settings=examples)
    finally:
        print(*stage.failures[:1], dict(stage.tally), sep="\n")
