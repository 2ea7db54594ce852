"""Lists that their caller is given and nobody keeps: what Nexudus told that very token.

Without the shared store, and deaf to invalidations made elsewhere, a process keeps next to nothing.
To prove a token then takes a call each time, which brings the other tokens nothing. What is asked
for under the caller's own token, and given to no other, needs no proof: it is as good as passed
through, and goes where such calls go, behind those who have no session yet.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from bff.cache.flight import Course, Flights
from bff.cache.tiered import Tier, TieredCache
from bff.errors import Overloaded, UpstreamError, UpstreamTimeout
from bff.nexudus.budget.contract import Priority, Urgency
from bff.resources import PROFILES
from bff.session import wants
from bff.session.interpret import Refusal
from bff.session.landing import Landing, Landings
from bff.session.lookup import Lookup
from bff.session.reading import Ask, Outcome, Reading

ALONE = "unkept"
"""Tells its flights from those whose results are kept."""


def suits(ask: Ask, cache: TieredCache, landings: Landings, flights: Flights) -> bool:
    """Whether a list is read like this where its token has no fresh proof: nobody finds later what
    is fetched now, and the proof is not on its way already, perhaps for the caller's session."""
    if cache.bus is None or cache.bus.trusted or cache.store.available:
        return False
    return not flights.is_under_way(landings.want(Ask(ask.caller, PROFILES, "")).key)


class Unkept:
    """Of one process. One token's reads of one document share a call; other tokens never join."""

    def __init__(
        self, cache: TieredCache, lookup: Lookup, landings: Landings, flights: Flights
    ) -> None:
        self._cache = cache
        self._lookup = lookup
        self._landings = landings
        self._flights = flights

    def suits(self, ask: Ask) -> bool:
        """Whether a list is read like this if its token has no fresh proof."""
        return suits(ask, self._cache, self._landings, self._flights)

    async def read(self, ask: Ask) -> Reading | Refusal:
        """Ask Nexudus; if it fails, what stood here before, of a token that it once accepted.

        That there was no call to be had is no failure of Nexudus. Raises UpstreamError.
        """
        try:
            landing, joined = await self._landed(ask)
        except Overloaded:
            raise
        except UpstreamError:
            standing_in = await self._standing_in(ask)
            if standing_in is None:
                raise
            return standing_in
        outcome = landing.outcome
        if isinstance(outcome, Refusal):
            standing_in = await self._standing_in(ask) if outcome.is_failure else None
            return outcome if standing_in is None else standing_in
        told = Outcome.COALESCED if joined else Outcome.MISS
        fresh = self._landings.policies[ask.resource.name].of(outcome.entry)
        return Reading(
            ask.resource, outcome.entry, told, Tier.UPSTREAM, fresh,
            stored=False, upstream_s=landing.took_s, ident=ask.ident,
        )  # fmt: skip

    async def _landed(self, ask: Ask) -> tuple[Landing, bool]:
        now, until = self._landings.clock.monotonic(), ask.caller.until
        # Calls that are passed through go by the beginning of their request, and so does this.
        began = now if ask.caller.began is None else ask.caller.began
        urgency, course = Urgency(Priority.FORWARDED, began), Course()
        own = wants.own_of(ask)
        try:
            async with asyncio.timeout(None if until is None else max(0.0, until - now)):
                landed = await self._flights.run(
                    f"{own.key}|{ALONE}",
                    ask.principal.space,
                    wants.known_tags(own, ask),
                    lambda: self._landings.relay(ask, urgency, course),
                    course,
                )
        except TimeoutError:
            raise UpstreamTimeout("Nexudus did not answer within the deadline.") from None
        return landed.value, landed.joined

    async def _standing_in(self, ask: Ask) -> Reading | None:
        """What this process held before, while Nexudus fails, if the token was proven then."""
        listed = Ask(ask.caller, PROFILES, "")
        first, rest = self._lookup.wanted(listed), self._lookup.wanted(ask)
        values = (await self._cache.find(ask.principal.space, (*first, *rest))).values
        _, proven = self._lookup.judged(listed, values[: len(first)])
        _, reading = self._lookup.judged(ask, values[len(first) :])
        if proven is None or reading is None:
            return None
        return replace(reading, outcome=Outcome.STALE_ERROR)
