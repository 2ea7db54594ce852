"""Loads that are asked for at the same time are one command, and each is answered for itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bff.cache.guarded import GuardedStore
from bff.cache.keys import Container, Scope
from bff.cache.store import Loaded, Put
from bff.cache.together import MAX_TOGETHER
from bff.clock import SystemClock
from tests.support import store_backend
from tests.support.cache_process import SPACE
from tests.support.store_backend import BASE, COWORKER, OTHER_TOKEN, TOKEN, Backend

old_redis_server = store_backend.old_redis_server
store_url = store_backend.store_url
backend = store_backend.backend

MANY = 4 * MAX_TOGETHER


def field_of(number: int) -> str:
    return f"f{number % 7}"


@pytest.fixture
async def store(backend: Backend) -> AsyncIterator[GuardedStore]:
    guarded = GuardedStore(backend.store, SystemClock())
    yield guarded
    await guarded.aclose()


@pytest.fixture
def commands(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the commands that are sent."""
    sent: list[str] = []
    real = backend.client.execute_command

    async def sending(name: str, *args: Any, **options: Any) -> Any:
        sent.append(name)
        return await real(name, *args, **options)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(backend.client, "execute_command", sending)
    return sent


async def test_pitfall_7_each_caller_has_its_own_answer(
    backend: Backend, store: GuardedStore, commands: list[str]
) -> None:
    for number in range(7):
        put = Put(field_of(number), ("u:1",), b"v%d" % number)
        stamp = await backend.begin()
        assert await backend.store.save(TOKEN, [put], stamp=stamp, ttl_s=60)
    commands.clear()
    wants = [[(TOKEN, field_of(at)) for at in range(n, n + n % 4)] for n in range(100)]
    loaded = await asyncio.gather(*(store.load(SPACE, each) for each in wants))
    for n, one in enumerate(loaded):
        found = [raw and raw.sealed for raw in one.values]
        assert found == [b"v%d" % (at % 7) for at in range(n, n + n % 4)]
    assert {one.stamp for one in loaded} == {stamp}
    assert commands == ["EVALSHA"]


async def test_pitfall_4_callers_of_two_spaces_do_not_ask_together(
    backend: Backend, store: GuardedStore, commands: list[str]
) -> None:
    there = Container("beta", Scope.TOKEN, "d1")
    await backend.save(TOKEN, "u:1")
    await backend.save(there, "u:1", field="other")
    commands.clear()
    here, beta = await asyncio.gather(
        store.load(SPACE, [(TOKEN, "f"), (TOKEN, "other")]),
        store.load("beta", [(there, "f"), (there, "other")]),
    )
    assert [raw is not None for raw in here.values + beta.values] == [True, False, False, True]
    assert commands == ["EVALSHA", "EVALSHA"]


async def test_one_command_asks_for_no_more_than_so_much(
    backend: Backend, store: GuardedStore, commands: list[str]
) -> None:
    await backend.save(TOKEN, "u:1", field=field_of(0))
    commands.clear()
    wants = [[(TOKEN, field_of(at)) for at in range(n, n + 16)] for n in range(MANY // 16)]
    loaded = await asyncio.gather(*(store.load(SPACE, each) for each in wants))
    for n, one in enumerate(loaded):
        assert [raw is not None for raw in one.values] == [at % 7 == 0 for at in range(n, n + 16)]
    assert commands == ["EVALSHA"] * (MANY // MAX_TOGETHER)


async def test_pitfall_14_who_asks_after_an_invalidation_is_not_answered_from_before_it(
    backend: Backend, store: GuardedStore
) -> None:
    """Also where both were asked in one turn of the loop: the loads go out after it, or before."""
    await backend.save(TOKEN, "u:1")
    before = asyncio.create_task(store.load(SPACE, [(TOKEN, "f")]))
    await asyncio.sleep(0)
    stamp = await backend.drop("u:1")
    after = await store.load(SPACE, [(TOKEN, "f")])
    assert after.values == (None,)
    assert after.stamp == stamp + 1
    earlier = await before
    assert (earlier.values == (None,)) == (earlier.stamp > stamp)


async def test_scripts_that_the_server_forgot_are_sent_again_for_all(
    backend: Backend, store: GuardedStore
) -> None:
    await backend.save(TOKEN, "u:1")
    await backend.client.script_flush()
    loads = (store.load(SPACE, [(TOKEN, "f")]) for _ in range(20))
    assert all(one.values[0] for one in await asyncio.gather(*loads))


async def test_a_name_that_is_no_containers_is_absent_and_harms_no_other(
    backend: Backend, store: GuardedStore
) -> None:
    await backend.save(TOKEN, "u:1")
    await backend.client.set(BASE + OTHER_TOKEN.label, b"no hash")
    mine, odd, absent = await asyncio.gather(
        store.load(SPACE, [(TOKEN, "f"), (OTHER_TOKEN, "f"), (TOKEN, "f")]),
        store.load(SPACE, [(OTHER_TOKEN, "f")]),
        store.load(SPACE, [(COWORKER, "f")]),
    )
    assert [raw is not None for raw in mine.values] == [True, False, True]
    assert odd.values == absent.values == (None,)


async def test_documents_may_depend_on_thousands_of_tags_together(
    backend: Backend, store: GuardedStore
) -> None:
    containers = [Container(SPACE, Scope.COWORKER, f"{1000 + n}") for n in range(45)]
    stamp = await backend.begin()
    for n, container in enumerate(containers):
        tags = tuple(f"c:{n}-{at}" for at in range(60))
        put = Put("f", (*tags, "r:related"), b"v")
        assert await backend.store.save(container, [put], stamp=stamp, ttl_s=60)

    async def usable() -> list[int]:
        loads = (store.load(SPACE, [(each, "f")]) for each in containers)
        loaded: list[Loaded] = await asyncio.gather(*loads)
        return [n for n, one in enumerate(loaded) if one.values[0] is not None]

    assert await usable() == list(range(45))
    await backend.drop("c:0-0", "c:17-59", "c:44-59")
    assert await usable() == [n for n in range(45) if n not in (0, 17, 44)]
    await backend.drop("r:related")
    assert await usable() == []
