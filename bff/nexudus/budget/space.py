"""The budget of one space in one process: who waits, and one agent that asks for them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from typing import Final

import structlog

from bff.clock import Clock
from bff.errors import Overloaded
from bff.nexudus.budget.book import Book
from bff.nexudus.budget.contract import Grant, Priority, Standing, Urgency
from bff.nexudus.budget.conversation import Conversation
from bff.nexudus.budget.ledger import Asking, Heard, Ledger
from bff.nexudus.budget.refusals import CLOSED, PAUSED, SPENT, overloaded
from bff.nexudus.budget.standing import is_short, spendings
from bff.nexudus.budget.verdict import BELIEVED_S, Denials, Verdict
from bff.nexudus.budget.waiting import KINDS, Caller, Waiting, nap, not_for, passed_by

log = structlog.get_logger("bff.budget")

UNACCOUNTED_S: Final = 0.1
"""With accounting off, how long this process goes on without asking for pauses made elsewhere."""
NEWS_S: Final = 0.25
"""Seconds between two attempts to tell what others lack, or to reach a ledger that is away."""
BUSY_S: Final = 1.0
IDLE_S: Final = 5.0
"""Between two heartbeats where nothing was spent for `BUSY_FOR_S`; the ledger forgets after 12."""
BUSY_FOR_S: Final = 60.0


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
        self._clock = services.clock
        self._talk = Conversation(space, book, services.ledger, services.clock)
        self._waiting = Waiting()
        self._agent: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._denials = Denials(book.shares)
        self._given = Grant(sent_at=-math.inf)
        self._report_due = False
        self._spent_at = -math.inf
        self._closed = False

    async def spend(self, urgency: Urgency, *, write: bool, within_s: float) -> Grant:
        """Returns when one call may be sent; raises Overloaded."""
        now = self._clock.monotonic()
        if self._closed:
            raise overloaded(CLOSED, 1.0)
        if self._waiting.nobody_first and self._may_go_unasked(now):
            self._spent_at = now
            return Grant(write=write)
        if self._least_wait_s(urgency, write, now) > within_s:
            raise self._too_long(urgency.priority, write, now)
        caller = self._waiting.join(urgency, write, now + within_s)
        unwatch = urgency.watch(lambda: self._rose(caller))
        if not self._serves() and self._head(now) is caller:
            self._changed.set()
        try:
            return await caller.turn
        except asyncio.CancelledError:
            if caller.turn.done() and not caller.turn.cancelled() and not caller.turn.exception():
                self._give(caller.turn.result())
            raise
        finally:
            unwatch()
            self._waiting.leave(caller)

    async def throttled(self, retry_after_s: float, grant: Grant) -> None:
        """Nexudus refused a call: known here at once, to the others with their next question."""
        now = self._clock.monotonic()
        paused = self.book.paused_s(now) > 0
        self.book.refused(now, retry_after_s, grant)
        if not paused:
            strictness = self.book.strictness
            log.warning(
                "space_paused",
                space=self.space,
                seconds=round(self.book.paused_s(now), 3),
                factor=round(strictness.factor, 3),
                stretch=round(strictness.stretch, 3),
            )
        self._turn_away(now)
        self._changed.set()
        await asyncio.create_task(self.tell(), context=Context())

    def is_short(self) -> bool:
        """Paused, or a window with less than a fifth left of what is allowed at the moment."""
        return is_short(self.book, self._clock.monotonic())

    def standing(self) -> Standing:
        """As this process knows it."""
        now = self._clock.monotonic()
        return Standing(
            windows=spendings(self.book, now),
            paused_s=self.book.paused_s(now),
            factor=self.book.strictness.factor_at(now),
            stretch=self.book.strictness.stretch_at(now),
            shared=self.book.shared,
        )

    async def beat(self) -> None:
        """Say that this process lives, and what is new, if it is time to."""
        silent_s = self._clock.monotonic() - self._talk.told_at
        busy = self._clock.monotonic() - self._spent_at < BUSY_FOR_S
        news = self.book.has_news or not self.book.shared
        if silent_s >= (NEWS_S if news else BUSY_S if busy else IDLE_S):
            await self.tell()

    async def tell(self) -> None:
        """Tell the ledger what is new and hear how things are; nothing happens while it is away."""
        await self._heard(None)

    async def leave(self) -> None:
        """Say that this process is gone, so that the others share its part."""
        await self._talk.leave()

    def close(self) -> asyncio.Task[None] | None:
        """Whoever waits gets Overloaded; returns what is still to be ended."""
        self._closed = True
        for caller in self._waiting:
            self._refuse(caller, overloaded(CLOSED, 1.0))
        return self._agent

    # callers

    def _may_go_unasked(self, now: float) -> bool:
        """Without accounting a pause is all that counts, and it was looked for just now."""
        fresh = now - self.book.heard_at < UNACCOUNTED_S
        unpaused = not self.book.paused_s(now)
        return not self.book.windows and fresh and unpaused

    def _serves(self) -> bool:
        """Starts the agent; False if there is one at work."""
        if self._agent is not None and not self._agent.done():
            return False
        # Of no request: it outlives the one that started it, and its patience.
        self._agent = asyncio.create_task(
            self._serve(), name=f"budget {self.space}", context=Context()
        )
        return True

    def _rose(self, caller: Caller) -> None:
        self._waiting.rose(caller)
        self._changed.set()

    def _least_wait_s(
        self, urgency: Urgency, write: bool, now: float, arrival: float = math.inf
    ) -> float:
        """Of one that would arrive now, or did."""
        ahead = self._ahead(urgency, arrival)
        queue_s = self.book.least_wait_s(urgency.priority, write, ahead, now)
        return max(queue_s, self._denials.wait_s(urgency.priority, write, now))

    def _ahead(self, urgency: Urgency, arrival: float = math.inf) -> tuple[int, int]:
        """(Calls, writes among them) that go first whatever happens."""
        passing = passed_by(urgency.priority, in_turn=not self.book.shared)
        return self._waiting.ahead(urgency, arrival, passing)

    def _head(self, now: float) -> Caller | None:
        return self._waiting.next(self._denials.passed_over(now), in_turn=not self.book.shared)

    def _give(self, grant: Grant) -> None:
        """To whoever is next now and can use it; without takers, back."""
        now = self._clock.monotonic()
        passing = not_for(grant) | self._denials.passed_over(now)
        # A member's goes past the shares of those whose turn it may be by now.
        in_turn = not self.book.shared and grant.priority is not Priority.INTERACTIVE
        while (caller := self._waiting.next(passing, in_turn=in_turn)) is not None:
            self._waiting.went(caller)
            if caller.waits:
                caller.turn.set_result(grant)
                return
        grant.returned(now)

    def _granted(self, grant: Grant) -> None:
        """From here on the agent hears when it is sent, and others do at once if there are any."""
        make_room = grant.on_accepted

        def accepted(now: float) -> None:
            make_room(now)
            if self._denials.make_room():
                self._changed.set()

        grant.on_sent = self._then_telling(grant.on_sent)
        if grant.on_returned is not None:
            grant.on_returned = self._then_telling(grant.on_returned, frees=True)
        if grant.priority is Priority.STRANGER:
            grant.on_accepted = accepted
        self._given, self._spent_at = grant, self._clock.monotonic()
        self._give(grant)

    def _then_telling(
        self, noted: Callable[[float], None], *, frees: bool = False
    ) -> Callable[[float], None]:
        def told(now: float) -> None:
            noted(now)
            if frees:
                self._denials.place_freed()
            self._changed.set()
            if self.book.spaced and self.book.shared and self.book.processes > 1:
                self._report_due = True
                if not self._closed:
                    self._serves()

        return told

    def _refuse(self, caller: Caller, error: Exception) -> None:
        self._waiting.leave(caller)
        if caller.waits:
            caller.turn.set_exception(error)

    def _turn_away(self, now: float) -> None:
        """Those whose time is up, or will be before calls go on."""
        paused_until = now + self.book.paused_s(now)
        soonest = {k: max(paused_until, now + self._denials.wait_s(*k, now)) for k in KINDS}
        for caller in self._waiting:
            if caller.deadline <= now or caller.deadline < soonest[caller.counted, caller.write]:
                self._refuse(caller, self._too_long(caller.counted, caller.write, now))
        for priority, write in KINDS:
            self._turn_away_last(priority, write, now)

    def _turn_away_last(self, priority: Priority, write: bool, now: float) -> None:
        """Those before whom others came, whose requests are older: for the last it is too long."""
        while (last := self._waiting.last(priority, write)) is not None:
            if now + self._least_wait_s(last.urgency, write, now, last.arrival) <= last.deadline:
                return
            self._refuse(last, self._too_long(priority, write, now))

    def _too_long(self, priority: Priority, write: bool, now: float) -> Overloaded:
        """Whoever comes back is the youngest of all, and by then what is known is."""
        ahead = self._ahead(Urgency(priority))
        queue_s = self.book.least_wait_s(priority, write, ahead, now, unheard_s=0.0)
        wait_s = max(queue_s, self._denials.wait_s(priority, write, now))
        return overloaded(PAUSED if self.book.paused_s(now) else SPENT, wait_s)

    # the agent

    async def _serve(self) -> None:
        """While anybody waits: ask for the first, give, or sleep until it is worth asking again."""
        try:
            while self._waiting or self._report_due:
                self._changed.clear()
                now = self._clock.monotonic()
                self._turn_away(now)
                if self._waiting and self._on_its_way(now):
                    # Until it is known when that one left, nobody can say when the next may.
                    await self._rest(self._given.until - now)
                    continue
                head = self._head(now)
                if head is not None:
                    await self._serve_one(head, now)
                elif self._report_due:
                    await self.tell()
                elif self._waiting:
                    await self._rest(self._denials.next_s(now))
        except Exception as error:
            # Whoever waits must not do so for ever.
            log.exception("budget_failed", space=self.space)
            for caller in self._waiting:
                self._refuse(caller, error)

    def _on_its_way(self, now: float) -> bool:
        """Whether the call that was granted last is to leave yet."""
        return self.book.spaced and self._given.sent_at is None and self._given.lasts(now)

    async def _serve_one(self, head: Caller, now: float) -> None:
        priority = head.counted
        verdict = await self._ask(head, now)
        now = self._clock.monotonic()
        if verdict.granted:
            verdict.grant.priority = priority
            self._granted(verdict.grant)
            return
        self._denials.note(priority, verdict, now)
        self._turn_away(now)
        if not verdict.partial:
            await self._rest(verdict.wait_s)

    async def _ask(self, head: Caller, now: float) -> Verdict:
        if self._may_go_unasked(now):
            return Verdict(True, grant=Grant(write=head.write))
        priority = head.counted
        waiting = [
            self._waiting.at(each, write=False) - (each is priority and not head.write)
            for each in Priority
            if each is not Priority.BACKGROUND
        ]
        patience_s = max(0.0, head.deadline - now)
        asking = Asking(priority, head.write, patience_s, tuple(waiting))
        heard = await self._heard(asking)
        if heard is None or heard.granted is None:
            return self.book.decide(
                priority, head.write, self._clock.monotonic(), self._clock.wall()
            )
        if heard.granted:
            return Verdict(True, grant=self.book.granted(heard, head.write, priority))
        whose = heard.writes_only, heard.share_only, heard.strangers_only
        return Verdict(False, heard.wait_s, *whose)

    async def _heard(self, asking: Asking | None) -> Heard | None:
        self._report_due, was_shared = False, self.book.shared
        heard = await self._talk.ask(asking)
        if self.book.shared and not was_shared:
            self._denials.clear()
        return heard

    async def _rest(self, delay_s: float) -> None:
        """Until something changes, at most so long, and not past anybody's deadline."""
        now = self._clock.monotonic()
        first = min((caller.deadline for caller in self._waiting), default=now)
        delay_s = min(delay_s, BELIEVED_S, max(0.0, first - now))
        await nap(self._clock, delay_s, self._changed)
