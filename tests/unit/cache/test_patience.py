"""One request waits once for a store that fails, however many commands it has for it."""

from __future__ import annotations

import asyncio
import math
import time

import pytest

from bff.cache import patience
from bff.cache.patience import (
    Allowance,
    OutOfPatience,
    Unanswered,
    hurried,
    limited,
    unlimited,
)
from bff.errors import StoreUnavailable


class Clock:
    """Seconds that a test lets pass."""

    def __init__(self) -> None:
        self.at = 100.0

    def now(self) -> float:
        return self.at

    def begin(self) -> None:
        """Passes anyway."""

    def end(self) -> None:
        """Passes anyway."""


def left_s() -> float:
    allowance = patience.current()
    assert allowance is not None
    return round(allowance.left_s(), 6)


def test_waits_add_up_and_what_is_between_them_is_free() -> None:
    clock = Clock()
    with limited(0.05, clock):
        for _ in range(2):
            with patience.counted():
                clock.at += 0.02
                assert not patience.is_spent()
            clock.at += 5.0
        assert left_s() == 0.01
        with patience.counted():
            clock.at += 0.02
            assert patience.is_spent()
        assert left_s() == 0


def test_waits_at_the_same_time_count_once() -> None:
    clock = Clock()
    with limited(0.05, clock):
        first, second = patience.counted(), patience.counted()
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
        with patience.counted():
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
    with limited(9.0), patience.counted():
        with pytest.raises(Unanswered, match="within 20 ms"):
            await patience.wait(never, 0.02)
        assert patience.is_spent(), "who waited in vain waits for nothing more"
    for timeout_s in (9.0, math.inf):
        with limited(0.02), patience.counted():
            with pytest.raises(OutOfPatience) as left:
                await patience.wait(never, timeout_s)
            assert left.value.command is never
            assert left.value.due_s <= timeout_s - 0.02
            assert patience.is_spent()
    assert 0.06 <= time.monotonic() - began < 2
    assert not never.cancelled()


async def test_what_is_spent_is_not_waited_for_at_all() -> None:
    with limited(0.0), pytest.raises(OutOfPatience) as left:
        await patience.wait(pending(), 0.05)
    assert left.value.due_s == 0.05


async def test_who_is_in_a_hurry_waits_a_part_of_it() -> None:
    began = time.monotonic()
    with hurried(), pytest.raises(OutOfPatience) as left:
        await patience.wait(pending(), 5.0)
    assert 0.5 <= time.monotonic() - began < 3
    assert 4 < left.value.due_s <= 4.5


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
        with request, patience.counted():
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
    with limited(0.05), patience.counted():
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
    pace.begin()
    pace.begin()
    await asyncio.sleep(0.03)
    pace.end()
    between = pace.now()
    assert 0.01 < between - before < 0.1
    await asyncio.sleep(0.01)
    assert pace.now() > between
    pace.end()
    after = pace.now()
    await asyncio.sleep(0.01)
    assert pace.now() == after


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
