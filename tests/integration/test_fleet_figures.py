"""The figures of a fleet through a real store: they agree with the counters, whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis

from bff.cache.guarded import FAILURES_TO_OPEN
from bff.clock import SystemClock
from bff.errors import StoreUnavailable
from bff.observe.journal import Event, EventKind, ProblemSeen
from bff.ops.figures import Level
from bff.ops.fleet.reporter import ITEMS_AT_ONCE
from bff.ops.fleet.shared import (
    FLEET,
    LOG_LEVEL,
    MOST_EVENTS,
    REFRESHES_PAUSED,
    Controls,
    Item,
    Known,
    Telling,
    takes_nothing,
)
from bff.ops.fleet.tally import KEPT
from tests.support.fleet_figures_stage import KEYS, Member, members
from tests.support.manual_time import ManualTime, settled
from tests.support.redis_server import RedisServer

BOOT: Final = "/session/bootstrap"
WHOLE: Final = 1_800_000_000.0
"""The begin of a minute."""


@pytest.fixture(params=["embedded", "redis"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "embedded":
        return "embedded://"
    found: str = request.getfixturevalue("redis_url")
    return found


@pytest.fixture
def clock() -> Iterator[ManualTime]:
    yield ManualTime(WHOLE + 10)


def work(process: Member, requests: int, space: str = "acme", status: int = 200) -> None:
    for at in range(requests):
        process.metrics.request(BOOT, space, status, 0.001 * at, 100)
    process.metrics.count("bff_bootstraps_cached", space, by=requests)
    process.metrics.count("bff_upstream_calls_saved", space, "profiles", by=requests)


def exposed(process: Member, name: str, **labels: str) -> int:
    """What `/metrics` of one process says."""
    families = text_string_to_metric_families(process.metrics.render().decode())
    return sum(
        int(sample.value)
        for family in families
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


async def test_figures_are_what_the_processes_metrics_say_together(
    url: str, clock: ManualTime
) -> None:
    async with members(url, ["p1", "p2"], clock) as (one, two):
        for turn in range(6):
            work(one, 3 + turn)
            work(two, 2, "zeta", 503)
            two.metrics.observe("bff_store_seconds", 0.003, "load")
            await one.tell()
            await two.tell(turn % 3)  # some minutes are told late
            clock.now += 50
        for each in (one, two):
            await each.tell()
        found = await one.snapshots.of("")
        assert found.fleet
        assert found.requests == sum(exposed(each, "bff_requests_total") for each in (one, two))
        assert found.failed == exposed(two, "bff_requests_total", status="503") == 12
        assert found.calls_saved == sum(
            exposed(each, "bff_upstream_calls_saved_total") for each in (one, two)
        )
        assert found.bytes_sent == 100 * found.requests
        assert sum(row.requests for row in found.minutes) == found.requests
        assert found.redis.latency.p50_ms == 3.75
        of_zeta = await two.snapshots.of("zeta")
        assert (of_zeta.requests, of_zeta.spaces) == (12, ("acme", "zeta"))
        assert (await one.snapshots.of("acme")).requests == found.requests - 12
        clock.now += 3_600
        await one.tell()
        assert (await one.snapshots.of("")).requests == 0, "an hour is over"


async def test_a_process_that_ended_counts_on_and_its_successor_from_nothing(
    url: str, clock: ManualTime
) -> None:
    async with members(url, ["p1", "p2", "p3"], clock) as (one, killed, successor):
        work(one, 1)
        work(killed, 10)
        await one.tell()
        await killed.tell()
        work(killed, 100)  # in its last seconds, which it had no time to tell of
        work(successor, 1_000)
        await successor.tell()
        await one.reporter.aclose()
        found = await successor.snapshots.of("")
        assert found.requests == 1_011
        stopping = {process.process: process.stopping for process in found.processes}
        assert stopping == {"p1": True, "p2": False, "p3": False}


async def test_what_was_told_and_not_heard_is_told_again_and_counts_once(
    url: str, clock: ManualTime
) -> None:
    async with members(url, ["p1"], clock) as (one,):
        run = one.fleet._run
        answers = 0

        async def deaf(*given: object) -> list[object]:
            nonlocal answers
            await run(*given)  # type: ignore[arg-type]
            answers += 1
            raise StoreUnavailable("nobody heard the answer")

        one.fleet._run = deaf  # type: ignore[method-assign,assignment]
        work(one, 5)
        one.journal.note(Event(clock.now, "acme", EventKind.BREAKER, "open"))
        one.journal.problem(ProblemSeen(clock.now, "acme", BOOT, 503, "upstream-down", "r1"))
        await one.tell(2)
        assert answers == 2
        one.fleet._run = run  # type: ignore[method-assign]
        clock.now += 60
        work(one, 5)
        await one.tell(2)
        found = await one.snapshots.of("")
        assert found.requests == 10
        assert [event.text for event in found.events] == ["open"]
        clock.now += 2
        again = await one.snapshots.of("")  # by a reader that knows them
        assert (again.events, again.problems) == (found.events, found.problems)
        assert [problem.request_id for problem in again.problems] == ["r1"]


async def test_a_telling_that_comes_too_late_undoes_nothing(url: str, clock: ManualTime) -> None:
    async with members(url, ["p1"], clock) as (one,):
        work(one, 5)
        await one.tell(3)
        late = Telling(2, b"", [(int(clock.now // 60), b"")], items=[Item(1, True, b"{}")])
        await one.fleet.tell(late)
        found = await one.snapshots.of("")
        assert (found.requests, len(found.processes), found.events) == (5, 1, ())


async def test_events_and_problems_are_bounded_and_told_once(url: str, clock: ManualTime) -> None:
    async with members(url, ["p1", "p2"], clock) as (one, two):
        for at in range(6):
            for process in (one, two):
                for number in range(100):
                    text = f"{process.name}-{at}-{number}"
                    process.journal.note(Event(clock.now, "", EventKind.PROCESS, text))
                await process.tell(1 + 100 // ITEMS_AT_ONCE)
            await one.snapshots.of("")
            clock.now += 2
        shown = await one.snapshots.of("")
        later = await two.snapshots.of("")  # of a reader that was not there before
        assert later.events == shown.events
        assert {"p1-5-99", "p2-5-99"} <= {event.text for event in shown.events}
        said = await one.fleet.hear(Known({}))
        assert len(said.events) == len({text for _, text in said.events}) == MOST_EVENTS


async def test_operators_reach_every_process(url: str, clock: ManualTime) -> None:
    async with members(url, ["p1", "p2"], clock) as (one, two):
        heard: list[Controls] = []
        two.fleet.on_controls.append(heard.append)
        await two.tell()
        await one.fleet.set_control(REFRESHES_PAUSED, True, "anna")
        assert one.fleet.controls.refreshes_paused, "at once where it was said"
        await one.fleet.set_control(LOG_LEVEL, "debug", "bert")
        await two.tell(2)
        wanted = Controls(True, "debug", "anna", one.fleet.controls.paused_at)
        assert wanted.paused_at > 0
        assert heard == [wanted]
        assert two.fleet.controls == wanted
        assert "refreshes are paused by operators (anna)" in (
            (await two.snapshots.of("")).verdict.causes
        )
        await one.fleet.set_control(REFRESHES_PAUSED, False, "anna")
        await two.tell()
        assert not heard[-1].refreshes_paused
        with pytest.raises(ValueError, match="no control"):
            await one.fleet.set_control("anything", "x", "anna")


async def test_one_that_fails_to_do_what_operators_want_keeps_nobody_else_from_it(
    url: str, clock: ManualTime
) -> None:
    async with members(url, ["p1"], clock) as (one,):
        heard: list[Controls] = []

        def fails(_: Controls) -> None:
            raise RuntimeError

        one.fleet.on_controls += [fails, heard.append]
        await one.fleet.set_control(REFRESHES_PAUSED, True, "anna")
        assert len(heard) == 1


async def test_a_question_is_answered_by_whoever_knows(url: str) -> None:
    clock = SystemClock()
    async with members(url, ["p1", "p2"], clock) as (one, two):
        two.fleet.answer = lambda request_id: {"key": "k"} if request_id == "r 1" else None
        asked = asyncio.create_task(one.fleet.ask("r 1"))
        async with asyncio.timeout(4):
            while not asked.done():
                await two.tell()
                await asyncio.sleep(0.05)
        assert asked.result() == {"key": "k"}
        assert [key async for key in two.store.inner.client.scan_iter("*answer*")] == []  # type: ignore[attr-defined]


async def test_nobody_knows_the_answer(url: str, clock: ManualTime) -> None:
    async with members(url, ["p1"], clock) as (one,):
        asked = asyncio.create_task(one.fleet.ask("r" * 10_000))
        for _ in range(100):
            if asked.done():
                break
            await one.tell()
            await asyncio.sleep(0.005)
            await clock.advance(0.25)
        assert await asked is None


async def test_a_silent_process_is_missed_and_then_forgotten(redis_url: str) -> None:
    """By the store's clock, for theirs may differ."""
    clock = ManualTime(WHOLE)
    async with members(redis_url, ["p1", "p2"], clock) as (one, two):
        await one.tell()
        await two.tell()
        client: Redis = one.store.inner.client  # type: ignore[attr-defined]
        base = KEYS.base(FLEET)
        await client.zincrby(base + "live", -8_000, "p2")
        found = await one.snapshots.of("")
        assert any(cause.startswith("1 process has not") for cause in found.verdict.causes)
        assert sorted(process.seen_s >= 8 for process in found.processes) == [False, True]
        await client.zincrby(base + "live", -60_000, "p2")
        await one.tell()
        clock.now += 1
        assert [each.process for each in (await one.snapshots.of("")).processes] == ["p1"]
        assert await client.hkeys(base + "heard") == [b"p1", b"p1#"]


