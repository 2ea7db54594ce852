"""A flight that ends with what it stores, on every store: both happen, or neither."""

from __future__ import annotations

from bff.cache.store import Put, Release
from tests.support import store_backend
from tests.support.store_backend import BASE, SEALED, TOKEN, Backend

old_redis_server = store_backend.old_redis_server
store_url = store_backend.store_url
backend = store_backend.backend

LOCK = BASE + "lock:k"
HELD = {b"owner": b"me", b"stamp": b"5", b"urgent": b"1", b"w:to:you": b"1"}
MINE = Release("lock:k", "me", b"stored", 60_000)


async def hold(backend: Backend) -> None:
    for field, value in HELD.items():
        await backend.client.hset(LOCK, field, value)


async def save(backend: Backend, stamp: int, release: Release = MINE) -> bool:
    put = Put("f", ("u:1",), SEALED)
    return await backend.store.save(TOKEN, [put], stamp=stamp, ttl_s=60, release=release)


async def test_the_lock_is_released_and_remembered_with_what_is_saved(backend: Backend) -> None:
    await hold(backend)
    async with backend.client.pubsub() as you:
        await you.subscribe("to:you")
        await you.get_message(timeout=5)
        assert await save(backend, await backend.begin())
        message = await you.get_message(timeout=5)
    assert message is not None
    assert message["data"] == b"stored"
    landed = {b"owner": b"me", b"stamp": b"5", b"landed": b"1"}
    assert await backend.client.hgetall(LOCK) == landed
    assert 0 < await backend.ttl_ms("lock:k") <= 60_000
    assert await backend.read(TOKEN) is not None


async def test_pitfall_14_what_is_not_saved_releases_nothing(backend: Backend) -> None:
    await hold(backend)
    stamp = await backend.begin()
    await backend.drop("u:1")
    assert not await save(backend, stamp)
    assert await backend.client.hgetall(LOCK) == HELD


async def test_the_lock_of_another_owner_is_left_as_it_is(backend: Backend) -> None:
    await hold(backend)
    theirs = Release("lock:k", "they", b"stored", 60_000)
    assert await save(backend, await backend.begin(), theirs)
    assert await backend.client.hgetall(LOCK) == HELD
