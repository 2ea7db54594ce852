"""Isolation and freshness, whatever happens in whatever order.

Two gateways over one Redis, two spaces with the same ids, two members with several tokens each, a
third whose data is only there to leak. Pitfalls 1, 2, 4, 7, 11, 12, 14, 19 and 22 at once.
`BFF_MACHINE_EXAMPLES` asks for more examples, and then for other ones in each run.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Final

import pytest
import structlog
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.support import gateway
from tests.support.fake_clock import START, FakeClock
from tests.support.isolation_machine import machine_on
from tests.support.isolation_model import Window, Windows
from tests.support.isolation_stage import DEADLINES, HOSTS, Loop, Place, Stage, Time
from tests.support.redis_server import RedisServer

EXAMPLES: Final = os.environ.get("BFF_MACHINE_EXAMPLES")

WINDOWS: Final = Windows(
    profiles=Window(60 + 300, 60 + 3600),
    related=Window(300 + 1800, 300 + 86400),
    negative=Window(60, 60),
    proof=Window(60, 60 + 3600),
)
"""Those of the default settings."""
LEAPS: Final = (61, 200, 61, 361, 200, 61, 301, 2101, 3661, 86701, 1, 30, -1, -4, -20)
"""Just beyond each of them, and a little back; those that matter to most are there more often."""


class JumpingTime(Time):
    """Wall time that stands still but for the machine."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock

    def wall(self) -> float:
        return self._clock.wall()

    async def advance(self, seconds: float) -> None:
        self._clock.advance(seconds)

    def rewind(self) -> None:
        self._clock.advance(START - self._clock.wall())


def place_of(opened: gateway.Stage) -> Place:
    """Where the machine finds a stage in this process."""
    first, second = (each.origin for each in opened.gateways)
    return Place(
        gateways=(first, second),
        sandboxes={space: opened.tenants[n].origin for n, space in enumerate(HOSTS)},
        redis_url=opened.redis_url,
        windows=WINDOWS,
        hooked=(0, 1),
        leaps=LEAPS,
        lifetimes=(30, 61, 400),
    )


@pytest.fixture
def quiet() -> Iterator[None]:
    """Thousands of requests and connections cut on purpose are not worth their lines of log."""
    before, server = structlog.get_config(), logging.getLogger("uvicorn.error")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    server.disabled = True
    yield
    server.disabled = False
    structlog.configure(**before)


@pytest.fixture
def stage(own_redis: RedisServer, quiet: None) -> Iterator[Stage]:
    """Everything in this process: its wall clock jumps, its heartbeats keep real time."""
    loop, stack = Loop(), contextlib.AsyncExitStack()

    async def open_stage() -> Stage:
        opened = await stack.enter_async_context(
            gateway.stage(
                own_redis.url, gateways=2, hosts=tuple(HOSTS.values()), env=DEADLINES, settles=False
            )
        )
        stage = Stage(loop, place_of(opened), JumpingTime(opened.clock))
        await stack.enter_async_context(stage.open())
        return stage

    try:
        yield loop.run(open_stage())
    finally:
        loop.run(stack.aclose())
        loop.close()


@pytest.mark.timeout(400 if EXAMPLES is None else 7200)
def test_isolation_and_freshness_hold_whatever_happens(stage: Stage) -> None:
    examples = settings(
        max_examples=int(EXAMPLES or 40),
        stateful_step_count=40,
        derandomize=EXAMPLES is None,
        database=None,
        deadline=None,
        print_blob=True,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(machine_on(stage), settings=examples)
    finally:
        print(*stage.failures[:1], dict(stage.tally), sep="\n")
