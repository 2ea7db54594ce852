"""The deadline of a request, around what may ask Nexudus."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from bff.errors import UpstreamTimeout

T = TypeVar("T")


async def in_time(within_s: float | None, asking: Awaitable[T]) -> T:
    """What comes of it, within so many seconds; raises UpstreamTimeout after them. None: no end.

    Not around what is only looked for in the cache: a timer for each request would cost more than
    the look, and the shared store is waited for as `patience` says.
    """
    try:
        async with asyncio.timeout(within_s):
            return await asking
    except TimeoutError:
        raise UpstreamTimeout("Nexudus did not answer within the deadline.") from None
