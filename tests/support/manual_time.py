"""Time that stands still until a test moves it."""

from __future__ import annotations

import asyncio


class ManualTime:
    """A `Clock`: wall and monotonic time are one number, a sleep ends when it is reached."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, delay_s: float) -> None:
        due = self.now + delay_s
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((due, woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Move on, wake whose time has come, and let them do all that needs no further waiting."""
        await settled()
        self.now += seconds
        due = [pair for pair in self._sleepers if pair[0] <= self.now]
        self._sleepers = [pair for pair in self._sleepers if pair[0] > self.now]
        for _, woken in due:
            if not woken.done():
                woken.set_result(None)
        await settled()


async def settled(turns: int = 20) -> None:
    """Let every task run that is ready, and those that they make ready, `turns` deep."""
    for _ in range(turns):
        await asyncio.sleep(0)