async def test_many_viewers_cost_one_reading_a_second(url: str, clock: ManualTime) -> None:
    async with members(url, ["p1"], clock) as (one,):
        await one.tell()
        readings = 0
        hear = one.fleet.hear

        async def counted(known: object) -> object:
            nonlocal readings
            readings += 1
            return await hear(known)  # type: ignore[arg-type]

        one.fleet.hear = counted  # type: ignore[method-assign,assignment]
        shown = await asyncio.gather(*(one.snapshots.of(space) for space in ("", "acme") * 8))
        assert readings == 1
        assert shown[0] is shown[2]
        clock.now += 0.9
        await one.snapshots.of("")
        assert readings == 1
        clock.now += 0.2
        await one.snapshots.of("")
        assert readings == 2


async def test_one_reading_in_vain_does_not_change_the_picture(clock: ManualTime) -> None:
    async with members("embedded://", ["p1"], clock) as (one,):
        work(one, 5)
        await one.tell()
        shown = [(await one.snapshots.of("")).fleet]

        async def fails(_: object) -> object:
            raise StoreUnavailable

        hear, one.fleet.hear = one.fleet.hear, fails  # type: ignore[method-assign,assignment]
        for _ in range(3):
            clock.now += 1.5
            await one.tell()
            shown.append((await one.snapshots.of("")).fleet)
        assert shown == [True, True, False, False]
        one.fleet.hear = hear  # type: ignore[method-assign]
        clock.now += 1.5
        assert (await one.snapshots.of("")).fleet


