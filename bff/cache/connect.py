"""From `BFF_REDIS_URL` to clients: embedded, single, Sentinel or Cluster."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import unquote, urlsplit

from redis.asyncio import Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

CONNECT_TIMEOUT_S = 2.0
"""Callers wait less (`RemoteStore`): many connections at once may take a busy machine its time."""
HUNG_S = 5.0
"""A connection that is silent for so long, though something was asked, is given up."""
POOL_SIZE = 64


def connect(url: str, hung_s: float | None = None) -> Redis:
    """A client for commands. Nothing is sent yet; failures surface at the first command.

    No retries of redis-py's own: a store that fails is gone around, not waited for. Without
    `hung_s`, whoever asks gives up a hung connection by cancelling the command (`RemoteStore`):
    redis-py would take a task and two timers for each command to find that out.
    """
    scheme = url.partition("://")[0]
    if scheme == "embedded":
        from bff.cache.embedded import EmbeddedRedis  # noqa: PLC0415 - only this cache loads it

        return cast(Redis, EmbeddedRedis())
    if scheme == "redis+sentinel":
        return _sentinel(url, hung_s)
    if scheme == "redis+cluster":
        return cast(Redis, _cluster(url, hung_s))
    return Redis.from_url(url, max_connections=POOL_SIZE, **_options(hung_s))


def connect_for_messages(url: str) -> Redis:
    """A client for the bus. In a cluster any node hears what is published on any other."""
    if url.startswith("redis+cluster://"):
        username, password, ((host, port), *_) = _authority(url, 6379)
        return Redis(host=host, port=port, username=username, password=password, **_options(HUNG_S))
    return connect(url, HUNG_S)


def _options(hung_s: float | None) -> dict[str, Any]:
    return {
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_timeout": hung_s,
        "socket_keepalive": True,
        "retry": Retry(NoBackoff(), 0),
        # With them on, which they are by default, redis-py does not look whether a pooled
        # connection was closed or holds a stray answer before it is used again.
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }


def _cluster(url: str, hung_s: float | None) -> RedisCluster:
    """`redis+cluster://[user:password@]host:port[,host:port…]`."""
    username, password, addresses = _authority(url, 6379)
    return RedisCluster(
        startup_nodes=[ClusterNode(host, port) for host, port in addresses],
        username=username,
        password=password,
        max_connections=POOL_SIZE,
        **_options(hung_s),
    )


def _sentinel(url: str, hung_s: float | None) -> Redis:
    """`redis+sentinel://[user:password@]host:port[,host:port…]/service[/db]`."""
    username, password, addresses = _authority(url, 26379)
    service, _, db = urlsplit(url).path.strip("/").partition("/")
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        addresses, sentinel_kwargs=_options(HUNG_S), **_options(hung_s)
    )
    primary: Redis = sentinel.master_for(
        service,
        redis_class=_Primary,
        db=int(db or "0"),
        username=username,
        password=password,
        max_connections=POOL_SIZE,
    )
    return primary


class _Primary(Redis):
    """A client of the primary that Sentinel names; closes its connections to Sentinel as well."""

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        await super().aclose(close_connection_pool)
        assert isinstance(self.connection_pool, SentinelConnectionPool)
        for sentinel in self.connection_pool.sentinel_manager.sentinels:
            await sentinel.aclose()


def _authority(url: str, port: int) -> tuple[str | None, str | None, list[tuple[str, int]]]:
    """User, password and the (host, port) pairs of a URL that may name several hosts."""
    credentials, _, hosts = urlsplit(url).netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    nodes = [urlsplit(f"//{host}") for host in hosts.split(",")]
    addresses = [(node.hostname or "", node.port or port) for node in nodes]
    return unquote(username) or None, unquote(password) or None, addresses
