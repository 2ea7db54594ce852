"""The budget of one space in one process: who waits, and one agent that asks for them."""

from __future__ import annotations

import asyncio
import math
from contextvars import Context
from dataclasses import dataclass
from typing import Final

import structlog

from bff.clock import Clock
from bff.errors import Overloaded, StoreUnavailable
from bff.nexudus.budget.book import Book, Verdict
from bff.nexudus.budget.contract import Priority, Spending, Standing, Urgency
from bff.nexudus.budget.ledger import Asking, Heard, Ledger, TooLate
from bff.nexudus.budget.waiting import BELIEVED_S, Caller, Denied, Waiting

log = structlog.get_logger("bff.budget")

UNACCOUNTED_S: Final = 0.1
"""With accounting off, how long this process goes on without asking for pauses made elsewhere."""
NEWS_S: Final = 0.25
"""Seconds between two attempts to tell what others lack, or to reach a ledger that is away."""
BUSY_S: Final = 1.0
IDLE_S: Final = 5.0
"""Between two heartbeats where nothing was spent for `BUSY_FOR_S`; the ledger forgets after 12."""
BUSY_FOR_S: Final = 60.0
SHORT: Final = 0.2
"""Less than this part of a window left is short."""

SPENT = "The calls that Nexudus allows this space are spent for the moment."
PAUSED = "Nexudus asked this space to pause its calls for the moment."
CLOSED = "The gateway is shutting down."


@dataclass(frozen=True, slots=True)
class Services:
    """What every space uses."""

    ledger: Ledger
    clock: Clock


