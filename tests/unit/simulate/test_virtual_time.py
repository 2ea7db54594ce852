"""Time jumps, in order, and nothing but timers moves it."""

from __future__ import annotations

import asyncio
import time

import pytest
from fakeredis import FakeAsyncRedis

from tests.simulate.virtual_time import DeadlockError, VirtualClock, machine_time_replaced, play

EPOCH = 1_800_000_000.0


def test_a_day_passes_at_once_and_timers_come_in_order() -> None:
    seen: list[tuple[str, float]] = []

    async def waits(name: str, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        seen.append((name, asyncio.get_running_loop().time()))

    async def main() -> float:
        await asyncio.gather(waits("evening", 86_400), waits("noon", 43_200), waits("now", 0))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await asyncio.sleep(61)
        return VirtualClock(EPOCH).wall()

    began = time.monotonic()
    assert play(main()) == pytest.approx(EPOCH + 86_460)
    assert seen == [("now", 0.0), ("noon", 43_200.0), ("evening", 86_400.0)]
    assert time.monotonic() - began < 5


def test_tasks_that_wait_for_each_other_are_an_error_and_not_a_hang() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(DeadlockError):
        play(main())


def test_redis_tells_and_keeps_virtual_time_and_the_machines_afterwards() -> None:
    clock = VirtualClock(EPOCH)

    async def main() -> tuple[int, object, object]:
        redis = FakeAsyncRedis()
        await redis.set("key", "value", ex=100)
        await asyncio.sleep(99)
        early = await redis.get("key")
        await asyncio.sleep(2)
        now, _ = await redis.time()
        return now, early, await redis.get("key")

    with machine_time_replaced(clock):
        assert play(main()) == (EPOCH + 101, b"value", None)

    async def today() -> int:
        now, _ = await FakeAsyncRedis().time()
        return int(now)

    assert abs(asyncio.run(today()) - time.time()) < 5
