"""The deadline of a request, around whatever is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from bff.errors import UpstreamTimeout

T = TypeVar("T")


async def in_time(within_s: float, asking: Awaitable[T]) -> T:
    """What comes of it, within so many seconds; raises UpstreamTimeout after them.

    Around the look into the cache as well: `patience` with the shared store counts idle time only,
    and goes on for as long as this process is busy.
    """
    try:
        async with asyncio.timeout(within_s):
            return await asking
    except TimeoutError:
        raise UpstreamTimeout("Nexudus did not answer within the deadline.") from None
