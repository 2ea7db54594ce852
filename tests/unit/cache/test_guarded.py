"""Nobody waits for a store that is known to be away, and it is used again once it is back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from bff.cache.guarded import (
    CONCURRENT,
    FAILURES_TO_OPEN,
    PROBE_S,
    GuardedStore,
    StoreObserver,
)
from bff.cache.keys import Container, Scope
from bff.cache.lineage import Step
from bff.cache.patience import limited
from bff.cache.store import Invalidated, Loaded, Put, Refused, Release
from bff.errors import StoreUnavailable
from tests.support.manual_time import ManualTime, settled

CONTAINER = Container("acme", Scope.TOKEN, "d")


class Scripted:
    """A store that does what the test says; keeps the calls that reached it."""

    def __init__(self) -> None:
        self.up = True
        self.stamp = 1
        self.calls: list[str] = []
        self.known: list[int] = []
        self.running = 0
        self.most_running = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.closed = False

    async def _call(self, name: str) -> None:
        self.calls.append(name)
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        try:
            await self.gate.wait()
        finally:
            self.running -= 1
        if not self.up:
            raise StoreUnavailable("down")

    async def load(
        self, space: str, wants: Sequence[tuple[Container, str]], known: int = 0
    ) -> Loaded:
        stamp = self.stamp
        self.known.append(known)
        await self._call("load")
        return Loaded(stamp, (None,) * len(wants))

    async def save(
        self,
        container: Container,
        puts: Sequence[Put],
        *,
        stamp: int,
        ttl_s: float,
        release: Release | None = None,
    ) -> bool:
        await self._call(f"save {stamp} {ttl_s}")
        return True

    async def invalidate(self, space: str, tags: frozenset[str]) -> Invalidated:
        self.stamp += 1
        stamp = self.stamp
        await self._call("invalidate")
        return Invalidated(stamp, stamp - 1, "m", frozenset())

    async def remember(self, space: str, name: str, ttl_s: float) -> bool:
        await self._call("remember")
        return True

    async def flag(self, space: str, name: str) -> str | None:
        await self._call("flag")
        return "token"

    async def set_flag(self, space: str, name: str, value: str | None) -> None:
        await self._call(f"set_flag {value}")

    async def run(
        self, space: str, script: str, names: Sequence[str], args: Sequence[str | bytes | int]
    ) -> list[Any]:
        await self._call(f"run {script}")
        return [space, *names, *args]

    async def ping(self) -> None:
        await self._call("ping")

    async def aclose(self) -> None:
        self.closed = True


@pytest.fixture
def time() -> ManualTime:
    return ManualTime()


@pytest.fixture
def inner() -> Scripted:
    return Scripted()


@pytest.fixture
async def store(inner: Scripted, time: ManualTime) -> AsyncIterator[GuardedStore]:
    guarded = GuardedStore(inner, time)
    yield guarded
    await guarded.aclose()


async def fail(store: GuardedStore, times: int) -> None:
    for _ in range(times):
        with pytest.raises(StoreUnavailable):
            await store.load("acme", ())


async def test_while_the_store_answers_every_call_goes_through(
    store: GuardedStore, inner: Scripted
) -> None:
    assert (await store.load("acme", [(CONTAINER, "f")])).values == (None,)
    assert await store.save(CONTAINER, (), stamp=3, ttl_s=1.5)
    assert (await store.invalidate("acme", frozenset({"u:1"}))).stamp == 2
    assert await store.remember("acme", "n", 1)
    assert await store.flag("acme", "n") == "token"
    await store.set_flag("acme", "n", None)
    assert await store.run("acme", "script", ["n"], [1]) == ["acme", "n", 1]
    await store.ping()
    expected = ["load", "save 3 1.5", "invalidate", "remember", "flag", "set_flag None"]
    expected += ["run script", "ping"]
    assert inner.calls == expected


async def test_it_fails_at_once_after_a_few_failures_in_a_row(
    store: GuardedStore, inner: Scripted
) -> None:
    inner.up = False
    await fail(store, FAILURES_TO_OPEN)
    assert not store.available
    await fail(store, 100)
    assert len(inner.calls) == FAILURES_TO_OPEN


async def test_an_answer_in_between_forgives_the_failures_before_it(
    store: GuardedStore, inner: Scripted
) -> None:
    for _ in range(3):
        inner.up = False
        await fail(store, FAILURES_TO_OPEN - 1)
        inner.up = True
        await store.ping()
    assert store.available


async def test_it_is_probed_and_used_again_within_a_second(
    store: GuardedStore, inner: Scripted, time: ManualTime
) -> None:
    inner.up = False
    await fail(store, FAILURES_TO_OPEN)
    for _ in range(3):
        await time.advance(PROBE_S)
        assert not store.available
    inner.up = True
    await time.advance(PROBE_S)
    assert store.available
    assert inner.calls[FAILURES_TO_OPEN:] == ["ping"] * 4
    await store.load("acme", ())
    assert 4 * PROBE_S <= 1.0


async def test_failures_from_before_do_not_count_after_a_recovery(
    store: GuardedStore, inner: Scripted, time: ManualTime
) -> None:
    inner.up = False
    await fail(store, FAILURES_TO_OPEN)
    inner.up = True
    await time.advance(PROBE_S)
    inner.up = False
    await fail(store, FAILURES_TO_OPEN - 1)
    assert store.available


async def test_the_recovery_comes_before_anybodys_use(
    store: GuardedStore, inner: Scripted, time: ManualTime
) -> None:
    seen: list[tuple[bool, str]] = []

    async def recovery() -> None:
        seen.append((store.available, inner.calls[-1]))
        with pytest.raises(StoreUnavailable):
            await store.load("acme", ())
        await inner.invalidate("acme", frozenset())

    store.on_recovery = recovery
    store.keep_away()
    await time.advance(PROBE_S)
    assert seen == [(False, "ping")]
    assert store.available
    assert inner.calls == ["ping", "invalidate"]


@pytest.mark.parametrize("failure", [StoreUnavailable("down"), KeyError("a defect")])
async def test_a_failed_recovery_keeps_the_store_away_and_is_tried_again(
    store: GuardedStore, inner: Scripted, time: ManualTime, failure: Exception
) -> None:
    failures = [failure, failure]

    async def recovery() -> None:
        if failures:
            raise failures.pop()

    store.on_recovery = recovery
    store.keep_away()
    for _ in range(2):
        await time.advance(PROBE_S)
        assert not store.available
    await time.advance(PROBE_S)
    assert store.available


async def test_keeping_away_twice_is_one_probe(
    store: GuardedStore, inner: Scripted, time: ManualTime
) -> None:
    store.keep_away()
    store.keep_away()
    await time.advance(PROBE_S)
    assert inner.calls == ["ping"]
    assert store.available


async def test_keeping_away_during_a_recovery_changes_nothing(
    store: GuardedStore, time: ManualTime
) -> None:
    async def recovery() -> None:
        store.keep_away()

    store.on_recovery = recovery
    store.keep_away()
    await time.advance(PROBE_S)
    assert store.available


async def test_a_call_under_way_that_fails_while_the_store_is_away_is_only_a_failure(
    store: GuardedStore, inner: Scripted, time: ManualTime
) -> None:
    inner.gate.clear()
    inner.up = False
    slow = asyncio.create_task(store.load("acme", ()))
    await settled()
    store.keep_away()
    inner.gate.set()
    with pytest.raises(StoreUnavailable):
        await slow
    inner.up = True
    await time.advance(PROBE_S)
    assert store.available


async def test_pitfall_21_a_burst_waits_its_turn_instead_of_bringing_the_store_down(
    store: GuardedStore, inner: Scripted
) -> None:
    inner.gate.clear()
    burst = [asyncio.create_task(store.flag("acme", "f")) for _ in range(1_000)]
    await settled()
    assert inner.running == CONCURRENT
    inner.gate.set()
    await asyncio.gather(*burst)
    assert inner.most_running == CONCURRENT
    assert len(inner.calls) == 1_000


async def test_who_waits_for_a_turn_is_refused_as_soon_as_the_store_is_away(
    store: GuardedStore, inner: Scripted
) -> None:
    inner.gate.clear()
    inner.up = False
    burst = [asyncio.create_task(store.flag("acme", "f")) for _ in range(1_000)]
    await settled()
    inner.gate.set()
    results = await asyncio.gather(*burst, return_exceptions=True)
    assert all(isinstance(result, StoreUnavailable) for result in results)
    assert len(inner.calls) < 2 * CONCURRENT


async def test_a_caller_cancelled_in_the_line_gives_its_turn_to_the_next(
    store: GuardedStore, inner: Scripted
) -> None:
    inner.gate.clear()
    burst = [asyncio.create_task(store.flag("acme", "f")) for _ in range(2 * CONCURRENT)]
    await settled()
    for caller in burst[:-1]:
        caller.cancel()
    inner.gate.set()
    assert await burst[-1] == "token"
    await asyncio.gather(*burst, return_exceptions=True)
    assert inner.running == 0


async def test_closing_ends_the_probe_and_the_store_behind(
    inner: Scripted, time: ManualTime
) -> None:
    store = GuardedStore(inner, time)
    store.keep_away()
    await store.aclose()
    assert inner.closed
    await time.advance(10)
    assert inner.calls == []
    assert not store.available


async def test_a_closed_store_starts_no_probe(inner: Scripted, time: ManualTime) -> None:
    store = GuardedStore(inner, time)
    await store.aclose()
    store.keep_away()
    assert len(asyncio.all_tasks()) == 1


async def test_what_becomes_of_operations_is_heard_and_turns_are_said_once(
    store: GuardedStore, inner: Scripted, time: ManualTime
) -> None:
    heard: list[tuple[object, ...]] = []
    store.observer = StoreObserver(
        answered=lambda *of: heard.append(("answered", *of)),
        failed=lambda *of: heard.append(("failed", *of)),
        turned=lambda *of: heard.append(("turned", *of)),
    )
    with capture_logs() as lines:
        await store.flag("acme", "f")
        inner.up = False
        await fail(store, FAILURES_TO_OPEN + 2)
        inner.up = True
        await time.advance(PROBE_S)
    reason = next(line["reason"] for line in lines if line["event"] == "store_away")
    assert reason
    assert heard == [
        ("answered", "flag", 0.0),
        *[("failed", "load")] * (FAILURES_TO_OPEN - 1),
        ("failed", "load"),
        ("turned", False, reason),
        ("turned", True, ""),
    ]
    assert [line["event"] for line in lines] == ["store_away", "store_back"]


async def test_pitfall_23_stamps_that_go_back_are_a_store_that_forgot(
    store: GuardedStore, inner: Scripted
) -> None:
    forgotten: list[str] = []
    store.on_forgotten = forgotten.append
    await store.invalidate("acme", frozenset({"u:5"}))
    await store.load("acme", ())
    inner.stamp -= 1
    await store.load("beta", ())
    await fail(store, 1)
    assert forgotten == ["acme"]
    await store.load("acme", ())
    assert forgotten == ["acme"], "said once; whoever hears it sees to it"


async def test_pitfall_23_a_store_that_was_only_read_is_noticed_to_have_forgotten(
    store: GuardedStore, inner: Scripted
) -> None:
    forgotten: list[str] = []
    store.on_forgotten = forgotten.append
    await store.load("acme", ())
    inner.stamp -= 1
    await fail(store, 1)
    assert forgotten == ["acme"]


async def test_pitfall_23_so_is_one_that_forgot_what_was_dropped_within_a_request(
    store: GuardedStore, inner: Scripted
) -> None:
    forgotten: list[str] = []
    store.on_forgotten = forgotten.append
    with limited(30.0):
        await store.invalidate("acme", frozenset({"u:5"}))
    inner.stamp -= 1
    await fail(store, 1)
    assert forgotten == ["acme"]
    inner.stamp += 5
    await store.load("acme", ())
    inner.stamp -= 3
    with limited(30.0):
        await store.invalidate("acme", frozenset({"u:5"}))
    assert forgotten == ["acme", "acme"]


@pytest.mark.parametrize("late", ["load", "invalidate"])
async def test_pitfall_23_an_answer_that_comes_late_does_not_hide_what_is_known(
    store: GuardedStore, inner: Scripted, late: str
) -> None:
    forgotten: list[str] = []
    store.on_forgotten = forgotten.append
    slow, passing = asyncio.Event(), inner.gate
    inner.gate = slow
    call = store.load("acme", ()) if late == "load" else store.invalidate("acme", frozenset())
    under_way = asyncio.create_task(call)
    await settled()
    inner.gate = passing
    for _ in range(3):
        await store.invalidate("acme", frozenset({"u:5"}))
    slow.set()
    await under_way
    assert not forgotten
    inner.stamp -= 1
    await fail(store, 1)
    assert forgotten == ["acme"]


async def test_an_answer_that_an_invalidation_passes_is_no_sign_of_it(
    store: GuardedStore, inner: Scripted
) -> None:
    forgotten: list[str] = []
    store.on_forgotten = forgotten.append
    late, passing = asyncio.Event(), inner.gate
    inner.gate = late
    loading = asyncio.create_task(store.load("acme", ()))
    await settled()
    inner.gate = passing
    await store.invalidate("acme", frozenset({"u:5"}))
    late.set()
    assert (await loading).stamp == 1
    assert not forgotten


@pytest.fixture
def forgotten(store: GuardedStore) -> list[str]:
    """The spaces of which it is said that the store forgot something there."""
    said: list[str] = []
    store.on_forgotten = said.append
    return said


async def test_what_was_heard_of_others_is_known_and_asked_for(
    store: GuardedStore, inner: Scripted, forgotten: list[str]
) -> None:
    assert not store.passed("acme", Step(6, 7))
    assert not store.passed("acme", Step(8, 12))
    inner.stamp = 13
    await store.load("acme", ())
    await store.load("beta", ())
    assert inner.known == [12, 0]
    assert not store.passed("acme", Step(13, 20))
    assert not forgotten


@pytest.mark.parametrize("step", [Step(9, 11), Step(5, 99)])
async def test_pitfall_22_a_step_that_leaves_out_what_is_known_is_of_a_store_that_forgot(
    store: GuardedStore, forgotten: list[str], step: Step
) -> None:
    store.passed("acme", Step(1, 10))
    assert not store.passed("beta", step)
    assert store.passed("acme", step)
    assert forgotten == ["acme"]
    assert not store.passed("acme", step), "said once; whoever hears it sees to it"


async def test_pitfall_22_what_was_not_heard_in_between_is_not_taken_for_granted(
    store: GuardedStore, inner: Scripted, forgotten: list[str]
) -> None:
    store.passed("acme", Step(1, 10))
    # The step that covered it up was not heard; neither these nor its own hide what is known.
    assert not store.passed("acme", Step(31, 40))
    inner.stamp = 50
    await store.invalidate("acme", frozenset({"u:5"}))
    inner.stamp = 60
    await store.load("acme", ())
    assert inner.known == [10]
    await store.load("acme", ())
    assert inner.known == [10, 60]
    assert not forgotten


async def test_pitfall_22_an_answer_of_another_store_does_not_hide_what_came_meanwhile(
    store: GuardedStore, inner: Scripted
) -> None:
    store.passed("acme", Step(1, 10))
    late, passing = asyncio.Event(), inner.gate
    inner.gate, inner.stamp = late, 90
    loading = asyncio.create_task(store.load("acme", ()))
    await settled()
    store.passed("acme", Step(11, 20))
    inner.gate = passing
    late.set()
    await loading
    await store.load("acme", ())
    assert inner.known == [10, 20]


async def test_pitfall_22_a_load_that_waits_in_line_tells_what_is_known_when_it_is_sent(
    store: GuardedStore, inner: Scripted, forgotten: list[str]
) -> None:
    store.passed("acme", Step(1, 10))
    inner.gate.clear()
    others = [asyncio.create_task(store.ping()) for _ in range(CONCURRENT)]
    await settled()
    # Gathered before the invalidation, and joined after it.
    early = asyncio.create_task(store.load("acme", ()))
    await settled()
    store.passed("acme", Step(11, 20))
    late = asyncio.create_task(store.load("acme", ()))
    await settled()
    inner.stamp = 11
    inner.gate.set()
    await asyncio.gather(*others)
    for each in (early, late):
        with pytest.raises(StoreUnavailable):
            await each
    assert (inner.known, forgotten) == ([20], ["acme"])


async def test_pitfall_22_a_store_that_is_back_is_asked_whether_it_forgot_before_it_is_used(
    store: GuardedStore, inner: Scripted, forgotten: list[str], time: ManualTime
) -> None:
    store.passed("acme", Step(1, 10))
    store.passed("beta", Step(1, 4))
    inner.stamp = 5
    store.keep_away()
    await time.advance(PROBE_S)
    assert store.available
    assert forgotten == ["acme"]
    assert inner.calls == ["ping", "load", "load"]


async def test_who_hears_again_asks_of_all_that_is_known_behind_the_callers(
    store: GuardedStore, inner: Scripted, forgotten: list[str]
) -> None:
    store.verify()
    store.passed("acme", Step(1, 10))
    store.verify()
    await settled()
    assert inner.known == [10]
    assert forgotten == ["acme"]
    inner.up = False
    store.passed("beta", Step(1, 10))
    store.verify()
    await settled()
    assert inner.known == [10, 10], "one that fails is asked by the next load"


async def test_whoever_waits_for_its_return_waits_no_longer_than_that(
    store: GuardedStore, time: ManualTime
) -> None:
    await store.returned()
    store.keep_away()
    waiting = asyncio.create_task(store.returned())
    await settled()
    assert not waiting.done()
    await time.advance(PROBE_S)
    await waiting


async def test_pitfall_23_of_answers_that_show_it_together_one_says_it(
    store: GuardedStore, inner: Scripted, forgotten: list[str]
) -> None:
    store.passed("acme", Step(1, 10))
    inner.gate.clear()
    loads = []
    for _ in range(3):  # each is sent before the next is asked for
        loads.append(asyncio.create_task(store.load("acme", ())))
        await settled()
    assert inner.known == [10, 10, 10]
    inner.gate.set()
    answers = await asyncio.gather(*loads, return_exceptions=True)
    assert [type(answer) for answer in answers] == [Refused] * 3
    assert forgotten == ["acme"]


async def test_pitfall_23_one_that_comes_late_does_not_make_what_is_known_since_forgotten(
    store: GuardedStore, inner: Scripted, forgotten: list[str]
) -> None:
    store.passed("acme", Step(1, 10))
    late, passing = asyncio.Event(), inner.gate
    inner.gate = late
    loading = asyncio.create_task(store.load("acme", ()))
    await settled()
    inner.gate = passing
    await fail(store, 1)
    assert forgotten == ["acme"]
    inner.stamp = 4
    await store.load("acme", ())
    late.set()
    with pytest.raises(Refused):
        await loading
    assert forgotten == ["acme"], "it is of before: what is known now is another's"
    await store.load("acme", ())
    assert inner.known[-1] == 4


async def test_calls_that_fail_together_are_one_failure(
    store: GuardedStore, inner: Scripted
) -> None:
    """Whoever has a connection loses it at once: that says no more than one call's failure."""
    inner.up = False
    for failed in range(1, FAILURES_TO_OPEN):
        inner.gate.clear()
        burst = [asyncio.create_task(store.flag("acme", "f")) for _ in range(CONCURRENT)]
        await settled()
        inner.gate.set()
        await asyncio.gather(*burst, return_exceptions=True)
        assert len(inner.calls) == failed * CONCURRENT
        assert store.available
    await fail(store, 1)
    assert not store.available
