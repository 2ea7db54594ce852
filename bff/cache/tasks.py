"""Ending tasks for certain, and putting work off until nobody waits for the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Any, Final

BEHIND_S: Final = 0.005
"""What nobody waits for begins that much later: by then those who wait no more have gone on, and
the next call of their session is on its way."""
BEHIND_AT_MOST_S: Final = 0.025
TOGETHER_S: Final = 0.01
"""Between two looks whether there is nothing else to do, so that some may begin together."""
AT_ONCE: Final = 4
"""So many at most, which takes a ms or two: then others have their turn."""
_AGAIN_S: Final = 0.1
_LOOK_S: Final = 0.001
_EMPTY_S: Final = 0.00005
"""A turn of the event loop that takes longer had something else to do."""


async def end(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel tasks and return once they have ended, whatever they ended with.

    One cancellation may not be enough: `asyncio.wait_for` of Python 3.11, which redis-py writes
    with, swallows one that comes together with the result.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        done, pending = await asyncio.wait(pending, timeout=_AGAIN_S)
        for task in done:
            if not task.cancelled():
                task.exception()


class Quiet:
    """Moments at which the event loop has nothing else to do, for all who wait for one."""

    def __init__(
        self,
        after_s: float = BEHIND_S,
        within_s: float = BEHIND_AT_MOST_S,
        every_s: float = TOGETHER_S,
    ) -> None:
        self._after_s = after_s
        self._within_s = within_s
        self._every_s = every_s
        self._waiting: deque[tuple[float, asyncio.Future[None]]] = deque()

    async def wait(self) -> None:
        """Returns at one: `after_s` from now at the soonest, and some `within_s` at the latest."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        if not self._waiting:
            loop.call_later(self._every_s, self._look, loop)
        self._waiting.append((loop.time(), waiter))
        await waiter

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_soon(self._looked, loop, loop.time())

    def _looked(self, loop: asyncio.AbstractEventLoop, began: float) -> None:
        """A turn of the event loop later."""
        now, waiting = loop.time(), self._waiting
        if now - began < _EMPTY_S or now - waiting[0][0] >= self._within_s:
            for _ in range(AT_ONCE):
                if waiting and now - waiting[0][0] >= self._after_s:
                    _, waiter = waiting.popleft()
                    if not waiter.done():
                        waiter.set_result(None)
        if waiting:
            is_due = now - waiting[0][0] >= self._after_s
            loop.call_later(_LOOK_S if is_due else self._every_s, self._look, loop)
