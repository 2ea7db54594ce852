"""One request waits once for a store that fails, however many commands it has for it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bff.cache import patience
from bff.cache.patience import (
    TICK_S,
    Allowance,
    OutOfPatience,
    Pace,
    Unanswered,
    hurried,
    limited,
    unlimited,
)
from bff.errors import StoreUnavailable
from tests.support.cache_process import until


class Clock:
    """Seconds that a test lets pass."""

    def __init__(self) -> None:
        self.at = 100.0

    def now(self) -> float:
        return self.at

    def begin(self) -> float:
        return self.now()

    def end(self) -> float:
        return self.now()

    async def until(self, due_s: float, command: asyncio.Future[None]) -> None:
        """It is, at once."""


def left_s() -> float:
    allowance = patience.current()
    assert allowance is not None
    return round(allowance.left_s(), 6)


def counted() -> AbstractContextManager[None]:
    """Around a wait, within a request or not."""
    allowance = patience.current()
    return nullcontext() if allowance is None else allowance.counted()


def test_waits_add_up_and_what_is_between_them_is_free() -> None:
    clock = Clock()
    with limited(0.05, clock):
        for _ in range(2):
            with counted():
                clock.at += 0.02
                assert not patience.is_spent()
            clock.at += 5.0
        assert left_s() == 0.01
        with counted():
            clock.at += 0.02
            assert patience.is_spent()
        assert left_s() == 0


def test_waits_at_the_same_time_count_once() -> None:
    clock = Clock()
    with limited(0.05, clock):
        first, second = counted(), counted()
        first.__enter__()
        clock.at += 0.01
        second.__enter__()
        clock.at += 0.01
        first.__exit__(None, None, None)
        clock.at += 0.01
        assert left_s() == 0.02
        second.__exit__(None, None, None)
        clock.at += 1
        assert left_s() == 0.02


async def test_tasks_of_a_request_share_what_it_has_left() -> None:
    clock = Clock()

    async def wait() -> None:
        with counted():
            clock.at += 0.01

    with limited(0.05, clock):
        await asyncio.gather(wait(), asyncio.create_task(wait()))
        await asyncio.create_task(wait())
        assert left_s() == 0.02


def test_a_request_within_a_request_has_no_patience_of_its_own() -> None:
    clock = Clock()
    with limited(0.05, clock):
        with limited(9.0, clock):
            assert left_s() == 0.05
        assert left_s() == 0.05
        with unlimited():
            assert patience.current() is None
            assert not patience.is_spent()
        assert left_s() == 0.05
    assert patience.current() is None


async def test_what_goes_on_behind_a_request_is_not_limited_by_it() -> None:
    ended = asyncio.Event()

    async def behind() -> tuple[bool, bool]:
        spent = patience.is_spent()
        await ended.wait()
        return spent, patience.current() is None

    with limited(0.0, Clock()):
        task = asyncio.create_task(behind())
        await asyncio.sleep(0)
    ended.set()
    assert await task == (True, True)


def test_a_request_that_fails_leaves_no_limit_behind() -> None:
    with pytest.raises(KeyError), limited(0.05, Clock()):
        raise KeyError
    assert patience.current() is None


def test_nobodys_patience_is_a_failure_of_the_store() -> None:
    assert issubclass(OutOfPatience, StoreUnavailable)
    assert OutOfPatience().command is None


def pending() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


async def test_an_answer_is_waited_for_as_long_as_the_shorter_limit() -> None:
    never, began = pending(), time.monotonic()
    with limited(9.0), counted():
        with pytest.raises(Unanswered, match="within 20 ms"):
            await patience.wait(never, 0.02)
        assert patience.is_spent(), "who waited in vain waits for nothing more"
    for timeout_s in (9.0, math.inf):
        with limited(0.02), counted():
            with pytest.raises(OutOfPatience) as left:
                await patience.wait(never, timeout_s)
            assert left.value.command is never
            # The allowance runs from `counted`, the command's time from a moment after.
            assert left.value.due_s <= timeout_s - 0.01
            assert patience.is_spent()
    assert 0.06 <= time.monotonic() - began < 9.0
    assert not never.cancelled()


async def test_what_is_spent_is_not_waited_for_at_all() -> None:
    with limited(0.0), pytest.raises(OutOfPatience) as left:
        await patience.wait(pending(), 0.05)
    assert left.value.due_s == 0.05


async def test_who_is_in_a_hurry_waits_a_part_of_it() -> None:
    began = time.monotonic()
    with hurried(), pytest.raises(OutOfPatience) as left:
        await patience.wait(pending(), 1.0)
    assert time.monotonic() - began >= 0.1
    assert 0.8 < left.value.due_s <= 0.9


async def test_a_command_that_ended_was_waited_for() -> None:
    done = pending()
    asyncio.get_running_loop().call_later(0.005, done.set_result, None)
    await patience.wait(done, 5.0)
    await patience.wait(done, 0.0)
    await patience.wait(done)


async def test_an_answer_that_came_while_this_process_was_busy_is_still_read() -> None:
    async def command() -> str:
        await asyncio.sleep(0.001)
        for _ in range(4):  # a chunk, a line, an answer, a result
            await asyncio.sleep(0)
        return "answer"

    for request in (limited(0.004), unlimited()):
        with request, counted():
            running = asyncio.create_task(command())
            await asyncio.sleep(0)
            asyncio.get_running_loop().call_soon(time.sleep, 0.02)
            await patience.wait(running, 0.004)


async def test_pitfall_21_time_that_this_process_works_is_not_the_stores() -> None:
    loop, command, began = asyncio.get_running_loop(), pending(), time.monotonic()

    def work() -> None:
        time.sleep(0.03)
        if not command.done():
            loop.call_soon(work)

    work()
    loop.call_later(0.2, command.set_result, None)
    with limited(0.05), counted():
        await patience.wait(command, 0.05)
        allowance = patience.current()
        assert allowance is not None
        assert 0 < allowance.left_s() < 0.05
    assert time.monotonic() - began > 0.2


async def test_time_passes_while_somebody_waits() -> None:
    pace = patience.pace()
    assert pace is patience.pace()
    before = pace.now()
    await asyncio.sleep(0.01)
    assert pace.now() == before
    began = time.monotonic()
    pace.begin()
    pace.begin()
    await until(lambda: pace.now() - before > 0.02)
    pace.end()
    between = pace.now()
    await until(lambda: pace.now() - between > 0.005)
    assert pace.now() - before <= time.monotonic() - began
    pace.end()
    after = pace.now()
    await asyncio.sleep(0.01)
    assert pace.now() == after


class Loop:
    """One whose time and work are the test's; of its timers, only the last is kept."""

    def __init__(self) -> None:
        self.at = self.worked = 0.0
        self.due: Callable[[], None] = lambda: None

    def time(self) -> float:
        return self.at

    def call_later(self, _: float, callback: Callable[[], None]) -> Loop:
        self.due = callback
        return self

    def cancel(self) -> None:
        self.due = lambda: None


