"""Time as an argument: whoever needs it is handed a `Clock`, so tests can hold it still."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Wall time, monotonic time and sleep. All in seconds."""

    def wall(self) -> float:
        """UTC seconds since the epoch; comparable between processes, may step."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go backwards; comparable within one process only."""
        ...

    async def sleep(self, delay_s: float) -> None:
        """Suspend the calling task for `delay_s`."""
        ...


class SystemClock:
    """The machine's own clocks."""

    # Not methods of our own around them: each answer asks several times.
    wall = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
