"""A task ends although it swallows a cancellation."""

from __future__ import annotations

import asyncio
import gc

from bff.cache.tasks import end


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
