"""Ending tasks for certain, and putting work off until nobody waits for the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

BEHIND_S: Final = 0.005
"""What nobody waits for begins that much later: by then those who wait no more have gone on, and
the next call of their session is on its way."""
BEHIND_AT_MOST_S: Final = 0.025
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


async def quiet(after_s: float = BEHIND_S, within_s: float = BEHIND_AT_MOST_S) -> None:
    """Returns once the event loop has nothing else to do: `after_s` from now at the soonest, and
    some `within_s` at the latest."""
    loop = asyncio.get_running_loop()
    until = loop.time() + within_s
    await asyncio.sleep(after_s)
    while (began := loop.time()) < until:
        await asyncio.sleep(0)
        if loop.time() - began < _EMPTY_S:
            return
        await asyncio.sleep(_LOOK_S)
