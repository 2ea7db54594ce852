"""Wall time in the hands of a test."""

from __future__ import annotations

import asyncio
import time

START = 1_800_000_000.0
"""A whole second of 2027."""


class FakeClock:
    """Wall time stands still until it is advanced.

    Monotonic time and sleep are the machine's, because heartbeats and probes need them.
    """

    def __init__(self, wall: float = START) -> None:
        self._wall = wall

    def advance(self, seconds: float) -> None:
        """Let wall time pass."""
        self._wall += seconds

    def wall(self) -> float:
        return self._wall

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
