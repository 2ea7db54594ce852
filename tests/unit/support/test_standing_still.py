"""A loop that stands still is noticed each time, and one that only waits is not."""

from __future__ import annotations

import asyncio
import time

from tests.support.standing_still import stood_still


async def test_each_time_that_it_stood_still_is_told() -> None:
    async with stood_still(0.02) as found:
        await asyncio.sleep(0.01)
        for _ in range(2):
            time.sleep(0.04)  # noqa: ASYNC251 - which is what it looks for
            await asyncio.sleep(0.01)
    assert len([each for each in found if each > 0.03]) >= 2


async def test_waiting_is_not_standing_still() -> None:
    async with stood_still(30.0) as found:
        await asyncio.sleep(0.05)
    assert found == []
