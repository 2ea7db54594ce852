"""When an event loop stood still: a busy machine lets it, and then what it does comes too late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Final

from bff.cache.tasks import end

_TICK_S: Final = 0.002


@asynccontextmanager
async def stood_still(longer_than_s: float) -> AsyncIterator[list[float]]:
    """For how many seconds, each time that the running loop did so for longer than that."""
    found: list[float] = []

    async def look() -> None:
        while True:
            began = monotonic()
            await asyncio.sleep(_TICK_S)
            late_s = monotonic() - began - _TICK_S
            if late_s > longer_than_s:
                found.append(late_s)

    looking = asyncio.create_task(look(), name="looks at the time")
    try:
        yield found
    finally:
        await end([looking])
