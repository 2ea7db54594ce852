"""A task ends although it swallows a cancellation; what nobody waits for gives way."""

from __future__ import annotations

import asyncio
import gc
import time

from bff.cache.tasks import end, quiet


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
    await quiet(0.001, 30)
    assert working.done()


async def test_it_begins_in_the_end_however_busy_others_are() -> None:
    loop = asyncio.get_running_loop()

    async def busy() -> None:
        while True:
            _work()
            await asyncio.sleep(0)

    working, began = asyncio.create_task(busy()), loop.time()
    await quiet(0.001, 0.05)
    assert loop.time() - began >= 0.05
    assert not working.done()
    await end([working])


async def test_nor_does_it_begin_at_once_where_nothing_is_done() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await quiet(0.01, 0.02)
    assert loop.time() - began >= 0.01
