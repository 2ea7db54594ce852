"""One flight across processes when a leader, Redis or the way to it fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bff.cache.endings import Nothing, Stored
from bff.cache.lead import LEASE_S, Lead, Tenure, Told
from bff.errors import StoreUnavailable
from tests.support import fair_time
from tests.support.cache_process import trusting, until
from tests.support.leadership_crowd import (
    LONG,
    SETTING,
    SHORT,
    Member,
    Upstream,
    crowd,
    die,
    leave_of_lease,
    lock_of,
    member,
    now,
    registered,
    renewed,
    waiting,
)
from tests.support.redis_server import RedisServer
from tests.support.slow_proxy import SlowProxy, slow_proxy

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def hasty_beside_another(redis_url: str) -> AsyncIterator[tuple[SlowProxy, Member, Member]]:
    """One that waits 50 ms for Redis, which can be slowed for it alone, and one with time."""
    hasty = replace(SETTING, timeout_s=0.05)
    async with (
        slow_proxy(redis_url) as link,
        member(link.url, "hasty", setting=hasty, listen_url=redis_url) as one,
        member(redis_url, "other") as other,
    ):
        await trusting(one.process, other.process)
        yield link, one, other


@asynccontextmanager
async def heard_through_a_link(
    redis_url: str, tenure: Tenure = LONG
) -> AsyncIterator[tuple[SlowProxy, Member, Member]]:
    """A leader, and one whose messages come by a link that can break."""
    async with (
        member(redis_url, "leader", tenure) as leader,
        slow_proxy(redis_url) as link,
        member(redis_url, "listener", tenure, listen_url=link.url) as listener,
    ):
        yield link, leader, listener


async def test_a_leader_that_dies_is_replaced_by_one_within_its_lease(redis_url: str) -> None:
    async with crowd(redis_url, 4, replace(LONG, renew_s=0.02)) as members:
        dead, *others = members
        with await dead.lead():
            pass
        renewal = dead.leadership._renewal
        assert renewal is not None
        await until(renewal.done)
        await dead.lead()
        await leave_of_lease(dead, LONG.lease_s / 2)
        await renewed(dead, LONG.lease_s / 2)
        upstream = Upstream(delay_s=0.05)
        reads = [asyncio.create_task(one.read(upstream, within_s=0.2)) for one in others]
        await asyncio.gather(*map(registered, others))
        await die(dead)
        died = now()
        await leave_of_lease(dead, SHORT.lease_s)
        assert upstream.calls == 0
        await asyncio.gather(*reads)
        assert SHORT.lease_s < now() - died < LONG.lease_s / 2
        assert upstream.calls == 1


async def test_an_orderly_end_gives_up_what_is_led(redis_url: str) -> None:
    async with crowd(redis_url, 2) as (first, second):
        upstream = Upstream(gate=asyncio.Event())
        read = asyncio.create_task(first.read(upstream))
        await until(lambda: upstream.calls == 1)
        task = await waiting(second)
        began = now()
        await first.flights.aclose()
        await first.leadership.aclose()
        assert await task == Told(Nothing())
        assert now() - began < LONG.lease_s / 2
        with pytest.raises(asyncio.CancelledError):
            await read
        lead = await second.lead()
        abandoned = await waiting(second)
        await second.leadership.aclose()  # although the flight goes on
        assert await abandoned == Told(Nothing())
        with lead, await second.lead():  # by itself
            assert await lock_of(second) == {}


async def test_a_claim_that_is_cancelled_leaves_no_lock(redis_url: str) -> None:
    async with slow_proxy(redis_url) as link, member(link.url, "one") as one:
        await trusting(one.process)
        lock = await one.lock()
        link.delay_s = lambda: 0.05
        task = asyncio.create_task(one.leadership.claim(lock, within_s=1))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: not one.process.store._running and not one.leadership._releases)
        link.delay_s = lambda: 0.0
        assert await lock_of(one) == {}


async def test_a_lock_taken_by_an_answer_that_came_too_late_is_kept_and_released(
    redis_url: str,
) -> None:
    async with hasty_beside_another(redis_url) as (link, one, other):
        lock = await one.lock()
        link.delay_s = lambda: 0.06
        lead = await one.leadership.claim(lock, within_s=1)
        assert isinstance(lead, Lead)
        await asyncio.sleep(0.1)
        task = await waiting(other)
        with lead:
            lead.ending = Stored()
        assert await task == Told(Stored(), lead.owner)


async def test_a_claim_that_its_own_release_passes_on_the_way_takes_no_lock(
    redis_url: str,
) -> None:
    async with hasty_beside_another(redis_url) as (link, one, other):
        lock = await one.lock()
        with link.holding() as arrives:
            lead = await one.leadership.claim(lock, within_s=1)
        assert isinstance(lead, Lead)
        with lead:
            pass
        mark = one.process.store.keyspace.base(lock.space) + f"gone:{lead.owner}"
        await until(lambda: not one.leadership._releases)
        assert await other.process.store.client.exists(mark)
        assert one.process.store._running, "the claim is still on its way"
        arrives.set()
        await until(lambda: not one.process.store._running)
        assert await lock_of(other) == {}
        assert 0 < await other.process.store.client.pttl(mark) <= one.leadership._lease_ms


async def test_what_was_taken_without_a_look_and_not_heard_of_is_given_back(
    redis_url: str,
) -> None:
    async with hasty_beside_another(redis_url) as (link, one, other):
        await one.lock()
        link.delay_s = lambda: 0.06
        assert await one.seize() is None
        await until(lambda: not one.leadership._releases and not one.process.store._running)
        assert await lock_of(other) == {}


@pytest.mark.parametrize("fault", ["kill", "pause"])
async def test_pitfall_23_redis_gone_while_they_wait_each_goes_on_by_itself(
    own_redis: RedisServer, fault: str
) -> None:
    tenure = Tenure(lease_s=1.0, renew_s=0.3)
    async with crowd(
        own_redis.url, 3, tenure, setting=lambda usual: replace(usual, timeout_s=0.05)
    ) as members:
        leader, *others = members
        await leader.lead()
        upstream = Upstream(delay_s=0.01)
        reads = [asyncio.create_task(one.read(upstream)) for one in others]
        await until(lambda: all(one.leadership._waits for one in others))
        await asyncio.sleep(0.05)
        began = fair_time.now()
        await asyncio.to_thread(own_redis.kill if fault == "kill" else own_redis.pause)
        try:
            await asyncio.gather(*reads)
            assert fair_time.now() - began < tenure.lease_s + 0.7
            assert upstream.calls == 2
        finally:
            if fault == "pause":
                own_redis.resume()


async def test_a_wake_up_that_is_lost_costs_no_more_than_the_lease(redis_url: str) -> None:
    tenure = Tenure(lease_s=0.6, renew_s=0.2)
    async with heard_through_a_link(redis_url, tenure) as (link, leader, deaf):
        await trusting(leader.process, deaf.process)
        upstream = Upstream(delay_s=0.2)
        read = asyncio.create_task(leader.read(upstream))
        await until(lambda: upstream.calls == 1)
        waited = asyncio.create_task(deaf.read(upstream))
        await until(lambda: bool(deaf.leadership._waits))
        link.hang()
        await read
        released = fair_time.now()
        assert (await waited).body == b"1"
        assert fair_time.now() - released < tenure.lease_s + 0.3
        link.resume()


async def test_whoever_hears_nothing_looks_again_at_short_intervals(redis_url: str) -> None:
    async with heard_through_a_link(redis_url) as (link, leader, deaf):
        link.hang()
        await trusting(leader.process)
        upstream = Upstream(gate=asyncio.Event())
        read = asyncio.create_task(leader.read(upstream))
        await until(lambda: upstream.calls == 1)
        waited = asyncio.create_task(deaf.read(upstream))
        await until(lambda: len(deaf.told) >= 3)  # of a lease of 30 s
        assert set(deaf.told) == {Told(Nothing())}
        assert upstream.gate is not None
        upstream.gate.set()
        assert (await read).body == (await waited).body == b"1"
        link.resume()


async def test_a_connection_that_breaks_wakes_who_might_not_be_told(redis_url: str) -> None:
    async with heard_through_a_link(redis_url) as (link, leader, waiter):
        await trusting(leader.process, waiter.process)
        with await leader.lead():
            task = await waiting(waiter)
            await link.cut()
            async with asyncio.timeout(5):  # of a lease of 30 s
                assert await task == Told(Nothing())


async def test_a_store_that_answers_something_else_leaves_the_call_to_everybody(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer(*_: object) -> list[object]:
        return [b"what"]

    async def fail(*_: object) -> list[object]:
        raise StoreUnavailable("away")

    async with crowd(redis_url, 1) as (one,):
        for broken in (answer, fail):
            monkeypatch.setattr(one.process.guarded, "run", broken)
            with await one.lead(), await one.lead():
                pass
        assert not one.leadership._leads


async def test_a_caller_waits_no_longer_than_it_may(redis_url: str) -> None:
    async with crowd(redis_url, 2) as (first, second):
        with await first.lead():
            began = fair_time.now()
            assert await second.claim(within_s=0.05) == Told(Nothing())
            assert fair_time.now() - began < LEASE_S / 2
