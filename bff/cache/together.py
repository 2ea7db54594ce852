"""Loads that are asked for until one is sent are one, and each has its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from bff.cache import patience
from bff.cache.keys import Container
from bff.cache.patience import OutOfPatience, Unanswered
from bff.cache.store import Loaded
from bff.cache.tasks import end
from bff.errors import StoreUnavailable

MAX_TOGETHER = 512
"""Most documents that one command asks for; nobody else is answered by Redis meanwhile."""

Wants = Sequence[tuple[Container, str]]


@dataclass(slots=True)
class _Batch:
    """`answer`: to all of the wants, in order, for everybody who has asked."""

    wants: list[tuple[Container, str]]
    answer: asyncio.Task[Loaded] = field(init=False)


class Together:
    """Gathers loads, and calls `load` once for all of a space; others join until it takes them.

    That call is nobody's: no caller's patience limits it, and none that leaves ends it.
    """

    def __init__(self, load: Callable[[str, Callable[[], Wants]], Awaitable[Loaded]]) -> None:
        self._load = load
        self._gathering: dict[str, _Batch] = {}
        self._running: set[asyncio.Task[Loaded]] = set()

    async def load(self, space: str, wants: Wants) -> Loaded:
        """Raises as `load` does, and OutOfPatience for a request that waits less than that."""
        batch = self._gathering.get(space)
        if batch is None or len(batch.wants) >= MAX_TOGETHER:
            batch = self._gather(space)
        first = len(batch.wants)
        batch.wants += wants
        await patience.wait(batch.answer)
        if batch.answer.cancelled():
            raise StoreUnavailable("closed")
        try:
            loaded = batch.answer.result()
        except (Unanswered, OutOfPatience):
            patience.exhaust()
            raise
        finally:
            del batch  # a failure that held itself would keep all of the request until collected
        return Loaded(loaded.stamp, loaded.values[first : first + len(wants)])

    async def aclose(self) -> None:
        """Whoever still waits is told that it is closed."""
        await end(self._running)

    def _gather(self, space: str) -> _Batch:
        """Whoever asks before it is sent may join it: in the next turn of the loop, if no line."""
        batch = self._gathering[space] = _Batch([])
        with patience.unlimited():
            batch.answer = asyncio.create_task(self._send(space, batch.wants), name="loads")
        self._running.add(batch.answer)
        batch.answer.add_done_callback(self._ended)
        return batch

    async def _send(self, space: str, wants: Wants) -> Loaded:
        def taken() -> Wants:
            batch = self._gathering.get(space)
            if batch is not None and batch.wants is wants:
                del self._gathering[space]
            return wants

        try:
            return await self._load(space, taken)
        finally:
            taken()

    def _ended(self, answer: asyncio.Task[Loaded]) -> None:
        self._running.discard(answer)
        if not answer.cancelled():
            answer.exception()  # all who asked may be gone; the failure is then nobody's
