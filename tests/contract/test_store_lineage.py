"""A store tells who knows of a stamp whether it is the one that gave it: all backends."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from bff.cache.connect import connect
from bff.cache.remote import RemoteStore
from bff.cache.store import Loaded
from tests.support import store_backend
from tests.support.cache_process import KEYSPACE, SPACE
from tests.support.store_backend import BASE, COWORKER, Backend

old_redis_server = store_backend.old_redis_server
store_url = store_backend.store_url
backend = store_backend.backend

MINUTES_US = 5 * 60 * 1_000_000
CLOCK = f"{BASE}clock"


async def asked(backend: Backend, known: int) -> Loaded:
    return await backend.store.load(SPACE, [(COWORKER, "f"), (COWORKER, "g")], known)


async def kept_steps(backend: Backend) -> list[bytes]:
    past = await backend.client.hget(CLOCK, "past")
    return past.split(b"\n")[:-1] if isinstance(past, bytes) else []


@pytest.fixture
async def stamps(backend: Backend) -> list[int]:
    """Of some invalidations, more than two microseconds apart."""
    given = [await backend.drop("u:1") for _ in range(4)]
    await backend.save(COWORKER, "c:7")
    return given


async def test_nothing_that_it_gave_is_taken_for_another_stores(
    backend: Backend, stamps: list[int]
) -> None:
    for known in (0, 1, *stamps, *(stamp + 1 for stamp in stamps)):
        loaded = await asked(backend, known)
        assert loaded.stamp == stamps[-1] + 1
        assert loaded.values[0] is not None


async def test_pitfall_22_what_it_did_not_give_is_told_and_nothing_else(
    backend: Backend, stamps: list[int]
) -> None:
    given = await kept_steps(backend)
    assert len(given) == len(stamps) - 1
    for before, stamp in ([*map(int, step.split())] for step in given):
        for known in (before + 1, stamp - 1):
            loaded = await asked(backend, known)
            assert loaded.stamp < known
            assert loaded.values == (None, None)
    loaded = await asked(backend, stamps[-1] + 2)
    assert loaded.stamp < stamps[-1] + 2


async def test_a_clock_that_begins_anew_takes_nobody_for_anothers(
    backend: Backend, stamps: list[int]
) -> None:
    inner = [int(step.split()[0]) + 1 for step in await kept_steps(backend)]
    for again in (backend.drop("u:1"), backend.begin()):
        await backend.client.delete(CLOCK)
        await again
        for known in inner:
            assert (await asked(backend, known)).stamp > known


async def test_pitfall_22_however_many_follow_a_long_step_is_told_for_minutes(
    backend: Backend,
) -> None:
    await backend.drop("u:1")
    last = int(await backend.client.hget(CLOCK, "last") or 0)
    long_us = MINUTES_US // 60
    await backend.client.hset(CLOCK, "last", str(last - long_us))
    lost = last - long_us // 2
    await backend.drop("u:1")
    sizes = set()
    for number in range(300):
        await backend.drop(f"k:{number}")
        sizes.add(len(await kept_steps(backend)))
    assert (await asked(backend, lost)).stamp < lost
    assert 64 <= max(sizes) <= 130


async def test_what_is_older_than_minutes_makes_room(backend: Backend) -> None:
    now = await backend.drop("u:1")
    old = [now - 2 * MINUTES_US + number * 1_000_000 for number in range(200)]
    past = "".join(f"{stamp - 900_000} {stamp}\n" for stamp in old)
    await backend.client.hset(CLOCK, "past", past)
    await backend.drop("u:1")
    assert len(await kept_steps(backend)) == 1


async def test_a_step_of_one_is_not_kept_since_nothing_is_in_it(backend: Backend) -> None:
    last = await backend.drop("u:1") + 3_600_000_000  # the wall clock was set back
    await backend.client.hset(CLOCK, "last", str(last))
    for _ in range(3):
        await backend.drop("u:1")
    assert await kept_steps(backend) == []


@pytest.mark.parametrize(("later_us", "kept"), [(1, False), (2, False), (3, True), (4, True)])
async def test_pitfall_22_a_step_is_kept_as_soon_as_anything_is_in_it(
    monkeypatch: pytest.MonkeyPatch, later_us: int, kept: bool
) -> None:
    day = SimpleNamespace(time=lambda: 1_800_000_000.0)
    monkeypatch.setattr("fakeredis.commands_mixins.server_mixin.time", day)
    store = RemoteStore(connect("embedded://"), KEYSPACE, process="me", timeout_s=10)
    backend = Backend(store, store.client)
    first = await backend.drop("u:1")
    day.time = lambda: 1_800_000_000.0 + later_us / 1_000_000
    assert await backend.drop("u:1") == first + later_us
    inside = first + 2  # neither the stamp of an invalidation nor one past it, if it is inside
    assert ((await asked(backend, inside)).stamp < inside) is kept
    await store.aclose()