class SpaceBudget:
    """See `contract.Budget`; the same for one space."""

    def __init__(self, space: str, book: Book, services: Services) -> None:
        self.space = space
        self.book = book
        self._ledger = services.ledger
        self._clock = services.clock
        self._waiting = Waiting()
        self._agent: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._talking = asyncio.Lock()
        self._denied = {False: Denied(), True: Denied()}
        self._spent_at = -math.inf
        self._told_at = -math.inf
        self._local = False
        self._closed = False

    async def spend(self, urgency: Urgency, *, write: bool, within_s: float) -> None:
        """Returns when one call may be sent; raises Overloaded."""
        now = self._clock.monotonic()
        if self._closed:
            raise _overloaded(CLOSED, 1.0)
        if not self._waiting and self._may_go_unasked(now):
            self._spent_at = now
            return
        self._refuse_hopeless(urgency.priority, write, within_s, now)
        caller = self._waiting.join(urgency, write, now + within_s)
        unwatch = urgency.watch(lambda: self._rose(caller))
        self._arrived(caller)
        try:
            await caller.turn
        except asyncio.CancelledError:
            if caller.turn.done() and not caller.turn.cancelled() and not caller.turn.exception():
                self._give(write)
            raise
        finally:
            unwatch()
            self._waiting.leave(caller)

    async def throttled(self, retry_after_s: float) -> None:
        """Nexudus refused a call: known here at once, to the others with their next question."""
        now = self._clock.monotonic()
        paused = self.book.strictness.paused_s(now) > 0
        self.book.refused(now, retry_after_s)
        if not paused:
            strictness = self.book.strictness
            log.warning(
                "space_paused",
                space=self.space,
                seconds=round(strictness.paused_s(now), 3),
                factor=round(strictness.factor, 3),
            )
        self._turn_away(now)
        self._changed.set()
        await asyncio.create_task(self.tell(), context=Context())

    def is_short(self) -> bool:
        """Paused, slower than documented, or a window with less than a fifth left."""
        now = self._clock.monotonic()
        factor = self.book.strictness.factor_at(now)
        if self.book.strictness.paused_s(now) or factor < 1:
            return True
        return any(
            not window.spaced and window.limit.calls - used < SHORT * window.limit.calls
            for window, used in zip(self.book.windows, self.book.used(now), strict=True)
        )

    def standing(self) -> Standing:
        """As this process knows it."""
        now = self._clock.monotonic()
        used = self.book.used(now)
        return Standing(
            windows=tuple(
                Spending(window.limit, window.writes_only, count)
                for window, count in zip(self.book.windows, used, strict=True)
            ),
            paused_s=self.book.strictness.paused_s(now),
            factor=self.book.strictness.factor_at(now),
            shared=self.book.shared,
        )

    async def beat(self) -> None:
        """Say that this process lives, and what is new, if it is time to."""
        silent_s = self._clock.monotonic() - self._told_at
        busy = self._clock.monotonic() - self._spent_at < BUSY_FOR_S
        news = self.book.has_news or not self.book.shared
        if silent_s >= (NEWS_S if news else BUSY_S if busy else IDLE_S):
            await self.tell()

    async def tell(self) -> None:
        """Tell the ledger what is new and hear how things are; nothing happens while it is away."""
        await self._converse(None)

    def close(self) -> asyncio.Task[None] | None:
        """Whoever waits gets Overloaded; returns what is still to be ended."""
        self._closed = True
        for caller in self._waiting:
            self._refuse(caller, _overloaded(CLOSED, 1.0))
        return self._agent

    # callers

    def _may_go_unasked(self, now: float) -> bool:
        """Without accounting a pause is all that counts, and it was looked for just now."""
        fresh = now - self.book.heard_at < UNACCOUNTED_S
        unpaused = not self.book.strictness.paused_s(now)
        return not self.book.windows and fresh and unpaused

    def _arrived(self, caller: Caller) -> None:
        if self._agent is None or self._agent.done():
            # Of no request: it outlives the one that started it, and its patience.
            self._agent = asyncio.create_task(
                self._serve(), name=f"budget {self.space}", context=Context()
            )
            return
        if self._head(self._clock.monotonic()) is caller:
            self._changed.set()

    def _rose(self, caller: Caller) -> None:
        self._waiting.rose(caller)
        self._changed.set()

    def _refuse_hopeless(
        self, priority: Priority, write: bool, within_s: float, now: float
    ) -> None:
        wait_s = self._least_wait_s(priority, write, now)
        if wait_s > within_s:
            raise self._too_long(wait_s, now)

    def _least_wait_s(self, priority: Priority, write: bool, now: float) -> float:
        """Of one that would arrive now."""
        calls = self._waiting.up_to(priority)
        writes = self._waiting.up_to(priority, writes_only=True)
        queue_s = self.book.least_wait_s(priority, write, (calls, writes), now)
        return max(queue_s, self._denied_s(priority, write, now))

    def _denied_s(self, priority: Priority, write: bool, now: float) -> float:
        calls_s = self._denied[False].wait_s(priority, now)
        return max(calls_s, self._denied[True].wait_s(priority, now)) if write else calls_s

    def _head(self, now: float) -> Caller | None:
        first = self._waiting.head()
        if first is None or not first.write or not self._denied[True].wait_s(first.counted, now):
            return first
        return self._waiting.head(writes=False)

    def _give(self, write: bool) -> None:
        """A grant, to whoever is next now; a read's is none for a write. Without takers, lost."""
        while (caller := self._waiting.head(writes=write)) is not None:
            self._waiting.leave(caller)
            if caller.waits:
                caller.turn.set_result(None)
                return

    def _refuse(self, caller: Caller, error: Exception) -> None:
        self._waiting.leave(caller)
        if caller.waits:
            caller.turn.set_exception(error)

    def _turn_away(self, now: float) -> None:
        """Those whose time is up, or will be before calls go on."""
        paused_until = now + self.book.strictness.paused_s(now)
        waits: dict[tuple[Priority, bool], float] = {}
        for caller in self._waiting:
            kind = caller.counted, caller.write
            soonest = max(paused_until, now + self._denied_s(*kind, now))
            if caller.deadline > now and caller.deadline >= soonest:
                continue
            if kind not in waits:
                waits[kind] = self._least_wait_s(*kind, now)
            self._refuse(caller, self._too_long(waits[kind], now))

    def _too_long(self, wait_s: float, now: float) -> Overloaded:
        return _overloaded(PAUSED if self.book.strictness.paused_s(now) else SPENT, wait_s)

    # the agent

    async def _serve(self) -> None:
        """While anybody waits: ask for the first, give, or sleep until it is worth asking again."""
        try:
            while self._waiting:
                self._changed.clear()
                now = self._clock.monotonic()
                self._turn_away(now)
                head = self._head(now)
                if head is not None:
                    await self._serve_one(head, now)
                elif self._waiting:
                    await self._rest(self._denied[True].wait_s(Priority.BACKGROUND, now))
        except Exception as error:
            # Whoever waits must not do so for ever.
            log.exception("budget_failed", space=self.space)
            for caller in self._waiting:
                self._refuse(caller, error)

    async def _serve_one(self, head: Caller, now: float) -> None:
        verdict = await self._ask(head, now)
        now = self._clock.monotonic()
        if verdict.granted:
            self._spent_at = now
            self._give(head.write)
            return
        self._denied[verdict.writes_only] = Denied(head.counted, now, verdict.wait_s)
        self._turn_away(now)
        if not verdict.writes_only:
            await self._rest(verdict.wait_s)

    async def _ask(self, head: Caller, now: float) -> Verdict:
        if self._may_go_unasked(now):
            return Verdict(True)
        priority = head.counted
        waiting = [self._waiting.reads_at(each) for each in Priority]
        waiting[priority] -= not head.write
        patience_s = max(0.0, head.deadline - now)
        asking = Asking(priority, head.write, patience_s, (waiting[0], waiting[1]))
        heard = await self._converse(asking)
        if heard is None or heard.granted is None:
            return self.book.decide(
                priority, head.write, self._clock.monotonic(), self._clock.wall()
            )
        return Verdict(heard.granted, heard.wait_s, heard.writes_only)

    async def _converse(self, asking: Asking | None) -> Heard | None:
        """One question at a time; None while the ledger is away."""
        async with self._talking:
            was_shared = self.book.shared
            try:
                try:
                    heard = await self._put(asking)
                except TooLate:
                    # This process was busy, or the server hung: it may not be away now.
                    heard = await self._put(asking)
            except StoreUnavailable:
                self._away()
                return None
        if self.book.shared and not was_shared:
            self._denied = {False: Denied(), True: Denied()}
        if self.book.shared and self._local:
            self._local = False
            log.info("budget_shared", space=self.space)
        return heard

    async def _put(self, asking: Asking | None) -> Heard:
        sent_at = self._told_at = self._clock.monotonic()
        told = self.book.tell(sent_at)
        try:
            heard = await self._ledger.ask(self.space, asking, told, sent_at)
        except BaseException as error:
            self.book.untell(told)
            if isinstance(error, TooLate):
                self.book.late(error.now_s, sent_at, self._clock.monotonic())
            raise
        self.book.hear(heard, told, sent_at, self._clock.monotonic())
        return heard

    def _away(self) -> None:
        self.book.lose(self._clock.monotonic())
        if not self._local:
            self._local = True
            log.warning("budget_local", space=self.space, peers=self.book.processes)

    async def _rest(self, delay_s: float) -> None:
        """Until something changes, at most so long, and not past anybody's deadline."""
        now = self._clock.monotonic()
        first = min((caller.deadline for caller in self._waiting), default=now)
        delay_s = min(delay_s, BELIEVED_S, max(0.0, first - now))
        sleeping = asyncio.ensure_future(self._clock.sleep(delay_s))
        woken = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait((sleeping, woken), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            woken.cancel()


def _overloaded(message: str, wait_s: float) -> Overloaded:
    return Overloaded(message, retry_after_s=max(1, math.ceil(wait_s)))