async def test_pitfall_23_without_the_store_a_process_shows_its_own_figures(
    own_redis: RedisServer,
) -> None:
    clock = ManualTime(WHOLE + 10)
    async with members(own_redis.url, ["p1", "p2"], clock, 0.2) as (one, two):
        work(one, 5)
        work(two, 50)
        one.journal.note(Event(clock.now, "", EventKind.PROCESS, "one began"))
        await one.tell()
        await two.tell()
        assert (await one.snapshots.of("")).requests == 55
        own_redis.kill()
        clock.now += 61
        work(one, 1)
        await one.tell()
        alone = await one.snapshots.of("")
        assert (alone.fleet, alone.requests, len(alone.processes)) == (False, 6, 1)
        assert alone.verdict.level is Level.IMPAIRED
        assert alone.verdict.causes[0].startswith("Redis is away")
        assert [event.text for event in alone.events] == ["one began"]
        work(one, 1)
        await one.tell()
        clock.now += 1
        assert (await one.snapshots.of("acme")).requests == 7
        own_redis.start()  # and knows nothing
        for each in (one, two):
            await each.tell(3)
        clock.now += 1
        again = await two.snapshots.of("")
        assert (again.fleet, again.requests) == (True, 57), "it is told all of it again"
        assert sum(row.requests for row in again.minutes) == 57


