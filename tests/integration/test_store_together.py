"""Callers whose loads are one command: what becomes of one of them is nothing to the others."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from bff.cache.connect import connect
from bff.cache.guarded import FAILURES_TO_OPEN, GuardedStore
from bff.cache.keys import Container, Scope
from bff.cache.patience import OutOfPatience, limited
from bff.cache.remote import RemoteStore
from bff.cache.store import Loaded, Put
from bff.clock import SystemClock
from bff.errors import StoreUnavailable
from tests.support.cache_process import KEYSPACE, SPACE, until
from tests.support.gateway import BOOTSTRAP, SWITCH, stage
from tests.support.redis_server import RedisServer
from tests.support.slow_proxy import slow_proxy

DOCUMENTS = [
    (Container(SPACE, scope, f"d{number}"), f"f{number % 3}")
    for number, scope in enumerate([Scope.TOKEN, Scope.COWORKER] * 6)
]
SIZE = 40_000
"""Of each document: a few of them arrive in many pieces."""


@asynccontextmanager
async def store_behind(url: str, timeout_s: float = 5.0) -> AsyncIterator[GuardedStore]:
    """With a few documents in it, each of which says which it is."""
    remote = RemoteStore(connect(url), KEYSPACE, process="me", timeout_s=timeout_s)
    store = GuardedStore(remote, SystemClock())
    stamp = (await store.load(SPACE, ())).stamp
    for container, name in DOCUMENTS:
        put = Put(name, ("r:x",), sealed(container, name))
        assert await store.save(container, [put], stamp=stamp, ttl_s=60)
    try:
        yield store
    finally:
        await store.aclose()


def behind(store: GuardedStore) -> RemoteStore:
    assert isinstance(store.inner, RemoteStore)
    return store.inner


def sealed(container: Container, name: str) -> bytes:
    told = f"{container.label} {name} ".encode()
    return told * (SIZE // len(told))


def check(wants: Sequence[tuple[Container, str]], loaded: Loaded) -> None:
    """That what was loaded is what was asked for."""
    found = [raw and raw.sealed for raw in loaded.values]
    assert found == [sealed(*want) for want in wants]


async def load(
    store: GuardedStore, wants: Sequence[tuple[Container, str]], patience_s: float
) -> None:
    with limited(patience_s):
        check(wants, await store.load(SPACE, wants))


async def test_pitfall_7_one_that_is_cancelled_or_leaves_takes_nothing_from_the_others(
    redis_url: str,
) -> None:
    async with slow_proxy(redis_url) as proxy, store_behind(proxy.url) as store:
        proxy.hang()
        first, cancelled, impatient, last = (
            asyncio.create_task(load(store, DOCUMENTS[at : at + 3], patience_s))
            for at, patience_s in ((0, 9.0), (3, 9.0), (6, 0.01), (9, 9.0))
        )
        with pytest.raises(OutOfPatience) as left:
            await impatient
        cancelled.cancel()
        await asyncio.wait((cancelled,))
        assert cancelled.cancelled() and not first.done()
        assert len(behind(store)._running) == 1, "all of them are one command"
        assert left.value.command is not None and not left.value.command.done()
        proxy.resume()
        await asyncio.gather(first, last)
        assert proxy.connections == 1


async def test_the_first_that_asks_may_be_the_one_that_is_cancelled(redis_url: str) -> None:
    async with store_behind(redis_url) as store:
        for turns in range(3):
            first = asyncio.create_task(load(store, DOCUMENTS[:2], 9.0))
            others = [asyncio.create_task(load(store, DOCUMENTS[2:5], 9.0)) for _ in range(3)]
            for _ in range(turns):
                await asyncio.sleep(0)
            first.cancel()
            await asyncio.gather(*others)
            assert first.cancelled()


async def test_pitfall_23_a_connection_that_breaks_in_the_middle_fails_all_once(
    redis_url: str,
) -> None:
    async with slow_proxy(redis_url) as proxy, store_behind(proxy.url) as store:
        chunks = list[float]()

        def some() -> float:
            chunks.append(0.0)
            if len(chunks) == 3:  # the command, a piece of the answer, and then no more of it
                proxy.hang()
            return 0.0

        for _ in range(FAILURES_TO_OPEN + 2):
            chunks.clear()
            proxy.delay_s = some
            calls = [asyncio.create_task(load(store, DOCUMENTS, 9.0)) for _ in range(8)]
            await until(lambda: len(chunks) >= 3)
            await proxy.cut()
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(result, StoreUnavailable) for result in results)
            assert store.available, "what fails together is one failure"
            proxy.delay_s = lambda: 0.0
            proxy.resume()
            await load(store, DOCUMENTS, 9.0)


async def test_pitfall_23_a_redis_that_hangs_costs_each_its_own_patience(
    own_redis: RedisServer,
) -> None:
    async with store_behind(own_redis.url) as store:
        behind(store)._timeout_s = 0.2
        own_redis.pause()
        loop = asyncio.get_running_loop()
        began, ended = loop.time(), dict[float, float]()

        async def caller(patience_s: float) -> None:
            with pytest.raises(StoreUnavailable):
                await load(store, DOCUMENTS[:1], patience_s)
            ended[patience_s] = loop.time() - began

        await asyncio.gather(*(caller(patience_s) for patience_s in (0.0, 0.02, 0.1, 9.0)))
        assert list(ended) == [0.0, 0.02, 0.1, 9.0]
        assert 0.2 <= ended[9.0] < 3
        own_redis.resume()
        behind(store)._timeout_s = 5.0
        await load(store, DOCUMENTS, 9.0)


@dataclass(slots=True)
class Tally:
    answered: int = 0
    failed: int = 0
    cancelled: int = 0
    wrong: list[BaseException] = field(default_factory=list)

    def count(self, result: BaseException | None) -> None:
        match result:
            case None:
                self.answered += 1
            case StoreUnavailable():
                self.failed += 1
            case asyncio.CancelledError():
                self.cancelled += 1
            case wrong:
                self.wrong.append(wrong)


async def wave(
    store: GuardedStore, draw: random.Random, befalls: Callable[[], Awaitable[None]]
) -> Tally:
    """Some callers in one or two turns of the loop, some of whom leave, while something happens."""
    tally, calls = Tally(), list[asyncio.Task[None]]()
    for _ in range(draw.randrange(1, 25)):
        wants = draw.sample(DOCUMENTS, draw.randrange(4))
        calls.append(asyncio.create_task(load(store, wants, draw.choice([0.0, 0.002, 9.0, 9.0]))))
        if draw.random() < 0.1:
            await asyncio.sleep(0)
    for call in draw.sample(calls, len(calls) // 4):
        for _ in range(draw.randrange(4)):
            await asyncio.sleep(0)
        call.cancel()
    await befalls()
    for result in await asyncio.gather(*calls, return_exceptions=True):
        tally.count(result)
    return tally


async def test_pitfall_8_no_answer_is_ever_anothers(redis_url: str) -> None:
    draw, whole = random.Random(5), Tally()
    async with slow_proxy(redis_url) as proxy, store_behind(proxy.url) as store:

        async def cut() -> None:
            await asyncio.sleep(draw.choice([0.0, 0.001, 0.003]))
            await proxy.cut()

        async def nothing() -> None:
            """Happens."""

        for number in range(60):
            proxy.delay_s = lambda: draw.choice([0.0, 0.0, 0.0005, 0.002])
            tally = await wave(store, draw, cut if number % 4 == 3 else nothing)
            whole.answered += tally.answered
            whole.failed += tally.failed
            whole.cancelled += tally.cancelled
            assert tally.wrong == []
        await until(lambda: not behind(store)._running)
        await load(store, DOCUMENTS, 9.0)
    assert min(whole.answered, whole.failed, whole.cancelled) > 50


async def test_a_bootstrap_from_redis_is_one_question_once_its_member_is_known(
    redis_url: str,
) -> None:
    async with stage(redis_url, env={"BFF_L1_MAX_AGE_S": "0"}) as s:

        async def loads() -> float:
            return await s.metric("bff_store_seconds_count", "load")

        async def bootstrap() -> tuple[float, object]:
            before = await loads()
            answer = await s.get(BOOTSTRAP, s.alice)
            return await loads() - before, answer.json()

        await bootstrap()
        known = [await bootstrap() for _ in range(2)]
        assert [asked for asked, _ in known] == [1, 1]
        await s.send("PUT", f"{SWITCH}?coworkerId=145", s.alice)
        await bootstrap()
        (asked, switched), (_, again) = await bootstrap(), await bootstrap()
        assert asked == 1 and switched == again != known[0][1]
