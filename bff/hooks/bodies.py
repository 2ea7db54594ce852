"""Bodies of webhooks, read a few at once: whoever sends one may be anybody until it is whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Receive

from bff.errors import Overloaded, RequestStalled
from bff.hooks.receive import RawHeaders, read_body

AT_ONCE = 64
WAITING = 1_024
"""For a place among them, at most, and for no longer than:"""
PLACE_WITHIN_S = 2.0
HURRIED_S = 1.0
"""More, for a body that is slow, once another one waits for its place."""


class Bodies:
    """Places in which bodies are read. Those that come slowly hold none from others for long."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        self._reading: dict[asyncio.Timeout, None] = {}
        """The end of each reading, if it is to have one; the oldest first."""

    async def read(self, receive: Receive, headers: RawHeaders) -> bytes:
        """Raises as `read_body`, and Overloaded where there is no place in time."""
        async with self._place():
            try:
                async with asyncio.timeout(None) as end:
                    self._reading[end] = None
                    try:
                        return await read_body(receive, headers=headers)
                    finally:
                        del self._reading[end]
            except TimeoutError:
                said = f"the body was not whole within {HURRIED_S:g} s, in which another one waited"
                raise RequestStalled(said) from None

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        if self._waiting >= WAITING:
            raise _too_many()
        if self._places.locked():
            self._hurry()
        self._waiting += 1
        try:
            async with asyncio.timeout(PLACE_WITHIN_S):
                await self._places.acquire()
        except TimeoutError:
            raise _too_many() from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._places.release()

    def _hurry(self) -> None:
        """One reading for each who waits: the oldest that nobody has waited for yet."""
        for end in self._reading:
            if end.when() is None:
                end.reschedule(asyncio.get_running_loop().time() + HURRIED_S)
                return


def _too_many() -> Overloaded:
    return Overloaded("too many webhooks at once: deliver this one again", retry_after_s=1)
