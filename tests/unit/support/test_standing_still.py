"""A loop that stands still is noticed each time, and one that only waits is not."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from tests.support.standing_still import processes_stood_still, stood_still


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


def test_a_process_that_waits_longer_than_it_wants_to_is_told(tmp_path: Path) -> None:
    with processes_stood_still(0.0, tmp_path) as times:
        deadline = time.monotonic() + 20
        while times() < 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)  # of another process: it has no event to wait for
    with processes_stood_still(30.0, tmp_path) as times:
        time.sleep(0.1)  # in which it looks some forty times
        assert times() == 0
