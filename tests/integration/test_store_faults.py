"""A real Redis that is slow, read-only, full, or cut off in the middle of an answer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from bff.cache import patience
from bff.cache.connect import HUNG_S, POOL_SIZE, connect
from bff.cache.guarded import FAILURES_TO_OPEN, GuardedStore
from bff.cache.invalidation import Reach
from bff.cache.keys import Container, Scope
from bff.cache.remote import RemoteStore
from bff.cache.store import Loaded, Put, Refused
from bff.clock import SystemClock
from bff.errors import StoreUnavailable
from tests.support.cache_process import (
    KEYSPACE,
    SPACE,
    Setting,
    alone,
    entry,
    process,
    related,
    trusting,
    until,
)
from tests.support.redis_server import RedisServer
from tests.support.slow_proxy import slow_proxy

COWORKER = Container(SPACE, Scope.COWORKER, "7")
TAGS = ("c:7", "r:related")


@asynccontextmanager
async def store_at(
    url: str, timeout_s: float = 5.0, hung_s: float = HUNG_S
) -> AsyncIterator[RemoteStore]:
    client = connect(url)
    store = RemoteStore(client, KEYSPACE, process="me", timeout_s=timeout_s, hung_s=hung_s)
    try:
        yield store
    finally:
        await store.aclose()


async def keep(store: RemoteStore, field: str, sealed: bytes = b"sealed") -> None:
    stamp = (await store.load(SPACE, ())).stamp
    assert await store.save(COWORKER, [Put(field, TAGS, sealed)], stamp=stamp, ttl_s=60)


async def value_of(store: RemoteStore, field: str) -> bytes | None:
    raw = (await store.load(SPACE, [(COWORKER, field)])).values[0]
    return None if raw is None else raw.sealed


def waited_s() -> float:
    """How long this loop has waited for Redis so far; what keeps it busy does not count."""
    return patience.pace().now()


async def test_pitfall_23_a_replica_is_read_and_writes_to_it_are_refused(
    own_redis: RedisServer,
) -> None:
    async with store_at(own_redis.url) as store:
        await keep(store, "f")
        await store.client.replicaof(own_redis.url.split("/")[2].split(":")[0], 1)
        assert await value_of(store, "f") == b"sealed"
        for refused in (
            store.save(COWORKER, [Put("g", TAGS, b"x")], stamp=2**52, ttl_s=60),
            store.invalidate(SPACE, frozenset({"r:related"})),
            store.invalidate(SPACE, frozenset({"c:7"})),
            store.set_flag(SPACE, "n", "v"),
            store.remember(SPACE, "n", 60),
            # A clock that it would have to begin.
            store.load("beta", ()),
        ):
            with pytest.raises(Refused):
                await refused
        assert await value_of(store, "f") == b"sealed"


async def test_pitfall_23_a_full_redis_is_read_and_drops_what_is_invalid(
    own_redis: RedisServer,
) -> None:
    async with store_at(own_redis.url) as store:
        await keep(store, "f")
        own_redis.config("maxmemory", "1")
        assert await value_of(store, "f") == b"sealed"
        with pytest.raises(Refused):
            await store.save(COWORKER, [Put("g", TAGS, b"x")], stamp=2**52, ttl_s=60)
        assert (await store.load("beta", ())).stamp > 0, "a clock takes no room to speak of"
        for tags in ({"r:related"}, {"c:7", "r:related"}, {"k:d"}, {"p:d"}, {"news"}):
            before = (await store.load(SPACE, ())).stamp
            assert (await store.invalidate(SPACE, frozenset(tags))).stamp >= before
            assert (await store.load(SPACE, ())).stamp > before
        assert await value_of(store, "f") is None


async def test_pitfall_14_a_fetch_from_before_is_fenced_by_a_full_redis_too(
    own_redis: RedisServer,
) -> None:
    async with store_at(own_redis.url) as store:
        await keep(store, "f")
        before = (await store.load(SPACE, ())).stamp
        own_redis.config("maxmemory", "1")
        await store.invalidate(SPACE, frozenset({"c:7"}))
        own_redis.config("maxmemory", "0")
        assert not await store.save(COWORKER, [Put("f", TAGS, b"old")], stamp=before, ttl_s=60)


async def test_a_full_redis_still_carries_the_bus(own_redis: RedisServer) -> None:
    own_redis.config("maxmemory", "1")
    async with process(own_redis.url, "mine") as mine, process(own_redis.url, "peer") as peer:
        await trusting(mine, peer)
        reach = await mine.invalidator.invalidate(SPACE, frozenset({"r:related"}), "write")
        assert reach == Reach(stored=True, everywhere=True)
        assert mine.guarded.available


async def test_a_demoted_redis_stays_away_until_what_waits_for_it_could_be_delivered(
    own_redis: RedisServer,
) -> None:
    async with alone(own_redis.url, "mine") as mine:
        await mine.store.client.replicaof("127.0.0.1", 1)
        reach = await mine.invalidator.invalidate(SPACE, frozenset({"r:related"}), "write")
        assert not reach.stored
        await asyncio.sleep(0.6)  # two probes, both of which Redis answers
        assert not mine.guarded.available
        await mine.store.client.replicaof("NO", "ONE")
        await until(lambda: mine.guarded.available)
        assert mine.invalidator.pending == 0


async def test_a_redis_that_hangs_costs_a_caller_its_timeout_and_no_more(
    own_redis: RedisServer,
) -> None:
    async with store_at(own_redis.url, timeout_s=0.05) as store:
        store._timeout_s = 5.0
        await keep(store, "f")
        store._timeout_s = 0.05
        own_redis.pause()
        before_s = waited_s()
        for _ in range(3):
            with pytest.raises(StoreUnavailable, match="within 50 ms"):
                await store.ping()
        assert 0.149 < waited_s() - before_s < 0.25
        own_redis.resume()
        store._timeout_s = 5.0
        assert await value_of(store, "f") == b"sealed"


async def test_a_redis_that_is_gone_fails_at_once(own_redis: RedisServer) -> None:
    async with store_at(own_redis.url) as store:
        await keep(store, "f")
        own_redis.kill()
        before_s = waited_s()
        for _ in range(5):
            with pytest.raises(StoreUnavailable):
                await store.load(SPACE, ())
        assert waited_s() - before_s < 1.0
        own_redis.start()
        assert await value_of(store, "f") is None


async def test_pooled_connections_that_died_with_their_redis_fail_nobody(
    own_redis: RedisServer,
) -> None:
    async with store_at(own_redis.url) as store:
        await asyncio.gather(*(store.load(SPACE, ()) for _ in range(POOL_SIZE // 2)))
        own_redis.restart()
        await asyncio.sleep(0.05)  # the loop learns that they were closed
        await asyncio.gather(*(store.load(SPACE, ()) for _ in range(POOL_SIZE)))


async def test_pitfall_21_a_thousand_callers_at_once_do_not_bring_the_store_down(
    redis_url: str,
) -> None:
    async with store_at(redis_url, timeout_s=2.0) as store:
        guarded = GuardedStore(store, SystemClock())
        answers = await asyncio.gather(*(guarded.load(SPACE, ()) for _ in range(1_000)))
        assert all(isinstance(answer, Loaded) for answer in answers)
        assert guarded.available


async def test_a_connection_that_opens_more_slowly_than_a_caller_waits_serves_the_next(
    redis_url: str,
) -> None:
    async with slow_proxy(redis_url) as proxy, store_at(proxy.url, timeout_s=0.1) as store:
        with proxy.holding() as opens:
            for _ in range(2):
                with pytest.raises(StoreUnavailable):
                    await store.ping()
        opens.set()
        await until(lambda: not store._running)
        await store.ping()
        assert proxy.connections == 2


async def test_pitfall_8_a_command_that_hangs_is_given_up_and_its_connection_with_it(
    redis_url: str,
) -> None:
    async with (
        slow_proxy(redis_url) as proxy,
        store_at(proxy.url, timeout_s=0.5, hung_s=0.05) as store,
    ):
        for name in ("mine", "theirs"):
            await store.set_flag(SPACE, name, name)
        proxy.hang()
        store._timeout_s = 0.02
        with pytest.raises(StoreUnavailable, match="no answer within 20 ms"):
            await store.flag(SPACE, "mine")
        assert store._running
        await until(lambda: not store._running)
        store._timeout_s = 5.0
        proxy.resume()
        # Its answer, which comes now, is nobody's.
        assert await store.flag(SPACE, "theirs") == "theirs"
        assert proxy.connections == 2


async def test_a_stuck_call_ends_with_its_store(redis_url: str) -> None:
    async with slow_proxy(redis_url) as proxy:
        async with store_at(proxy.url) as store:
            await store.ping()
            proxy.hang()
            stuck = asyncio.create_task(store.ping())
            await until(lambda: bool(store._running))
        with pytest.raises(StoreUnavailable, match="closed"):
            await stuck


async def test_a_caller_that_is_cancelled_leaves_the_command_to_its_end(redis_url: str) -> None:
    async with slow_proxy(redis_url) as proxy, store_at(proxy.url) as store:
        await store.ping()
        proxy.hang()
        caller = asyncio.create_task(store.set_flag(SPACE, "n", "v"))
        await until(lambda: bool(store._running))
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        proxy.resume()
        await until(lambda: not store._running)
        assert await store.flag(SPACE, "n") == "v"
        assert proxy.connections == 1


async def test_a_store_that_hangs_is_left_alone_until_it_answers(redis_url: str) -> None:
    async with slow_proxy(redis_url) as proxy, store_at(proxy.url, timeout_s=0.05) as store:
        guarded = GuardedStore(store, SystemClock())
        await until_up(store)
        proxy.hang()
        before_s = waited_s()
        for _ in range(1_000):
            with pytest.raises(StoreUnavailable):
                await guarded.load(SPACE, ())
        assert waited_s() - before_s < FAILURES_TO_OPEN * 0.05 + 0.1
        assert not guarded.available
        proxy.resume()
        await until(lambda: guarded.available)
        assert (await guarded.load(SPACE, ())).stamp > 0


async def until_up(store: RemoteStore) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                return await store.ping()
            except StoreUnavailable:
                continue


DOCUMENTS = 6
FIELDS = [f"f{number}" for number in range(8)]


ENOUGH = 300
PATIENCE_S = (0.0, 0.001, 0.003, 0.01, 10.0)


@dataclass(slots=True)
class Tally:
    """Goes on until enough callers had their answer, and enough were cut off."""

    answered: int = 0
    cut_off: int = 0

    @property
    def enough(self) -> bool:
        return min(self.answered, self.cut_off) >= ENOUGH


async def hammer(read: Callable[[str], Awaitable[object]], draw: random.Random) -> None:
    """Reads of random fields, cancelled at random moments; every answer is its own field's."""
    tally = Tally()

    async def caller() -> None:
        while not tally.enough:
            field = draw.choice(FIELDS)
            reading = asyncio.ensure_future(read(field))
            await asyncio.wait((reading,), timeout=draw.choice(PATIENCE_S))
            reading.cancel()
            try:
                value = await reading
            except asyncio.CancelledError:
                tally.cut_off += 1
            except StoreUnavailable:
                continue
            else:
                assert value == field.encode() * 50
                tally.answered += 1

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        for _ in range(12):
            group.create_task(caller())


