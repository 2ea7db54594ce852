"""A flight's body where several processes serve a space: one of them calls, the others look."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import replace

from bff.cache.decide import Verdict
from bff.cache.endings import Ending, Failed, Nothing, Stored, Unshared
from bff.cache.flight import Course
from bff.cache.lead import Lead, Lock, Told
from bff.cache.leadership import Leadership
from bff.cache.tiered import Kept, Ticket, Tier, TieredCache
from bff.errors import UpstreamError, UpstreamTimeout
from bff.nexudus.budget.contract import Priority, Urgency
from bff.nexudus.retry import retry_after_s
from bff.resources import PROFILES
from bff.session import wants
from bff.session.interpret import Good, Refusal
from bff.session.judging import judged
from bff.session.landing import Audience, Landing, Landings
from bff.session.reading import Ask

Fly = Callable[[Ask, str, Ticket, Urgency, Course], Awaitable[Landing | None]]


class Crossing:
    """Flights of one process among those of the others. `within_s` bounds the wait for them."""

    def __init__(
        self, cache: TieredCache, landings: Landings, leadership: Leadership, *, within_s: float
    ) -> None:
        self._cache = cache
        self._landings = landings
        self._leadership = leadership
        self._within_s = within_s

    async def fly(
        self, ask: Ask, key: str, ticket: Ticket, urgency: Urgency, course: Course
    ) -> Landing:
        """Call Nexudus, unless another process brought the document meanwhile or fails to.

        `key`: what callers share it by, in every process. Raises UpstreamError.
        """
        clock, space = self._landings.clock, ask.principal.space
        until = clock.monotonic() + self._within_s
        told: Told | None = None
        while True:
            if told is not None or ticket.stamp is None:
                landing, ticket = await self._look(ask)
                if landing is not None:
                    return landing if told is None else replace(landing, tier=Tier.UPSTREAM)
            left_s = until - clock.monotonic()
            if told is not None and left_s <= 0:
                raise UpstreamTimeout("Nexudus did not answer within the deadline.")
            label = self._landings.want(ask).address.container.label
            claimed = await self._leadership.claim(
                Lock(space, key, label, ticket.stamp),
                within_s=left_s,
                urgent=urgency.priority is not Priority.BACKGROUND,
                after=told,
            )
            if isinstance(claimed, Lead):
                return await self._led(claimed, ask, ticket, urgency, course)
            if isinstance(claimed.ending, Failed):
                raise claimed.ending.as_error()
            told = claimed

    @property
    def seizes(self) -> bool:
        """Whether `seize` can come to anything."""
        return self._leadership.seizes

    async def seize(
        self, ask: Ask, key: str, ticket: Ticket, urgency: Urgency, course: Course
    ) -> Landing | None:
        """As `fly`, of what most likely is stored nowhere and fetched by nobody.

        Whether it is so is asked in the command that would say so to others: None if it is not, or
        if nobody knows, and then it has to be looked for.
        """
        want = self._landings.want(ask)
        # What else there may be to go by: what only this token was told, or a proof.
        wanted = dict.fromkeys((want, wants.own_of(ask)))
        if ask.resource is PROFILES or ask.gate is not None:
            wanted[wants.proof_of(ask.principal)] = None
        stored = [address for each in wanted for address in (each.address, *each.older)]
        lock = Lock(ask.principal.space, key, want.address.container.label, None)
        # What a hint names is worth nothing without the list: it goes with that, or is looked for.
        beside = None if ask.gate is None else wants.profiles_of(ask.caller).key
        lead = await self._leadership.seize(lock, stored, beside=beside)
        if lead is None:
            return None
        return await self._led(lead, ask, Ticket(ticket.memory, lead.lock.stamp), urgency, course)

    async def _led(
        self, lead: Lead, ask: Ask, ticket: Ticket, urgency: Urgency, course: Course
    ) -> Landing:
        unwatch = urgency.watch(lead.hurry)
        if urgency.priority is Priority.BACKGROUND:
            lead.when_urgent(lambda: urgency.raise_to(Priority.INTERACTIVE))
        try:
            with lead:
                try:
                    landing = await self._landings.land(ask, ticket, urgency, course, lead.farewell)
                except UpstreamError:
                    if not course.begun:
                        # This process could not call; the others may be able to.
                        lead.ending = Unshared()
                    raise
                lead.ending = _ending(landing, self._landings.clock.wall())
                lead.released = lead.farewell is not None and _came_with_farewell(landing)
                return landing
        finally:
            unwatch()

    async def _look(self, ask: Ask) -> tuple[Landing | None, Ticket]:
        """What the shared store has by now, if it is fresh, and a ticket for a call that follows.

        What is in this process was looked at before, and may be older.
        """
        wanted = [self._landings.want(ask)]
        if ask.resource is PROFILES:
            wanted.append(wants.proof_of(ask.principal))
        findings = await self._cache.look(ask.principal.space, wanted)
        if self._landings.want(ask) != wanted[0]:  # the space stopped sharing meanwhile
            return None, findings.ticket
        proof = findings.values[1] if ask.resource is PROFILES else None
        policy = self._landings.policies[ask.resource.name]
        verdict, reading = judged(
            ask, findings.values[0], proof, policy, self._landings.clock.wall()
        )
        if reading is None or verdict is not Verdict.FRESH:
            return None, findings.ticket
        good = Good(reading.entry, None, storable=True)
        return Landing(good, Kept.EVERYWHERE, Audience.PROVEN, None, Tier.L2), findings.ticket


def _came_with_farewell(landing: Landing) -> bool:
    return landing.audience is Audience.PROVEN and landing.kept is Kept.EVERYWHERE


def _ending(landing: Landing, wall: float) -> Ending:
    """What the other processes are told: never what Nexudus said."""
    match landing.outcome:
        case Refusal(status=status) as refusal if refusal.is_failure:
            wait_s = retry_after_s(refusal.answer.headers, wall)
            return Failed(
                status=status, retry_after_s=None if wait_s is None else math.ceil(wait_s)
            )
        case Good(storable=True) if landing.stored and landing.audience is Audience.PROVEN:
            return Stored() if landing.shared else Unshared()
        case Good(storable=True) if landing.audience is Audience.PROVEN:
            return Nothing()  # overtaken by an invalidation: whoever waits is to ask again
        case _:
            return Unshared()
