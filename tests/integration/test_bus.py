"""Several processes around one real Redis: nobody reads what was cached before a write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from bff.cache.bus import Pace, RedisBus
from bff.cache.connect import connect
from bff.cache.invalidation import Reach
from bff.cache.remote import LIVE_MS
from bff.cache.tasks import end
from bff.cache.tiered import Tier
from tests.support import fair_time
from tests.support.bus_pair import (
    EVERYWHERE,
    HEARTBEAT_S,
    LEASE_S,
    LIST,
    NOT_EVERYWHERE,
    SETTING,
    TAGS,
    Pair,
    keep,
    now,
    pair_on,
    tier_of,
    version,
    write,
)
from tests.support.cache_process import (
    SPACE,
    entry,
    everything_in,
    process,
    profiles,
    trusting,
    until,
)
from tests.support.redis_server import RedisServer
from tests.support.slow_proxy import slow_proxy


@pytest.fixture
async def pair(redis_url: str) -> AsyncIterator[Pair]:
    async with pair_on(redis_url) as made:
        yield made


async def test_pitfall_22_after_a_write_no_process_serves_what_was_cached_before(
    redis_url: str,
) -> None:
    async with AsyncExitStack() as stack:
        processes = [
            await stack.enter_async_context(process(redis_url, f"p{n}", SETTING)) for n in range(4)
        ]
        await trusting(*processes)
        for number in range(40):
            await keep(processes[number % 4], number)
            assert [await tier_of(one) for one in processes].count(Tier.L1) == 1
            assert [await tier_of(one) for one in processes] == [Tier.L1] * 4
            assert await write(processes[(number + 1) % 4]) == EVERYWHERE
            # All have dropped it already: nothing is awaited before this look.
            assert [len(one.memory) for one in processes] == [0] * 4
            assert [await one.get(LIST) for one in processes] == [None] * 4


async def test_an_invalidation_returns_only_when_a_slow_peer_has_applied_it(pair: Pair) -> None:
    await keep(pair.peer)
    pair.link.delay_s = lambda: 0.2
    began = now()
    assert await write(pair.mine) == EVERYWHERE
    assert now() - began >= 0.2
    assert len(pair.peer.memory) == 0


async def test_a_peer_whose_link_is_half_open_is_waited_for_no_longer_than_a_lease(
    pair: Pair,
) -> None:
    await keep(pair.peer)
    assert await tier_of(pair.peer) is Tier.L1
    pair.link.hang()
    began, fairly_began = now(), fair_time.now()
    assert await write(pair.mine) == NOT_EVERYWHERE
    assert now() - began >= LEASE_S
    assert fair_time.now() - fairly_began < LEASE_S + 0.5
    # It has stopped trusting what it holds by then, on its own.
    assert not pair.peer.bus.trusted
    assert await pair.peer.get(LIST) is None
    pair.link.resume()
    await trusting(pair.peer)
    assert await write(pair.mine) == EVERYWHERE


async def test_a_half_open_link_is_given_up_and_replaced(pair: Pair) -> None:
    pair.link.hang()
    await until(lambda: not pair.peer.bus.trusted)
    connections = pair.link.connections
    await until(lambda: pair.link.connections > connections)
    pair.link.resume()
    await trusting(pair.peer)


async def test_a_peer_that_lost_its_channel_drops_what_it_held_and_listens_anew(
    pair: Pair,
) -> None:
    await keep(pair.peer)
    await pair.link.cut()
    began = fair_time.now()
    await until(lambda: len(pair.peer.memory) == 0)
    assert fair_time.now() - began < LEASE_S
    assert not pair.peer.bus.trusted
    await write(pair.mine)
    assert await pair.peer.get(LIST) is None
    await trusting(pair.peer)
    await keep(pair.peer)
    assert await tier_of(pair.peer) is Tier.L1
    assert await write(pair.mine) == EVERYWHERE
    assert len(pair.peer.memory) == 0


async def test_a_peer_that_lost_its_channel_is_not_waited_for(pair: Pair) -> None:
    await keep(pair.peer)
    pair.link.hang()
    await pair.link.cut()
    registry = pair.mine.store.registry(SPACE)
    async with asyncio.timeout(5):  # half of what it takes to be forgotten
        while await pair.mine.store.client.zscore(registry, "peer") is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    await asyncio.sleep(4 * HEARTBEAT_S)  # nor does it come back while it hears nothing
    began = fair_time.now()
    assert await write(pair.mine) == EVERYWHERE
    assert fair_time.now() - began < LEASE_S / 2
    assert await pair.peer.get(LIST) is None
    pair.link.resume()
    await trusting(pair.peer)


async def test_what_is_cached_while_a_channel_is_lost_is_not_trusted_once_it_is_back(
    pair: Pair,
) -> None:
    await pair.link.cut()
    pair.link.hang()
    await until(lambda: not pair.peer.bus.trusted)
    pair.peer.guarded.keep_away()  # alone: its own copies are all it has
    ticket = await pair.peer.cache.begin(SPACE)
    assert await pair.peer.fill(ticket, LIST, version(1), *TAGS)
    assert await tier_of(pair.peer) is Tier.L1
    await write(pair.mine)
    pair.link.resume()
    await trusting(pair.peer)
    assert await pair.peer.get(LIST) is None
    assert not await pair.peer.fill(ticket, LIST, version(1), *TAGS)


async def test_a_process_never_trusts_before_its_subscription_stands(redis_url: str) -> None:
    async with slow_proxy(redis_url) as link, process(redis_url, "mine", SETTING) as mine:
        link.hang()
        await trusting(mine)
        async with process(redis_url, "peer", SETTING, listen_url=link.url) as peer:
            await keep(peer)
            began = fair_time.now()
            # Nobody waits for who does not listen yet.
            assert await write(mine) == EVERYWHERE
            assert fair_time.now() - began < LEASE_S
            assert not peer.bus.trusted
            assert await peer.get(LIST) is None
            link.resume()
            await trusting(peer)


async def test_a_process_that_ends_in_order_is_not_waited_for(redis_url: str) -> None:
    async with process(redis_url, "mine", SETTING) as mine:
        async with process(redis_url, "peer", SETTING) as peer:
            await trusting(mine, peer)
        began = fair_time.now()
        assert await write(mine) == EVERYWHERE
        assert fair_time.now() - began < LEASE_S / 2


async def test_a_process_that_dies_is_waited_for_until_its_heartbeat_is_old(pair: Pair) -> None:
    assert isinstance(pair.peer.bus, RedisBus)
    await end(pair.peer.bus._tasks)
    assert await write(pair.mine) == NOT_EVERYWHERE
    redis, registry = pair.mine.store.client, pair.mine.store.registry(SPACE)
    heard_ms = await redis.zscore(registry, "peer")
    assert heard_ms is not None
    await redis.zadd(registry, {"peer": heard_ms - LIVE_MS})
    began = fair_time.now()
    assert await write(pair.mine) == EVERYWHERE
    assert fair_time.now() - began < LEASE_S / 2


async def test_writes_at_the_same_time_everywhere_all_get_through(redis_url: str) -> None:
    setting = replace(SETTING, pace=Pace(heartbeat_s=0.2, lease_s=2.5), timeout_s=5.0)
    async with AsyncExitStack() as stack:
        processes = [
            await stack.enter_async_context(process(redis_url, f"p{n}", setting)) for n in range(3)
        ]
        await trusting(*processes)
        reaches = await asyncio.gather(*(write(one) for one in processes * 20))
        assert set(reaches) == {EVERYWHERE}
        assert all(isinstance(one.bus, RedisBus) and not one.bus._waiters for one in processes)


async def test_spaces_are_invalidated_one_by_one(redis_url: str) -> None:
    setting = replace(SETTING, spaces=("beta", SPACE))
    async with (
        process(redis_url, "mine", SETTING) as mine,
        process(redis_url, "both", setting) as both,
    ):
        await trusting(mine, both)
        await keep(both)
        assert await mine.invalidator.invalidate("beta", frozenset({"c:7"}), "w") == EVERYWHERE
        assert await tier_of(both) is Tier.L1
        assert await write(mine) == EVERYWHERE
        assert await tier_of(both) is None


async def test_pitfall_23_a_restarted_redis_is_used_again_by_processes_that_start_from_nothing(
    own_redis: RedisServer,
) -> None:
    async with (
        process(own_redis.url, "mine", SETTING) as mine,
        process(own_redis.url, "peer", SETTING) as peer,
    ):
        await trusting(mine, peer)
        await keep(mine)
        assert await tier_of(peer) is Tier.L2
        ticket = await mine.cache.begin(SPACE)
        own_redis.kill()
        await until(lambda: not mine.bus.trusted and not peer.bus.trusted)
        assert await write(mine) == Reach(stored=False, everywhere=False)
        for one in (mine, peer):
            assert await one.get(LIST) is None
        own_redis.start()
        restarted = fair_time.now()
        await until(lambda: mine.guarded.available)
        assert fair_time.now() - restarted < 1.0
        assert mine.invalidator.pending == 0
        await trusting(mine, peer)
        assert not await mine.fill(ticket, LIST, version(1), *TAGS)
        await keep(peer, 2)
        assert await mine.get(LIST) == version(2)
        assert await write(mine) == EVERYWHERE
        assert len(peer.memory) == 0


async def test_pitfall_23_a_paused_redis_makes_nobody_wait_and_nothing_stale(
    own_redis: RedisServer,
) -> None:
    setting = replace(SETTING, timeout_s=0.05)
    async with (
        process(own_redis.url, "mine", setting) as mine,
        process(own_redis.url, "peer", setting) as peer,
    ):
        await trusting(mine, peer)
        await keep(mine)
        assert await tier_of(peer) is Tier.L2
        own_redis.pause()
        try:
            began = fair_time.now()
            assert await write(mine) == Reach(stored=False, everywhere=False)
            for _ in range(100):
                assert await mine.get(LIST) is None
            assert fair_time.now() - began < 0.5
            # The peer could not hear of it, and stops serving its copy with its lease.
            await until(lambda: not peer.bus.trusted, LEASE_S + 1)
            while peer.guarded.available:
                assert await peer.get(LIST) is None
            # Alone, it serves what it fetched itself.
            assert await peer.put(LIST, version(2), *TAGS)
            assert await tier_of(peer) is Tier.L1
        finally:
            own_redis.resume()
        await until(lambda: mine.guarded.available and peer.guarded.available)
        await trusting(mine, peer)
        assert mine.invalidator.pending == 0
        assert await mine.get(LIST) is None
        assert await peer.get(LIST) is None
        await keep(mine, 3)
        assert await peer.get(LIST) == version(3)


async def test_pitfall_14_a_fetch_that_spans_a_write_is_stored_by_no_process(
    redis_url: str,
) -> None:
    async with (
        process(redis_url, "mine", SETTING) as mine,
        process(redis_url, "peer", SETTING) as peer,
    ):
        await trusting(mine, peer)
        tickets = [await one.cache.begin(SPACE) for one in (mine, peer)]
        await write(mine)
        for one, ticket in zip((mine, peer), tickets, strict=True):
            assert not await one.fill(ticket, LIST, version(1), *TAGS)
        assert [await one.get(LIST) for one in (mine, peer)] == [None, None]


async def test_pitfall_6_nothing_on_the_bus_or_in_redis_tells_a_token(redis_url: str) -> None:
    redis = connect(redis_url)
    heard: list[bytes] = []
    async with process(redis_url, "mine", SETTING) as mine, redis.monitor() as monitor:

        async def listen() -> None:
            while True:
                command = await monitor.next_command()
                heard.append(command["command"].encode())

        listening = asyncio.create_task(listen())
        await trusting(mine)
        token = "bearer-CANARY-token"
        body = entry(b'{"FullName":"Ana CANARY Person"}', "u:5", "r:profiles")
        want = profiles(token)
        await mine.put(want, body, *body.tags)
        assert await mine.get(want) == body
        tag = want.address.container.label
        await mine.invalidator.invalidate(SPACE, frozenset({tag, "u:5"}), "token_refused")
        await mine.put(want, body, *body.tags)
        at_rest = await everything_in(redis)
        await until(lambda: any(b"publish" in command.lower() for command in heard))
        await end([listening])
    await redis.aclose()
    assert len(at_rest) > 6
    for text in (*at_rest, *heard):
        assert b"CANARY" not in text
        assert b"Ana" not in text
