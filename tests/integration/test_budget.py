"""Several processes, one budget: over a real Redis that is there, hangs, dies and comes back empty.

Windows are short, so that a second of load fills them; the log is exact.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from redis.asyncio import Redis

from bff.cache.connect import connect
from bff.cache.remote import RemoteStore
from bff.cache.tasks import end
from bff.errors import Overloaded
from bff.limits import Limit
from bff.nexudus.budget.config import BudgetConfig
from bff.nexudus.budget.contract import Grant, Priority
from bff.nexudus.budget.ledger import Account, Asking, Fate, Heard, Ledger, Report, Told, TooLate
from bff.nexudus.budget.windows import HOLD_S, Shares, Tally, Window
from bff.settings_values import EMBEDDED_URL
from tests.support.budget_fleet import KEYSPACE, SPACE, Member, fleet
from tests.support.cache_process import until
from tests.support.redis_server import RedisServer

QUICK = BudgetConfig(calls=(Limit(1, 0.02), Limit(20, 1.0)), writes=(Limit(6, 1.0),), margin_s=0.02)
REDIS_TIMEOUT_S = 0.05
SPACED = BudgetConfig(calls=(Limit(1, 0.04),), writes=(), margin_s=0.02)


async def test_four_processes_together_use_the_limits_up_and_never_pass_them(
    redis_url: str,
) -> None:
    limit = Limit(20, 4.0)
    config = BudgetConfig(calls=(Limit(1, 0.02), limit), writes=(), margin_s=0.02)
    async with fleet(redis_url, config) as members:
        log, short = members[0].log, set[int]()

        def used_up() -> bool:
            short.update(i for i, m in enumerate(members) if m.budget.is_short(SPACE))
            return log.most(limit) >= 16 and short == {0, 1, 2, 3}

        async with hammered(members, *Priority):
            await until(used_up, 30)
            await asyncio.sleep(0.4)
        assert log.overruns(config) == {}


@asynccontextmanager
async def hammered(members: Sequence[Member], *priorities: Priority) -> AsyncIterator[None]:
    """Each calls without end, once for each priority."""
    over = time.monotonic() + 60
    hammering = [asyncio.create_task(m.hammer(over, each)) for m in members for each in priorities]
    try:
        yield
    finally:
        await end(hammering)
    assert all(task.cancelled() for task in hammering)


async def test_however_long_a_connection_takes_calls_leave_as_far_apart_as_asked(
    redis_url: str,
) -> None:
    draw = random.Random(3)
    async with fleet(redis_url, SPACED) as members:
        for member in members:
            member.connecting_s = lambda: draw.choice((0.0, 0.001, 0.01, 0.05, 0.24, 0.3))
        async with asyncio.timeout(15):  # of some 0.2 s a call
            while len(times := members[0].log.times()) < 8:
                end = time.monotonic() + 0.5
                await asyncio.gather(*(m.hammer(end) for m in members for _ in range(2)))
        assert min(later - sooner for sooner, later in pairwise(times)) >= 0.04 + 0.02 - 0.002


async def test_writes_have_limits_of_their_own_and_do_not_hold_reads_up(redis_url: str) -> None:
    config = replace(QUICK, writes=(Limit(6, 60.0),))
    async with fleet(redis_url, config, 2) as members:
        log = members[0].log
        writes = [
            asyncio.create_task(member.call(Priority.FORWARDED, write=True, within_s=90.0))
            for member in members
            for _ in range(4)
        ]
        await until(lambda: len(log.grants) >= 5)
        for member in members:
            await member.call(Priority.BACKGROUND)
        assert [write.done() for write in writes].count(False) == 3
        await end(writes)
        assert len(log.times(writes_only=True)) == 5  # passed on: nine tenths of it
        assert log.overruns(config) == {}


@pytest.mark.parametrize("url", ["redis", EMBEDDED_URL])
async def test_the_more_urgent_go_first(url: str, redis_url: str) -> None:
    processes = 1 if url == EMBEDDED_URL else 4
    async with fleet(redis_url if url == "redis" else url, SPACED, processes) as members:
        granted: list[Priority] = []

        async def call(index: int, priority: Priority) -> None:
            await members[index % processes].call(priority)
            granted.append(priority)

        await members[0].call()
        waiting = [call(i, p) for p in reversed(Priority) for i in range(4)]
        await asyncio.gather(*waiting)
        # Across processes one already being answered may slip in before the first announcement.
        slips = sum(
            each > later for i, each in enumerate(granted) for later in granted[i + 1 : i + 2]
        )
        assert sorted(granted[:5])[:4] == [Priority.INTERACTIVE] * 4
        assert sorted(granted[-5:])[1:] == [Priority.BACKGROUND] * 4
        assert slips <= (0 if processes == 1 else 2)


async def test_a_flood_of_strangers_leaves_half_to_members_and_something_to_calls_passed_on(
    redis_url: str,
) -> None:
    # Whoever had to wait until calls leave the window would not have its own in time.
    config = BudgetConfig(calls=(Limit(20, 20.0),), writes=())
    async with fleet(redis_url, config, 2) as members:
        log = members[0].log
        async with hammered(members, *[Priority.STRANGER] * 20):
            await until(lambda: len(log.grants) >= 8)
            await asyncio.sleep(0.3)
            assert (flooded := len(log.grants)) <= 10
            for index in range(7):
                await members[index % 2].call(Priority.FORWARDED, within_s=5.0)
            for _ in range(3):
                await members[1].call(within_s=5.0)
            assert flooded + 10 <= len(log.grants) <= 20
        assert log.overruns(config) == {}


@pytest.mark.parametrize("url", ["redis", EMBEDDED_URL])
async def test_a_burst_of_members_with_new_tokens_uses_a_limit_up_in_spite_of_the_strangers_part(
    url: str, redis_url: str
) -> None:
    config = BudgetConfig(calls=(Limit(20, 20.0),), writes=(), stranger_share=0.2)
    processes = 1 if url == EMBEDDED_URL else 2
    async with fleet(redis_url if url == "redis" else url, config, processes) as members:
        calls = [
            members[i % processes].call(Priority.STRANGER, within_s=16.0, known=True)
            for i in range(20)
        ]
        async with asyncio.timeout(16):
            await asyncio.gather(*calls)
        assert members[0].log.overruns(config) == {}


@pytest.mark.parametrize("url", ["redis", EMBEDDED_URL])
async def test_calls_passed_on_without_end_keep_no_member_out_whose_token_is_new(
    url: str, redis_url: str
) -> None:
    limit = Limit(10, 0.5)
    config = BudgetConfig(calls=(limit,), writes=())
    processes = 1 if url == EMBEDDED_URL else 2
    async with fleet(redis_url if url == "redis" else url, config, processes) as members:
        served = asyncio.Event()

        async def poll(member: Member) -> None:
            # One after the other, so that the next may go whenever one of them leaves the window.
            while not served.is_set():
                with suppress(Overloaded):
                    await member.call(Priority.FORWARDED, within_s=0.6)
                await asyncio.sleep(0.02 * processes)

        polling = [asyncio.create_task(poll(member)) for member in members]
        await asyncio.sleep(0.6)
        for index in range(3):
            await members[-1 - index % processes].call(Priority.STRANGER, within_s=5.0)
        served.set()
        await asyncio.gather(*polling)
        assert members[0].log.overruns(config) == {}


async def test_a_member_waits_for_a_call_or_two_however_many_refreshes_do(redis_url: str) -> None:
    async with fleet(redis_url, SPACED) as members:
        log = members[0].log

        async def refreshed(times: int) -> None:
            before = len(log.grants)
            await until(lambda: len(log.grants) >= before + times)

        async with hammered(members[:3], *[Priority.BACKGROUND] * 5):
            for _ in range(4):
                await refreshed(2)
                before = len(log.grants)
                await members[3].call()
                assert len(log.grants) - before <= 3, "two others and its own"
        assert log.overruns(SPACED) == {}


@pytest.mark.parametrize(
    ("config", "gap_s", "slower"),
    [
        (QUICK, 0.03, (1.0, 1.25)),
        (QUICK, 3.0, (0.8, 1.0)),
        (BudgetConfig(enabled=False), 0.03, (0.8, 1.0)),
    ],
    ids=["close", "apart", "off"],
)
async def test_a_pause_is_heard_by_all_and_makes_all_slower(
    redis_url: str, config: BudgetConfig, gap_s: float, slower: tuple[float, float]
) -> None:
    async with fleet(redis_url, config, spaces=(SPACE, "for long")) as members:
        for member in members:
            await member.call()
        began = time.monotonic()
        for space, pause_s in ((SPACE, 0.5), ("for long", 60.0)):
            await members[0].budget.throttled(space, pause_s, Grant(gap_s=gap_s))
        await asyncio.sleep(0.12)
        for member in members:
            async with asyncio.timeout(20):
                with pytest.raises(Overloaded, match="pause") as refused:
                    await member.call(space="for long", within_s=40.0)
            assert refused.value.retry_after_s in range(41, 61)
        after = await asyncio.gather(*(member.call() for member in members))
        assert min(after) - began >= 0.5
        for member in members:
            standing = member.budget.standing(SPACE)
            assert (standing.factor, standing.stretch) == pytest.approx(slower, abs=0.05)
            assert not member.budget.is_short(SPACE)


@pytest.mark.parametrize("fault", ["kill", "hang"])
async def test_pitfall_23_the_limits_hold_while_redis_is_away_and_when_it_returns(
    own_redis: RedisServer, fault: str
) -> None:
    async with fleet(own_redis.url, QUICK, timeout_s=REDIS_TIMEOUT_S) as members:
        log = members[0].log
        async with hammered(members, Priority.INTERACTIVE, Priority.INTERACTIVE):
            await until(lambda: len(log.grants) >= 4)
            await asyncio.to_thread(own_redis.kill if fault == "kill" else own_redis.pause)
            lost = time.monotonic()
            await asyncio.sleep(0.6)
            await until(lambda: sum(at > lost + 0.1 for at in log.times()) >= 2)
            await asyncio.to_thread(own_redis.start if fault == "kill" else own_redis.resume)
            await asyncio.sleep(2.5 if fault == "kill" else 1.0)  # in which it settles
            await until(lambda: all(member.budget.standing(SPACE).shared for member in members))
            await asyncio.sleep(0.6)
        assert log.overruns(QUICK) == {}


async def test_accounts_that_were_lost_are_put_together_again(own_redis: RedisServer) -> None:
    config = BudgetConfig(calls=(Limit(40, 60.0),), writes=())
    async with fleet(own_redis.url, config, 3, timeout_s=REDIS_TIMEOUT_S) as members:
        for index in range(30):
            await members[index % 3].call()
        far = Grant(gap_s=9.0)
        await asyncio.gather(*(m.budget.throttled(SPACE, 0.1, far) for m in members))
        own_redis.restart()
        refused = 0
        for index in range(24):
            try:
                await members[index % 3].call(within_s=0.5)
            except Overloaded:
                refused += 1
        async with asyncio.timeout(20):
            for member in members:
                await member.shares()
        assert refused
        granted = len(members[0].log.grants)
        assert granted <= 40 * 0.81
        for member in members:
            standing = member.budget.standing(SPACE)
            assert granted <= standing.windows[0].used <= granted + 3
            assert standing.factor < 0.82


async def test_a_storm_of_cancellations_loses_no_caller_and_spends_no_more(redis_url: str) -> None:
    draw = random.Random(7)
    async with fleet(redis_url, QUICK, 2) as members:
        log = members[0].log
        calls = [asyncio.create_task(members[i % 2].call(Priority(i % 4))) for i in range(200)]
        for call in draw.sample(calls, 190):
            call.cancel()
            if draw.random() < 0.2:
                await asyncio.sleep(draw.random() * 0.01)
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(each, float | asyncio.CancelledError) for each in results)
        assert sum(isinstance(each, float) for each in results) >= 10
        assert log.overruns(QUICK) == {}
        assert members[0].budget.standing(SPACE).windows[1].used <= len(log.grants) + 3


ACCOUNTED = Window(Limit(40, 60.0))


@dataclass(frozen=True, slots=True)
class Door:
    """The script itself, over one window, asked by whoever the test says."""

    client: Redis

    async def ask(
        self, process: str, *, call: bool = False, seed: int = 0, ever: int = 0, **told: Any
    ) -> Heard:
        space = told.pop("space", SPACE)
        windows = (told.pop("window", ACCOUNTED),)
        write = told.pop("write", False)
        store = RemoteStore(self.client, KEYSPACE, process=process, timeout_s=2.0)
        shares = told.pop("shares", Shares(1.0, 1.0, 1.0))
        priority = told.pop("priority", Priority.INTERACTIVE)
        ledger = Ledger(store.run, process, windows, shares)
        now = time.monotonic()
        account = Account(Tally(), Tally().plus(now - 20.0, seed), ever)
        known = {"away_s": 0.0, "epoch": "", "seeds_for": "", "paused_s": 0.0, "factor": 1.0}
        asking = Asking(priority, write, 1.0, (0, 0, 0)) if call else None
        return await ledger.ask(space, asking, Told(**{**known, **told}, accounts=(account,)), now)


@pytest.fixture(params=["redis", EMBEDDED_URL])
async def door(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[Door]:
    client = connect(redis_url if request.param == "redis" else EMBEDDED_URL)
    yield Door(client)
    await client.aclose()


async def test_of_what_processes_knew_of_a_lost_epoch_the_most_counts_and_counts_once(
    door: Door,
) -> None:
    first = await door.ask("p0", epoch="lost", call=True)
    assert first.granted is None
    assert first.settling_s == 2.5
    seeds: dict[str, Any] = {"epoch": "lost", "seeds_for": first.epoch}
    assert (await door.ask("p0", seed=20, ever=50, **seeds)).usage == ((20, 20),)
    assert (await door.ask("p1", seed=23, ever=53, **seeds)).usage == ((23, 23),)
    assert (await door.ask("p2", seed=18, ever=48, **seeds)).usage == ((23, 23),)
    stranger: dict[str, Any] = {"epoch": "another", "seeds_for": first.epoch}
    assert (await door.ask("p3", seed=2, ever=2, **stranger)).usage == ((25, 25),)
    assert (await door.ask("p1", seed=9, epoch="lost", seeds_for="gone")).usage == ((25, 25),)


async def in_time(attempt: Callable[[str], Awaitable[bool]]) -> None:
    """Attempts, each in a space of its own, until the machine lets one ask at its moments."""
    for number in range(20):
        if await attempt(f"attempt-{number}"):
            return
    pytest.fail("held up each time")


APART = Window(Limit(1, 0.1), False, 0.015)


async def test_a_grant_holds_the_next_up_until_it_was_sent_and_not_longer_than_it_lasts(
    door: Door,
) -> None:
    async def attempt(space: str) -> bool:
        ask = partial(door.ask, call=True, window=APART, space=space)
        first = await ask("p0")
        epoch, held_ms = first.epoch, round((first.now_s + HOLD_S) * 1000)
        denied = await ask("p1")
        await asyncio.sleep(0.13)
        still = await ask("p1")
        asked = time.monotonic()
        ago = Report(epoch, held_ms, False, asked - 0.05)
        stranger = Report("another", held_ms, False, asked - 0.2)
        others = await ask("p1", reports=(stranger,))
        told = await ask("p0", epoch=epoch, reports=(ago, ago))
        if still.now_s > first.now_s + 0.35 or time.monotonic() > asked + 0.03:
            return False
        assert not denied.granted
        assert denied.wait_s <= 0.116  # it may be sent by now, and will be reported
        assert not still.granted
        assert still.wait_s == 0.03
        assert not others.granted
        assert not told.granted
        assert 0.03 < told.wait_s <= 0.067
        assert told.usage == ((1, 1),)
        await asyncio.sleep(told.wait_s + 0.002)
        second = await ask("p1")
        assert second.granted
        assert second.gap_s == pytest.approx(second.now_s - first.now_s, abs=0.002)
        await asyncio.sleep(HOLD_S + 0.12)
        third = await ask("p1")
        assert third.granted
        return True

    await in_time(attempt)


async def test_a_report_moves_one_call_within_the_buckets_and_only_where_it_counts(
    door: Door,
) -> None:
    window = Window(Limit(9, 0.3), True)

    async def attempt(space: str) -> bool:
        ask = partial(door.ask, "p0", window=window, space=space)
        first = await ask(call=True, write=True)
        await ask(call=True, write=True)
        epoch, held_ms = first.epoch, round((first.now_s + HOLD_S) * 1000)
        read, write = (Report(epoch, held_ms, each, time.monotonic()) for each in (False, True))
        await asyncio.sleep(0.33)
        unmoved = await ask(epoch=epoch, reports=(read,))
        moved = await ask(epoch=epoch, reports=(write,))
        if moved.now_s > first.now_s + 0.59:
            return False
        assert unmoved.usage == ((2, 2),)
        assert moved.usage == ((1, 2),)
        return True

    await in_time(attempt)


async def test_others_yield_to_a_stranger_only_where_its_part_is_not_used_up(door: Door) -> None:
    window = Window(Limit(4, 0.5))
    shares = Shares(forward=1.0, refresh=0.5, stranger=0.75)

    async def attempt(space: str) -> bool:
        ask = partial(door.ask, call=True, window=window, shares=shares, space=space)
        strangers = [await ask("p0", priority=Priority.STRANGER) for _ in range(4)]
        passed = [await ask("p1", priority=Priority.FORWARDED) for _ in range(2)]
        leaves_s = passed[-1].now_s + passed[-1].wait_s
        await asyncio.sleep(passed[-1].wait_s - 0.1)
        again = await ask("p0", priority=Priority.STRANGER)
        await asyncio.sleep(0.12)
        yields = await ask("p1", priority=Priority.FORWARDED)
        last = await ask("p0", priority=Priority.STRANGER)
        if passed[-1].now_s > strangers[0].now_s + 0.4 or again.now_s >= leaves_s:
            return False
        if last.now_s > again.now_s + 0.3:
            return False
        denied, full = strangers.pop(), passed.pop()
        assert all(each.granted for each in strangers + passed)
        assert (denied.granted, denied.strangers_only) == (False, True)
        assert not (denied.share_only or denied.writes_only)
        assert denied.wait_s == 0.1  # one of the three may be accepted any moment
        assert (full.granted, full.share_only) == (False, False)
        assert not again.granted
        assert (yields.granted, yields.wait_s, yields.share_only) == (False, 0.1, False)
        assert last.granted
        return True

    await in_time(attempt)


async def test_an_accepted_token_takes_its_call_out_of_the_strangers_part_once(door: Door) -> None:
    window = Window(Limit(40, 60.0))
    shares = Shares(forward=0.9, refresh=0.5, stranger=0.05)
    ask = partial(door.ask, window=window, shares=shares)
    stranger = partial(ask, "p0", call=True, priority=Priority.STRANGER)
    first, second = await stranger(), await stranger()
    assert (first.granted, second.granted) == (True, True)
    full = await stranger()
    assert (full.granted, full.strangers_only, full.usage) == (False, True, ((2, 2),))
    epoch, now = first.epoch, time.monotonic()
    reports = [Report(epoch, round((each.now_s + HOLD_S) * 1000), False, now) for each in (first,)]
    assert not (await stranger(epoch=epoch, reports=tuple(reports))).granted  # it was sent only
    accepted = tuple(replace(report, fate=Fate.ACCEPTED) for report in reports)
    another = tuple(replace(report, epoch="another") for report in accepted)
    assert not (await stranger(epoch="another", reports=another)).granted
    there = await stranger(epoch=epoch, reports=accepted)
    assert (there.granted, there.usage) == (True, ((3, 3),))
    assert not (await stranger()).granted
    await asyncio.sleep(2.05)
    assert (await stranger()).wait_s > 50  # nothing is on its way any more


async def test_a_call_that_was_not_sent_gives_its_place_back(door: Door) -> None:
    ask = partial(door.ask, "p0", call=True, window=Window(Limit(2, 60.0)))
    first, second, third = [await ask() for _ in range(3)]
    assert (first.granted, second.granted, third.granted) == (True, True, False)
    held_ms, now = round((second.now_s + HOLD_S) * 1000), time.monotonic()
    back = Report(first.epoch, held_ms, False, now, Fate.RETURNED)
    another = replace(back, epoch="another")
    assert not (await ask(epoch="another", reports=(another,))).granted
    unknown = replace(back, held_ms=held_ms - 30_000)
    assert not (await ask(epoch=first.epoch, reports=(unknown,))).granted
    there = await ask(epoch=first.epoch, reports=(back,))
    assert (there.granted, there.usage) == (True, ((2, 3),))
    assert not (await ask()).granted


async def test_a_write_that_was_not_sent_gives_back_its_place_among_writes_too(door: Door) -> None:
    window = Window(Limit(1, 60.0), writes_only=True)
    write = partial(door.ask, "p0", call=True, write=True, window=window)
    first = await write()
    held_ms, now = round((first.now_s + HOLD_S) * 1000), time.monotonic()
    back = Report(first.epoch, held_ms, False, now, Fate.RETURNED)
    assert not (await write(epoch=first.epoch, reports=(back,))).granted  # no write, it says
    back = replace(back, write=True)
    assert (await write(epoch=first.epoch, reports=(back,))).granted


async def test_one_that_left_is_on_no_list(door: Door) -> None:
    await door.ask("p0")
    assert (await door.ask("p1")).processes == ("p0", "p1")
    store = RemoteStore(door.client, KEYSPACE, process="p0", timeout_s=2.0)
    leaving = Ledger(store.run, "p0", (ACCOUNTED,), Shares(1.0, 1.0, 1.0))
    told = Told(0.0, "", "", 0.0, 1.0, (Account(Tally(), Tally(), 0),))
    assert (await leaving.ask(SPACE, None, told, 0.0, leaving=True)).processes == ("p1",)
    assert (await door.ask("p1")).processes == ("p1",)


async def test_whoever_returns_first_lets_the_others_tell_what_they_granted(door: Door) -> None:
    assert (await door.ask("p0", call=True)).granted
    epoch = (await door.ask("p1")).epoch
    await asyncio.sleep(0.3)
    back = await door.ask("p0", call=True, epoch=epoch, away_s=0.25)
    assert (back.granted, back.settling_s) == (None, 1.0)
    assert back.processes == ("p0", "p1")


async def test_one_that_was_cut_off_alone_delays_nobody(door: Door) -> None:
    epoch = (await door.ask("p0")).epoch
    assert (await door.ask("p1", epoch=epoch)).settling_s == 0
    assert (await door.ask("p0", call=True, epoch=epoch, away_s=9.0)).granted


async def test_a_question_that_waited_too_long_in_the_server_changes_nothing(door: Door) -> None:
    heard = await door.ask("p0", call=True)
    with pytest.raises(TooLate) as late:
        await door.ask("p1", call=True, paused_s=9.0, ledger_s=heard.now_s - 1.0)
    assert late.value.now_s >= heard.now_s
    after = await door.ask("p0")
    assert (after.usage, after.processes) == (((1, 1),), ("p0",))
    assert after.paused_s < 0


async def test_spaces_do_not_share_their_budgets(redis_url: str) -> None:
    async with fleet(redis_url, SPACED, 2, spaces=("north", "south")) as members:
        await members[0].budget.throttled("north", 60.0, Grant())
        async with asyncio.timeout(30):
            for member in members:
                await member.call(space="south")
        with pytest.raises(Overloaded):
            await members[1].call(space="north", within_s=1.0)


async def test_accounts_are_bounded_and_end_by_themselves(redis_url: str) -> None:
    config = BudgetConfig(calls=(Limit(500, 0.2),), writes=(Limit(500, 0.4),))
    async with fleet(redis_url, config, 2) as members:
        end = time.monotonic() + 0.6
        while time.monotonic() < end:
            await members[0].call(write=True)
        client = connect(redis_url)
        base = KEYSPACE.base(SPACE)
        keys = {bytes(key) async for key in client.scan_iter()}
        assert keys <= {(base + f"budget{k}").encode() for k in ("", ":live")}
        for key in keys:
            assert 0 < await client.pttl(key) <= 90_000_000
        accounts = await client.hgetall(base + "budget")
        assert len(accounts) < 20
        assert max(len(value) for value in accounts.values()) < 64 * 18
        await client.aclose()