def passes(pace: Pace, loop: Loop, what: str) -> None:
    """Half a tick of waiting or of work, a tick of its own loop, or a wait."""
    match what:
        case "idle" | "work":
            loop.at += TICK_S / 2
            loop.worked += TICK_S / 2 * (what == "work")
        case "tick":
            loop.due()
        case "begin":
            pace.begin()
        case _ if pace._waits > 1:
            pace.end()


@example(["idle", "idle", "work"])
@given(st.lists(st.sampled_from(["idle", "work", "tick", "begin", "end"]), max_size=40))
def test_time_never_runs_backwards(events: list[str]) -> None:
    loop = Loop()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(time, "thread_time", lambda: loop.worked)
        pace = Pace(loop)  # type: ignore[arg-type]
        pace.begin()
        before, ticks = pace.now(), events.count("tick")
        for event in events:
            passes(pace, loop, event)
            assert before <= pace.now()
            before = pace.now()
        assert before <= TICK_S * (ticks + events.count("end") + 1)


async def test_a_wait_ends_in_the_first_tick_after_its_time_or_with_its_command() -> None:
    loop = Loop()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(time, "thread_time", lambda: loop.worked)
        pace, command = Pace(loop), pending()  # type: ignore[arg-type]
        due_s = pace.begin() + 1.5 * TICK_S
        waits = [asyncio.create_task(pace.until(s, command)) for s in (due_s, due_s, math.inf)]
        ended = []
        for tick in range(3):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            ended.append([wait.done() for wait in waits])
            loop.at += TICK_S
            loop.due()
            if not tick:
                waits[0].cancel()
        assert ended == [[False] * 3, [True, False, False], [True, True, False]]
        command.set_result(None)
        await waits[2]
        assert pace._due == {} and not command.cancelled()


@pytest.mark.parametrize("in_a_hurry", [True, False])
async def test_outside_of_a_request_the_store_is_to_blame(
    monkeypatch: pytest.MonkeyPatch, in_a_hurry: bool
) -> None:
    times = iter((100.0, 99.5))  # whatever its clock does

    class Backwards(Clock):
        def now(self) -> float:
            return next(times)

    monkeypatch.setattr(patience, "pace", Backwards)
    manner, error = (hurried, OutOfPatience) if in_a_hurry else (unlimited, Unanswered)
    with manner(), pytest.raises(error):
        await patience.wait(pending(), 0.9)


async def test_a_line_is_waited_in_until_nothing_is_left() -> None:
    allowance = Allowance(0.01, patience.pace())
    with pytest.raises(TimeoutError), allowance.counted():
        async with allowance.timeout():
            await asyncio.Event().wait()
    assert allowance.left_s() == 0
    # Nothing is taken while this process itself is what takes its time: then the line is kept.
    allowance, turn = Allowance(0.01, Clock()), pending()
    asyncio.get_running_loop().call_later(0.03, turn.set_result, None)
    with allowance.counted():
        async with allowance.timeout():
            await turn
    assert allowance.left_s() == 0.01