async def test_pitfall_8_no_cancellation_makes_an_answer_anothers(
    redis_url: str,
) -> None:
    draw = random.Random(1)
    async with slow_proxy(redis_url) as proxy, store_at(proxy.url) as store:
        for field in FIELDS:
            await keep(store, field, field.encode() * 50)
        proxy.delay_s = lambda: draw.choice([0.0, 0.0, 0.001, 0.004])
        await hammer(lambda field: value_of(store, field), draw)
        await until(lambda: not store._running)
        for field in FIELDS:
            assert await value_of(store, field) == field.encode() * 50


async def test_pitfall_8_a_bare_client_cancelled_at_random_stays_in_step(
    redis_url: str,
) -> None:
    """What other users of the client rely on: redis-py drops a connection cut off mid-answer."""
    draw = random.Random(1)
    async with slow_proxy(redis_url) as proxy, store_at(proxy.url) as store:
        for field in FIELDS:
            await store.client.set(field, field * 50)
        proxy.delay_s = lambda: draw.choice([0.0, 0.001, 0.004])
        await hammer(store.client.get, draw)
        for field in FIELDS:
            assert await store.client.get(field) == field.encode() * 50


async def test_pitfall_8_documents_are_their_own_through_a_link_that_cuts_answers(
    redis_url: str,
) -> None:
    draw = random.Random(3)
    async with (
        slow_proxy(redis_url) as proxy,
        alone(redis_url, "direct") as direct,
        alone(proxy.url, "mine", Setting(timeout_s=0.5)) as mine,
    ):
        for number in range(DOCUMENTS):
            assert await direct.put(related(number), entry(b"%d" % number, *TAGS), *TAGS)
        proxy.delay_s = lambda: draw.choice([0.0, 0.0, 0.002, 0.02])
        tally = Tally()

        async def read() -> None:
            while tally.answered < 100 or tally.cut_off < 3:
                number = draw.randrange(DOCUMENTS)
                mine.memory.forget()
                value = await mine.get(related(number))
                if value is not None:
                    assert value == entry(b"%d" % number, *TAGS)
                    tally.answered += 1
                await asyncio.sleep(0.002)

        async def cut() -> None:
            while tally.answered < 100 or tally.cut_off < 3:
                await asyncio.sleep(0.1 + draw.random() * 0.3)
                await proxy.cut()
                tally.cut_off += 1

        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            group.create_task(cut())
            for _ in range(8):
                group.create_task(read())
