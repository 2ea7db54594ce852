"""What one process says to the ledger of one space, and hears: one question at a time."""

from __future__ import annotations

import asyncio
import contextlib
import math

import structlog

from bff.clock import Clock
from bff.errors import StoreUnavailable
from bff.nexudus.budget.book import Book
from bff.nexudus.budget.ledger import Asking, Heard, Ledger, TooLate

log = structlog.get_logger("bff.budget")


class Conversation:
    """Keeps `book` as it was last told. `told_at`: monotonic seconds of the latest question."""

    def __init__(self, space: str, book: Book, ledger: Ledger, clock: Clock) -> None:
        self.told_at = -math.inf
        self._space = space
        self._book = book
        self._ledger = ledger
        self._clock = clock
        self._talking = asyncio.Lock()
        self._local = False

    async def ask(self, asking: Asking | None) -> Heard | None:
        """The ledger's answer, and what is new told to it; None while it is away."""
        async with self._talking:
            try:
                try:
                    heard = await self._put(asking)
                except TooLate:
                    # This process was busy, or the server hung: it may not be away now.
                    heard = await self._put(asking)
            except StoreUnavailable:
                self._away()
                return None
        if self._book.shared and self._local:
            self._local = False
            log.info("budget_shared", space=self._space)
        return heard

    async def leave(self) -> None:
        """Say that this process is gone, so that the others share its part."""
        with contextlib.suppress(StoreUnavailable):
            await self._put(None, leaving=True)

    async def _put(self, asking: Asking | None, *, leaving: bool = False) -> Heard:
        sent_at = self.told_at = self._clock.monotonic()
        told = self._book.tell(sent_at)
        try:
            heard = await self._ledger.ask(self._space, asking, told, sent_at, leaving=leaving)
        except BaseException as error:
            self._book.untell(told, unheard=isinstance(error, TooLate))
            if isinstance(error, TooLate):
                self._book.late(error.now_s, sent_at, self._clock.monotonic())
            raise
        self._book.hear(heard, told, sent_at, self._clock.monotonic())
        return heard

    def _away(self) -> None:
        self._book.lose(self._clock.monotonic())
        if not self._local:
            self._local = True
            log.warning("budget_local", space=self._space, peers=self._book.processes)
