"""A task ends although it swallows a cancellation; what nobody waits for gives way."""

from __future__ import annotations

import asyncio
import gc
import time

from bff.cache.tasks import AT_ONCE, Quiet, end


async def test_nothing_to_end() -> None:
    await end([])


async def test_tasks_end_whatever_they_end_with() -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, about: complaints.append(about))

    async def fail() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise OSError("while ending")

    tasks = [asyncio.create_task(fail()), asyncio.create_task(asyncio.sleep(60))]
    await asyncio.sleep(0)
    await end(tasks)
    assert [task.cancelled() for task in tasks] == [False, True]
    del tasks
    gc.collect()
    assert complaints == []


async def test_a_swallowed_cancellation_is_repeated() -> None:
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while swallowed < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed += 1
        await asyncio.Event().wait()

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await end([task])
    assert task.cancelled()
    assert swallowed == 2


def _work() -> None:
    until = time.perf_counter() + 0.002
    while time.perf_counter() < until:
        pass


async def test_what_nobody_waits_for_begins_once_others_are_done() -> None:
    loop = asyncio.get_running_loop()
    busy_until = loop.time() + 0.1

    async def busy() -> float:
        while loop.time() < busy_until:
            _work()
            await asyncio.sleep(0)
        return loop.time()

    working = asyncio.create_task(busy())
    await Quiet(0.001, 30, 0.001).wait()
    assert working.done()


async def test_it_begins_in_the_end_however_busy_others_are() -> None:
    loop = asyncio.get_running_loop()

    async def busy() -> None:
        while True:
            _work()
            await asyncio.sleep(0)

    working, began = asyncio.create_task(busy()), loop.time()
    await Quiet(0.001, 0.05, 0.001).wait()
    assert loop.time() - began >= 0.05
    assert not working.done()
    await end([working])


async def test_nor_does_it_begin_at_once_where_nothing_is_done() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await Quiet(0.01, 0.02, 0.01).wait()
    assert loop.time() - began >= 0.01


async def test_those_who_wait_begin_in_one_turn_and_none_sooner_than_it_may() -> None:
    loop = asyncio.get_running_loop()
    quiet, begun, waited_s = Quiet(0.02, 30, 0.03), list[str](), list[float]()

    async def waiting(name: str, later_s: float = 0.0) -> None:
        await asyncio.sleep(later_s)
        since = loop.time()
        await quiet.wait()
        waited_s.append(loop.time() - since)
        begun.append(name)
        loop.call_soon(begun.append, "another turn")

    async with asyncio.TaskGroup() as group:
        group.create_task(waiting("first"))
        group.create_task(waiting("second"))
        group.create_task(waiting("late", 0.025))
    assert begun[:2] == ["first", "second"]
    assert min(waited_s) >= 0.02


async def test_who_leaves_keeps_nobody_waiting() -> None:
    quiet = Quiet(0.001, 30, 0.001)
    gone, stays = asyncio.create_task(quiet.wait()), asyncio.create_task(quiet.wait())
    await asyncio.sleep(0)
    gone.cancel()
    await stays
    await asyncio.wait_for(quiet.wait(), 30)
    assert gone.cancelled()


async def test_no_more_than_some_begin_in_one_turn() -> None:
    loop = asyncio.get_running_loop()
    quiet, begun = Quiet(0.001, 30, 0.001), list[int]()
    turns = 0

    async def waiting() -> None:
        await quiet.wait()
        begun.append(turns)

    def turn() -> None:
        nonlocal turns
        turns += 1
        loop.call_later(0.0001, turn)

    turn()
    await asyncio.gather(*(waiting() for _ in range(3 * AT_ONCE)))
    assert max(map(begun.count, begun)) <= AT_ONCE