async def test_what_the_store_has_lost_of_those_that_are_gone_is_lost(
    own_redis: RedisServer,
) -> None:
    clock = ManualTime(WHOLE)
    async with members(own_redis.url, ["p1", "p2"], clock) as (one, gone):
        work(gone, 50)
        await gone.tell()
        for _ in range(2):
            clock.now += 60
            await one.tell()
            work(one, 5)
            await one.tell()
        assert (await one.snapshots.of("")).requests == 60
        own_redis.flush()
        shown = []
        for _ in range(3):
            clock.now += 2
            found = await one.snapshots.of("")
            shown.append((found.fleet, found.requests))
            await one.tell()
        assert shown == [(False, 10), (False, 10), (True, 10)], "never less than its own"


async def test_an_hour_is_read_in_parts(
    url: str, clock: ManualTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with members(url, ["p1"], clock) as (one,):
        for _ in range(30):
            work(one, 1)
            await one.tell()
            clock.now += 60
        await one.tell(2)
        monkeypatch.setattr("bff.ops.fleet.shared.READ_BYTES", 1)
        part = await one.fleet.hear(Known({int(clock.now // 60) - ago: "" for ago in range(9)}))
        assert (len(part.minutes), part.more) == (1, True)
        assert (await one.snapshots.of("")).requests == 30


async def test_what_operators_want_outlives_an_empty_store(own_redis: RedisServer) -> None:
    clock = ManualTime(WHOLE)
    async with members(own_redis.url, ["p1", "p2"], clock) as (one, two):
        await one.tell()
        await one.fleet.set_control(REFRESHES_PAUSED, True, "anna")
        own_redis.flush()
        await one.tell()
        await two.tell()
        assert two.fleet.controls.refreshes_paused
        own_redis.flush()
        await two.fleet.set_control(REFRESHES_PAUSED, False, "bert")
        await one.tell()
        assert not one.fleet.controls.refreshes_paused, "a later wish is not undone"


async def test_what_the_store_alone_has_lost_of_wishes_comes_back(redis_url: str) -> None:
    """As after a failover to a replica that lags, or an eviction: processes are known as before."""
    clock = ManualTime(WHOLE)
    async with members(redis_url, ["p1", "p2"], clock) as (one, two):
        await one.tell()
        await two.tell()
        await one.fleet.set_control(REFRESHES_PAUSED, True, "anna")
        client: Redis = one.store.inner.client  # type: ignore[attr-defined]
        assert await client.delete(KEYS.base(FLEET) + "controls") == 1
        await two.tell()
        await one.tell()
        await two.tell()
        assert one.fleet.controls.refreshes_paused
        assert two.fleet.controls == one.fleet.controls


async def test_the_later_wish_counts_whoever_tells_an_empty_store_first(
    url: str, clock: ManualTime
) -> None:
    async with members(url, ["p1", "p2"], clock) as (one, two):
        await one.fleet.set_control(REFRESHES_PAUSED, True, "anna")
        await two.tell()
        clock.now -= 60  # which of them is later is not a matter of the processes' clocks
        await one.fleet.set_control(REFRESHES_PAUSED, False, "bert")
        await one.store.inner.client.flushall()  # type: ignore[attr-defined]
        await two.tell()  # has not heard of it
        await one.tell()
        await two.tell()
        assert not one.fleet.controls.refreshes_paused
        assert not two.fleet.controls.refreshes_paused


async def test_a_wish_is_later_than_the_one_before_whatever_the_stores_clock_says(
    url: str, clock: ManualTime
) -> None:
    async with members(url, ["p1", "p2"], clock) as (one, two):
        ahead = b'{"value":true,"who":"anna","at":4000000000.5}'
        client: Redis = one.store.inner.client  # type: ignore[attr-defined]
        await client.hset(KEYS.base(FLEET) + "controls", REFRESHES_PAUSED, ahead)
        await two.tell()
        await one.fleet.set_control(REFRESHES_PAUSED, False, "bert")
        await two.tell()
        assert not two.fleet.controls.refreshes_paused


async def test_a_store_that_takes_nothing_is_not_given_up_for_it(own_redis: RedisServer) -> None:
    """Figures that cannot be written must not take the store from members, who can still read."""
    clock = ManualTime(WHOLE)
    async with members(own_redis.url, ["p1"], clock) as (one,):
        work(one, 5)
        await one.tell()
        own_redis.config("maxmemory", "1")
        for _ in range(2 * FAILURES_TO_OPEN):
            await one.tell()
        assert one.store.available
        clock.now += 7
        await one.tell()
        found = await one.snapshots.of("")
        assert (found.fleet, found.requests) == (False, 5)
        assert found.verdict.causes == (
            "Redis takes no figures (full, or read-only): these are of one process",
        )
        with pytest.raises(StoreUnavailable) as refused:
            await one.fleet.set_control(REFRESHES_PAUSED, True, "anna")
        assert takes_nothing(refused.value)
        own_redis.config("maxmemory", "0")
        await one.tell()
        clock.now += 1
        back = await one.snapshots.of("")
        assert (back.fleet, back.verdict.causes) == (True, ())


async def test_clocks_that_differ_by_less_than_a_minute_lose_nothing(redis_url: str) -> None:
    behind, ahead = ManualTime(WHOLE + 50), ManualTime(WHOLE + 70)
    async with (
        members(redis_url, ["p1"], behind) as (one,),
        members(redis_url, ["p2"], ahead) as (other,),
    ):
        work(one, 1)
        work(other, 10)
        await one.tell()
        await other.tell()
        shown = await one.snapshots.of("")
        assert shown.requests == (await other.snapshots.of("")).requests == 11
        assert sum(row.requests for row in shown.minutes) == 11


async def test_the_task_tells_every_other_second_and_sooner_if_something_happens() -> None:
    clock = ManualTime(WHOLE + 10)
    async with members("embedded://", ["p1"], clock) as (one,):
        tellings: list[float] = []
        tell = one.fleet.tell

        async def noted(telling: Telling) -> object:
            tellings.append(clock.now - WHOLE)
            return await tell(telling)

        one.fleet.tell = noted  # type: ignore[method-assign,assignment]
        await one.reporter.start()
        for _ in range(8):
            await pass_time(clock, 0.5)
        assert tellings == [10.0, 12.0, 14.0]
        one.journal.note(Event(clock.now, "acme", EventKind.BREAKER, "open"))
        for _ in range(4):
            await pass_time(clock, 0.5)
        assert tellings[3:] == [15.0], "within a second"
        work(one, 7)
        await one.reporter.aclose()
        assert tellings[4:] == [16.0]
        found = await one.snapshots.of("")
        assert found.requests == 7
        assert [process.stopping for process in found.processes] == [True]
        lane = [(event.kind, event.text) for event in found.events if event.kind == "process"]
        assert lane == [
            ("process", "process 1 on host ends (bff 0.1)"),
            ("process", "process 1 on host began (bff 0.1)"),
        ]


async def pass_time(clock: ManualTime, seconds: float) -> None:
    await clock.advance(seconds)
    for _ in range(10):
        await settled()


async def test_the_task_tells_at_the_end_of_a_minute_and_after_a_failure() -> None:
    clock = ManualTime(WHOLE + 59.25)
    async with members("embedded://", ["p1"], clock) as (one,):
        await one.reporter.start()
        work(one, 3)

        def fails() -> dict[tuple[str, tuple[str, ...]], float]:
            raise RuntimeError

        counted = one.metrics.counted
        one.metrics.counted = fails  # type: ignore[method-assign]
        await pass_time(clock, 0.5)
        await pass_time(clock, 0.25)
        one.metrics.counted = counted  # type: ignore[method-assign]
        await pass_time(clock, 0.5)
        work(one, 4)
        await pass_time(clock, 2.0)
        rows = {row.at: row.requests for row in (await one.snapshots.of("")).minutes}
        assert (rows[WHOLE], rows[WHOLE + 60]) == (3, 4)
        await one.reporter.aclose()


async def test_an_hour_is_all_that_the_store_keeps(redis_url: str) -> None:
    clock = ManualTime(WHOLE)
    async with members(redis_url, ["p1"], clock) as (one,):
        work(one, 1)
        await one.tell()
        client: Redis = one.store.inner.client  # type: ignore[attr-defined]
        left = {key: await client.ttl(key) async for key in client.scan_iter("*")}
        assert left
        assert all(KEPT * 60 - 5 <= ttl_s <= KEPT * 60 for ttl_s in left.values())
        assert all(key.startswith(KEYS.base(FLEET).encode()) for key in left)
