"""From a URL to a client that fails fast and notices a connection that is no longer good."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.sentinel import SentinelConnectionPool

from bff.cache.connect import (
    CONNECT_TIMEOUT_S,
    HUNG_S,
    POOL_SIZE,
    connect,
    connect_for_messages,
)
from bff.cache.embedded import SWEEP_EVERY, EmbeddedRedis
from bff.settings_values import EMBEDDED_URL, read_redis_url


def options(client: Redis) -> dict[str, Any]:
    return client.connection_pool.connection_kwargs


def fails_fast(kwargs: dict[str, Any], hung_s: float | None = None) -> bool:
    """`hung_s`: where no `RemoteStore` ends what hangs."""
    timeouts = (kwargs["socket_connect_timeout"], kwargs["socket_timeout"])
    retries: int = kwargs["retry"].get_retries()
    return timeouts == (CONNECT_TIMEOUT_S, hung_s) and retries == 0


async def test_a_single_redis() -> None:
    client = connect("redis://us%40er:p%2Fw@cache.internal:6380/3")
    known = options(client)
    assert (known["host"], known["port"], known["db"]) == ("cache.internal", 6380, 3)
    assert (known["username"], known["password"]) == ("us@er", "p/w")
    assert fails_fast(known)
    assert client.connection_pool.max_connections == POOL_SIZE
    await client.aclose()


async def test_one_over_tls_and_one_on_a_socket() -> None:
    over_tls, local = connect("rediss://cache:6380/0"), connect("unix:///run/redis.sock?db=2")
    assert over_tls.connection_pool.connection_class is SSLConnection
    assert local.connection_pool.connection_class is UnixDomainSocketConnection
    assert (options(local)["path"], options(local)["db"]) == ("/run/redis.sock", 2)
    assert fails_fast(options(over_tls))
    await over_tls.aclose()
    await local.aclose()


@pytest.mark.parametrize("url", ["redis://h/0", "rediss://h/0", "redis+sentinel://h/cache"])
async def test_pitfall_8_a_pooled_connection_is_looked_at_before_it_is_used_again(
    url: str,
) -> None:
    """redis-py does not look while maintenance notifications are on, as they are by default."""
    client = connect(url)
    assert not client.connection_pool.maint_notifications_enabled()  # type: ignore[no-untyped-call]
    await client.aclose()


async def test_a_primary_behind_sentinel() -> None:
    client = connect("redis+sentinel://u:p@s1:26380,s2,[::1]:7/my.cache/4")
    pool = client.connection_pool
    assert isinstance(pool, SentinelConnectionPool)
    assert pool.service_name == "my.cache"
    known = [options(one) for one in pool.sentinel_manager.sentinels]
    assert [(one["host"], one["port"]) for one in known] == [
        ("s1", 26380),
        ("s2", 26379),
        ("::1", 7),
    ]
    assert all(fails_fast(one, HUNG_S) for one in known)
    assert fails_fast(options(client))
    assert (options(client)["username"], options(client)["password"]) == ("u", "p")
    assert options(client)["db"] == 4
    assert pool.max_connections == POOL_SIZE
    await client.aclose()


async def test_a_primary_behind_sentinel_without_credentials_or_database() -> None:
    client = connect("redis+sentinel://s1/cache")
    assert (options(client)["username"], options(client)["password"]) == (None, None)
    assert options(client)["db"] == 0
    await client.aclose()


async def test_a_cluster() -> None:
    client: object = connect("redis+cluster://u:p@n1:7000,n2/")
    assert isinstance(client, RedisCluster)
    nodes = [(node.host, node.port) for node in client.nodes_manager.startup_nodes.values()]
    assert nodes == [("n1", 7000), ("n2", 6379)]
    assert fails_fast({**client.connection_kwargs, "retry": client.retry})
    assert client.connection_kwargs["username"] == "u"
    assert client.connection_kwargs["max_connections"] == POOL_SIZE
    await client.aclose()


async def test_the_bus_listens_on_one_node_of_a_cluster() -> None:
    client = connect_for_messages("redis+cluster://u:p@n1:7000,n2:7001")
    assert type(client) is Redis
    assert (options(client)["host"], options(client)["port"]) == ("n1", 7000)
    assert (options(client)["username"], options(client)["password"]) == ("u", "p")
    assert fails_fast(options(client), HUNG_S)
    await client.aclose()


async def test_elsewhere_the_bus_listens_where_the_commands_go() -> None:
    client = connect_for_messages("redis://cache:6380/3")
    assert (options(client)["host"], options(client)["port"]) == ("cache", 6380)
    assert fails_fast(options(client), HUNG_S)
    await client.aclose()


@pytest.mark.parametrize(
    "url",
    [
        "embedded://",
        "redis://[::1]:6379/0",
        "redis://:p%40ss@cache",
        "rediss://cache:6380?db=1",
        "redis+sentinel://[::1]:26379,[::2]/cache",
        "redis+cluster://[::1]:7000,n2",
        "unix:///run/redis.sock",
    ],
)
async def test_every_form_that_the_settings_accept_makes_a_client(url: str) -> None:
    client = connect(read_redis_url(url).get_secret_value())
    await client.aclose()


async def test_each_embedded_store_is_its_own() -> None:
    one, other = connect(EMBEDDED_URL), connect(EMBEDDED_URL)
    assert isinstance(one, EmbeddedRedis)
    await one.set("k", "v")
    assert await other.get("k") is None
    await one.aclose()
    await other.aclose()


async def test_an_embedded_store_forgets_what_expired_although_nobody_asks_for_it() -> None:
    client = connect(EMBEDDED_URL)
    server = options(client)["server"]
    for number in range(50):
        await client.set(f"gone{number}", "v", px=5)
    await client.set("kept", "v", px=600_000)
    await asyncio.sleep(0.02)
    for _ in range(SWEEP_EVERY):
        await client.get("kept")
    assert list(server.dbs[0]._dict) == [b"kept"]
    await client.aclose()


async def test_an_embedded_store_is_bounded_and_forgets_what_would_expire_first() -> None:
    client = EmbeddedRedis(max_bytes=50_000)
    held = client.connection_pool.connection_kwargs["server"].dbs[0]
    await client.hset("clock", "last", b"1")
    await client.set("generation", "1", px=100_000)
    most = 0
    for number in range(300):
        await client.hset(f"c:{number}", "f", bytes(1_000))
        # Later ones first: what goes is not what came first.
        await client.pexpire(f"c:{number}", 600_000 - number * 1_000)
        most = max(most, sum(1 for key in held if key.startswith(b"c:")))
    assert 30 <= most <= 65
    left = [number for number in range(300) if f"c:{number}".encode() in held]
    assert set(range(30)) <= set(left), "those that would expire last"
    assert await client.hget("clock", "last") == b"1"
    assert await client.get("generation") == b"1"
    await client.aclose()
