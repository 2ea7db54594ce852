"""The backends of the store's contract: embedded, and a real Redis of two versions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
from redis.asyncio import Redis

from bff.cache.connect import connect
from bff.cache.keys import Container, Scope
from bff.cache.remote import RemoteStore
from bff.cache.store import Put, Raw
from tests.support.cache_process import KEYSPACE, SPACE
from tests.support.redis_server import Origin, RedisServer, find_binary

TOKEN = Container(SPACE, Scope.TOKEN, "d1")
OTHER_TOKEN = Container(SPACE, Scope.TOKEN, "d2")
COWORKER = Container(SPACE, Scope.COWORKER, "7")
BASE = KEYSPACE.base(SPACE)
SEALED = bytes(range(256))


@dataclass(frozen=True, slots=True)
class Backend:
    """A store, and a client to look behind it with."""

    store: RemoteStore
    client: Redis

    async def begin(self, space: str = SPACE) -> int:
        return (await self.store.load(space, ())).stamp

    async def save(
        self,
        container: Container,
        *tags: str,
        stamp: int | None = None,
        field: str = "f",
        ttl_s: float = 60,
    ) -> bool:
        stamp = await self.begin(container.space) if stamp is None else stamp
        put = Put(field, tags, SEALED)
        return await self.store.save(container, [put], stamp=stamp, ttl_s=ttl_s)

    async def read(self, container: Container, field: str = "f") -> Raw | None:
        return (await self.store.load(container.space, [(container, field)])).values[0]

    async def drop(self, *tags: str, space: str = SPACE) -> int:
        return (await self.store.invalidate(space, frozenset(tags))).stamp

    async def exists(self, name: str) -> bool:
        return bool(await self.client.exists(BASE + name))

    async def ttl_ms(self, name: str) -> int:
        return int(await self.client.pttl(BASE + name))

    async def keys(self) -> set[str]:
        return {bytes(key).decode() async for key in self.client.scan_iter()}


@pytest.fixture(scope="module")
def old_redis_server() -> Iterator[RedisServer]:
    with RedisServer(find_binary(Origin.WHEEL)) as server:
        yield server


@pytest.fixture(params=["embedded", "redis", "redis-6.2"])
def store_url(request: pytest.FixtureRequest) -> str:
    if request.param == "embedded":
        return "embedded://"
    name = "redis_server" if request.param == "redis" else "old_redis_server"
    server: RedisServer = request.getfixturevalue(name)
    server.flush()
    return server.url


@pytest.fixture
async def backend(store_url: str) -> AsyncIterator[Backend]:
    client = connect(store_url)
    store = RemoteStore(client, KEYSPACE, process="me", timeout_s=10)
    yield Backend(store, client)
    await store.aclose()
