"""One flight across processes, over a real Redis and real buses."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from bff.cache.bus import RedisBus
from bff.cache.connect import connect
from bff.cache.endings import Failed, Nothing, Stored, Unshared, encode
from bff.cache.lead import Lead, Tenure, Told
from bff.cache.tiered import Fill, Kept, Ticket
from bff.errors import UpstreamDown
from tests.support.cache_process import SPACE, entry, profiles, related, until
from tests.support.leadership_child import CALLS
from tests.support.leadership_crowd import (
    LONG,
    SHORT,
    TAGS,
    WANT,
    Upstream,
    crowd,
    heard,
    lock_name,
    lock_of,
    now,
    registered,
    waiting,
)
from tests.support.leadership_machine import LockMachine
from tests.support.redis_server import RedisServer

ROOT = Path(__file__).parents[2]


@pytest.mark.unmeasured
async def test_pitfall_21_a_thousand_callers_in_four_processes_make_one_call(
    redis_url: str,
) -> None:
    async with crowd(redis_url, 4) as members:
        # An answer at once comes between the looks and the claims of other processes.
        for number, delay_s in enumerate((0.2, 0.0, 0.001, 0.003, 0.01)):
            upstream, want = Upstream(delay_s), related(number)
            callers = 250 if not number else 20
            reads = [one.read(upstream, want) for _ in range(callers) for one in members]
            bodies = {one.body for one in await asyncio.gather(*reads)}
            assert upstream.calls == 1
            assert bodies == {b"1"}
        assert all(not one.leadership._waits and not one.leadership._leads for one in members)


@pytest.mark.unmeasured
async def test_pitfall_21_four_real_processes_make_one_call(redis_url: str) -> None:
    children = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.leadership_child"),
            *(redis_url, f"p{number}", "4", "250"),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        for number in range(4)
    ]
    try:
        async with asyncio.timeout(30):
            said = [(await child.communicate())[0] for child in children]
    finally:
        for child in children:
            if child.returncode is None:
                child.kill()
                await child.wait()
    assert [each.splitlines()[-1] for each in said] == [b"1 250"] * 4
    async with connect(redis_url) as redis:
        assert await redis.get(CALLS) == b"1"


async def test_waiters_are_woken_by_the_release_not_by_a_timer(redis_url: str) -> None:
    async with crowd(redis_url, 4) as members:
        leader, *others = members
        lead = await leader.lead()
        tasks = [await waiting(one) for one in others]
        with lead:
            lead.ending = Stored()
        released = now()
        assert await asyncio.gather(*tasks) == [Told(Stored(), lead.owner)] * 3
        assert now() - released < 0.5  # of a lease of 30 s
        # Whoever looked before that and claims only now looks again, once.
        late = await others[0].lock()
        told = await others[0].leadership.claim(late, within_s=1)
        assert told == Told(Stored(), lead.owner)
        assert isinstance(told, Told)
        with await others[0].leadership.claim(late, within_s=1, after=told) as turn:  # type: ignore[union-attr]
            assert isinstance(turn, Lead)


async def test_what_is_stored_ends_its_flight_in_the_same_command(redis_url: str) -> None:
    async with crowd(redis_url, 2) as (first, second):
        lead, ticket = await first.lead(), await first.process.cache.begin(SPACE)
        task = await waiting(second)
        fills = [Fill(WANT, entry(b"1", *TAGS), TAGS)]
        with lead:
            kept = await first.process.cache.keep(ticket, fills, 60, lead.farewell)
            assert kept is Kept.EVERYWHERE
            assert await task == Told(Stored(), lead.owner)
            lead.ending, lead.released = Stored(), True
        assert not first.leadership._releases, "nothing is left to be told"
        assert not first.leadership._leads
        assert await second.read(Upstream(error=AssertionError("a call"))) == fills[0].value


async def test_what_nobody_has_and_nobody_leads_is_led_without_a_look(redis_url: str) -> None:
    async with crowd(redis_url, 2) as (first, second):
        looked = await first.lock()
        lead = await first.seize()
        assert lead is not None
        assert lead.lock == looked, "its stamp is as of a look"
        assert await second.seize() is None
        task = await waiting(second)
        with lead:
            ticket = Ticket(first.process.memory.ticket(), lead.lock.stamp)
            assert await first.process.fill(ticket, WANT, entry(b"1", *TAGS), *TAGS)
            lead.ending = Stored()
        assert await task == Told(Stored(), lead.owner)


async def test_what_may_be_stored_has_to_be_looked_for(redis_url: str) -> None:
    async with crowd(redis_url, 2) as (first, second):
        await first.process.put(WANT, entry(b"1", *TAGS), *TAGS)
        assert await second.seize() is None
        # Good for nothing any more, but that is not for a lock to judge.
        await first.process.invalidator.invalidate(SPACE, frozenset({"r:related"}), "write")
        assert await second.seize() is None
        assert await lock_of(first) == {}


async def test_without_a_clock_or_a_bus_nothing_is_led_without_a_look(redis_url: str) -> None:
    async with crowd(redis_url, 1) as (one,):
        assert await one.seize() is None, "nobody has looked yet: the clock is to begin"
        await one.lock()
        lead = await one.seize()
        assert lead is not None
        with lead:
            pass
        assert one.leadership.seizes
        assert isinstance(one.process.bus, RedisBus)
        one.process.bus.trusted_until = 0.0
        assert not one.leadership.seizes


async def test_pitfall_14_what_was_overtaken_ends_its_flight_by_itself_and_says_nothing(
    redis_url: str,
) -> None:
    async with crowd(redis_url, 2) as (first, second):
        lead, ticket = await first.lead(), await first.process.cache.begin(SPACE)
        task = await waiting(second)
        await second.process.invalidator.invalidate(SPACE, frozenset({"r:related"}), "write")
        fills = [Fill(WANT, entry(b"1", *TAGS), TAGS)]
        with lead:
            kept = await first.process.cache.keep(ticket, fills, 60, lead.farewell)
            assert kept is Kept.NOWHERE
            await heard(second)
            assert not task.done()
        assert await task == Told(Nothing())


async def test_pitfall_14_after_an_invalidation_nobody_joins_the_flight_from_before(
    redis_url: str,
) -> None:
    async with crowd(redis_url, 3) as members:
        first, second, third = members
        old, new = Upstream(gate=asyncio.Event()), Upstream(gate=asyncio.Event(), calls=10)
        before = asyncio.create_task(first.read(old))
        await until(lambda: old.calls == 1)
        early = await waiting(third)
        await second.process.invalidator.invalidate(SPACE, frozenset({"c:7"}), "write")
        after = asyncio.create_task(second.read(new))
        await until(lambda: new.calls == 11)
        # Who waited for the older one is sent to the newer; the older one's end is nobody's.
        assert await early == Told(Nothing())
        joined = asyncio.create_task(third.read(new))
        await registered(third)
        held = await lock_of(third)
        assert old.gate is not None
        assert new.gate is not None
        old.gate.set()
        assert (await before).body == b"1"
        await until(lambda: not first.leadership._releases)
        await heard(third)
        assert await lock_of(third) == held
        assert third.told == []
        assert len(third.leadership._waits) == 1
        new.gate.set()
        assert {(await after).body, (await joined).body} == {b"11"}
        assert (await first.read(new)).body == b"11"
        assert (old.calls, new.calls) == (1, 11)


async def test_after_a_token_was_refused_nobody_joins_its_flight_from_before(
    redis_url: str,
) -> None:
    async with crowd(redis_url, 2) as (first, second):
        want = profiles("token")
        tag = want.address.container.label
        with await first.lead(want=want):
            await second.process.invalidator.invalidate(SPACE, frozenset({tag}), "token_refused")
            with await second.lead(want=want):
                pass


async def test_what_is_refused_elsewhere_in_the_space_takes_no_lock(redis_url: str) -> None:
    async with crowd(redis_url, 2) as (first, second):
        with await first.lead() as lead:
            await second.process.invalidator.invalidate(SPACE, frozenset({"k:x"}), "token_refused")
            task = await waiting(second)
            lead.ending = Stored()
        assert await task == Told(Stored(), lead.owner)


async def test_a_release_by_another_owner_does_nothing(redis_url: str) -> None:
    async with crowd(redis_url, 3, Tenure(lease_s=30.0, renew_s=0.1)) as (first, second, third):
        mine = await first.lead()
        await second.process.invalidator.invalidate(SPACE, frozenset({"c:7"}), "write")
        theirs = await second.lead()
        task = await waiting(third)
        held = await lock_of(third)
        await until(lambda: not first.leadership._leads)  # its renewal is told
        with mine:
            mine.ending = Stored()
        await until(lambda: not first.leadership._releases)
        # Nor would what is told late of an earlier flight.
        end_of = {"space": SPACE, "lock": WANT.key, "owner": mine.owner, **encode(Stored())}
        third.leadership._heard(end_of)
        await heard(third)
        assert await lock_of(third) == held
        assert len(third.leadership._waits) == 1
        assert not task.done()
        with theirs:
            pass
        assert await task == Told(Nothing())
        assert await lock_of(third) == {}


@pytest.mark.parametrize(
    "state",
    [{"owner": b"\xff\x00"}, {"owner": b"\xff\x00", "landed": b"1"}],
    ids=["leads", "landed"],
)
async def test_pitfall_08_a_lock_that_holds_what_belongs_elsewhere_stops_nobody(
    redis_url: str, state: dict[str, bytes]
) -> None:
    async with crowd(redis_url, 2) as (first, second):
        with await first.lead():
            name = lock_name(first)
            for field, value in state.items():
                await first.process.store.client.hset(name, field, value)
            with await second.lead():
                pass


async def test_a_failure_is_everybodys_who_waited(redis_url: str) -> None:
    async with crowd(redis_url, 4) as members:
        upstream = Upstream(delay_s=0.2, error=UpstreamDown("CANARY", retry_after_s=7))
        reads = [one.read(upstream) for _ in range(50) for one in members]
        failures = await asyncio.gather(*reads, return_exceptions=True)
        assert upstream.calls == 1
        assert {type(each) for each in failures} == {UpstreamDown}
        assert {each.retry_after_s for each in failures if isinstance(each, UpstreamDown)} == {7}
        told = [each.ending for one in members for each in one.told]
        assert told == [Failed("UpstreamDown", retry_after_s=7)] * 3
        # Whoever asks after that asks Nexudus.
        upstream.error = None
        assert (await members[0].read(upstream)).body == b"2"


async def test_an_answer_that_is_nobody_elses_lets_all_call_at_once(redis_url: str) -> None:
    async with crowd(redis_url, 3) as (first, *others):
        with await first.lead() as lead:
            tasks = [await waiting(one) for one in others]
            lead.ending = Unshared()
        for one, told in zip(others, await asyncio.gather(*tasks), strict=True):
            assert isinstance(told, Told)
            lock = await one.lock()
            turn = await one.leadership.claim(lock, within_s=1, after=told)
            assert isinstance(turn, Lead)
            assert await lock_of(one) == {}


async def test_what_failed_behind_everybodys_back_is_nobodys_failure(redis_url: str) -> None:
    async with crowd(redis_url, 2) as (first, second):
        lead = await first.lead(urgent=False)
        task = await waiting(second, urgent=False)
        with pytest.raises(UpstreamDown), lead:
            raise UpstreamDown("refused")
        assert await task == Told(Nothing())


async def test_a_wait_behind_everybodys_back_ends_soon_since_it_may_become_urgent(
    redis_url: str,
) -> None:
    async with crowd(redis_url, 2, Tenure(lease_s=30.0, renew_s=0.05)) as (first, second):
        with await first.lead():
            assert await second.claim(urgent=False) == Told(Nothing())


@pytest.mark.parametrize("tenure", [LONG, SHORT])
async def test_a_refresh_that_somebody_waits_for_elsewhere_becomes_urgent(
    redis_url: str, tenure: Tenure
) -> None:
    async with crowd(redis_url, 2, tenure) as (first, second):
        urgent = asyncio.Event()
        lead = await first.lead(urgent=False)
        lead.when_urgent(urgent.set)
        if tenure is SHORT:  # the message is lost; the next renewal tells
            assert isinstance(first.process.bus, RedisBus)
            first.process.bus.on_flight = lambda _members: None
        task = await waiting(second)
        async with asyncio.timeout(5):
            await urgent.wait()
        with pytest.raises(UpstreamDown), lead:
            raise UpstreamDown("refused")
        assert await task == Told(Failed("UpstreamDown"))


@pytest.mark.unmeasured
def test_the_scripts_keep_their_promises_in_any_order(redis_server: RedisServer) -> None:
    LockMachine.port = redis_server.port
    run_state_machine_as_test(
        LockMachine, settings=settings(max_examples=45, stateful_step_count=30)
    )
