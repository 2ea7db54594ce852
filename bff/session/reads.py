"""Reading the cached resources under the cache rules: proof, freshness, flights, fallbacks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import structlog

from bff.cache.decide import Verdict
from bff.cache.entry import Entry, Proof
from bff.cache.flight import Course, Flights, Landed
from bff.cache.keys import Scope
from bff.cache.tiered import Found, Seen, Ticket, Tier, TieredCache, Want
from bff.errors import Overloaded, UpstreamError, UpstreamTimeout
from bff.nexudus.budget.contract import Priority, Urgency
from bff.nexudus.intent import Reason
from bff.resources import PROFILES, RELATED
from bff.session import wants
from bff.session.crossing import Crossing, Fly
from bff.session.documents import Documents
from bff.session.interpret import Refusal
from bff.session.landing import Audience, Fetch, Landing, Landings, for_others
from bff.session.lookup import Lookup
from bff.session.principal import Principal
from bff.session.reading import Ask, Caller, Outcome, Reading, Terms
from bff.session.unkept import Unkept

log = structlog.get_logger("bff.session")

A = TypeVar("A", bound=Reading | Refusal | None)


class Reads:
    """The cached reads of one process. `crossing` does what its flights are for.

    `observe(space, resource, tier, outcome)` hears of each. While `refreshes_paused`, nothing is
    revalidated behind a stale answer.
    """

    def __init__(
        self,
        cache: TieredCache,
        flights: Flights,
        landings: Landings,
        crossing: Crossing,
        terms: Terms,
    ) -> None:
        self.documents = Documents(cache, landings.clock)
        self.lookup = Lookup(cache, landings)
        self._unkept = Unkept(cache, self.lookup, landings, flights)
        self._cache = cache
        self._flights = flights
        self._landings = landings
        self._crossing, self._terms = crossing, terms
        self._policies, self._clock = landings.policies, landings.clock
        self.refreshes_paused = False
        self.on_shared_hit: Callable[[Ask, Entry], None] = lambda _ask, _entry: None
        self.observe: Callable[[str, str, str, str], None] = lambda _s, _r, _t, _o: None

    @property
    def fetch(self) -> Fetch:
        """Asking Nexudus past all caches."""
        return self._landings.fetch

    async def profiles(
        self, caller: Caller, *, stale_ok: bool = True, reason: Reason = Reason.INTERACTIVE
    ) -> Reading | Refusal:
        """The caller's profile list; a Reading of it is the proof that Nexudus accepts the token.

        Raises UpstreamError if Nexudus fails and nothing stale may stand in.
        """
        return await self.read(Ask(caller, PROFILES, "", stale_ok, reason=reason))

    async def related(self, caller: Caller, coworker_id: int) -> Reading | Refusal:
        """A related list, shown only to a token that Nexudus accepted within the profile TTL."""
        # Stricter than the bootstrap, where a profile list that is served stale vouches for the
        # related list beside it: there the list is being revalidated, and a refusal of the token
        # is noticed. Here nothing else asks Nexudus about the token.
        ask = Ask(caller, RELATED, str(coworker_id))
        known = await self.lookup.accepted(caller.principal)
        if known is None and self._unkept.suits(ask):
            return await self._observed(ask, self._unkept.read(ask))
        if known is None:
            listed = await self.profiles(caller, stale_ok=False, reason=Reason.PROOF)
            if isinstance(listed, Refusal):
                return listed
            known = listed.entry.fetched_at, listed.expires
        accepted_at, expires = known
        reading = await self.read(ask)
        if isinstance(reading, Refusal):
            return reading
        proven_until = accepted_at + self._policies[PROFILES.name].good.fresh_s
        expires = min(reading.expires, expires)
        return replace(reading, proven_until=proven_until, expires=expires)

    async def proof_of(self, principal: Principal) -> Proof | None:
        """What is known of the caller without asking Nexudus, however old."""
        findings = await self._cache.find(principal.space, (wants.proof_of(principal),))
        found = findings.values[0]
        return found.value if found and isinstance(found.value, Proof) else None

    async def is_current(self, ask: Ask, entry: Entry) -> bool:
        """Whether a read would still find this very entry."""
        findings = await self._cache.find(ask.principal.space, (self._landings.want(ask),))
        found = findings.values[0]
        return found is not None and not found.stands_in and found.value == entry

    def shown(self, asks: Sequence[Ask], readings: Sequence[Reading]) -> None:
        """Readings that `lookup` found fresh are what these reads were answered with."""
        for ask, reading in zip(asks, readings, strict=True):
            self._hit(ask, reading)
            self.observe(
                ask.principal.space, ask.resource.name, reading.tier.value, reading.counts_as
            )

    async def read(self, ask: Ask, seen: Seen | None = None) -> Reading | Refusal:
        """One read under the rules. A shared document needs a caller that is or will be proven.

        `seen`: by a survey for this very read, by the same request.
        """
        return await self._observed(ask, self._read(ask, seen))

    async def unlooked(self, ask: Ask) -> Reading | Refusal | None:
        """As `read`, of what most likely is stored nowhere; None if it has to be looked for."""
        return await self._observed(ask, self._seized(ask))

    async def _observed(self, ask: Ask, reading: Awaitable[A]) -> A:
        space, resource = ask.principal.space, ask.resource.name
        try:
            answer = await reading
        except UpstreamError:
            self.observe(space, resource, Tier.UPSTREAM.value, "error")
            raise
        if isinstance(answer, Refusal):
            told = "error" if answer.is_failure else Outcome.MISS.value
            self.observe(space, resource, Tier.UPSTREAM.value, told)
        elif answer is not None:
            self.observe(space, resource, answer.tier.value, answer.counts_as)
        return answer

    async def _read(self, ask: Ask, seen: Seen | None) -> Reading | Refusal:
        if ask.new and (fetched := await self._seized(ask)) is not None:
            return fetched
        wanted = self.lookup.wanted(ask)
        findings = await self._cache.find(ask.principal.space, wanted, seen)
        if not self._landings.is_there(ask, wanted[0]):  # it stopped sharing meanwhile
            return await self._read(ask, None)
        if ask.gate is not None:
            ask = self._known(ask, findings.values[-1])
        verdict, reading = self.lookup.judged(ask, findings.values)
        if reading is not None and verdict is Verdict.FRESH:
            self._hit(ask, reading)
            return reading
        if reading is not None and verdict is Verdict.STALE and ask.stale_ok:
            self._refresh(ask, findings.ticket)
            return replace(reading, outcome=Outcome.STALE)
        if ask.resource is PROFILES and findings.values[1] is None:
            ask = replace(ask, stranger=True)
        return await self._fetched(ask, findings.ticket, reading)

    def refresh(self, ask: Ask) -> None:
        """Fetch a document anew behind its readers' backs."""
        self._refresh(ask, self._cache.unstamped())

    async def refused(self, principal: Principal, *, on_profiles: bool) -> None:
        """Nexudus answered 401: see `Landings.refused`."""
        await self._landings.refused(principal, on_profiles=on_profiles)

    def _hit(self, ask: Ask, reading: Reading) -> None:
        scope = self._landings.scope_of(ask.principal, ask.resource)
        if ask.gate is None and scope is not Scope.TOKEN:
            self.on_shared_hit(ask, reading.entry)

    def _known(self, ask: Ask, proof: Found | None) -> Ask:
        """The same, of a caller of whom this much is known: a proven one needs no gate."""
        is_proven = self.lookup.acceptance(proof, ask.principal) is not None
        return replace(ask, gate=None if is_proven else ask.gate, stranger=proof is None)

    async def _seized(self, ask: Ask) -> Reading | Refusal | None:
        """Ask Nexudus for what most likely is stored nowhere; None if it has to be looked for."""
        want, *_ = wanted = self.lookup.wanted(ask)
        if not self._crossing.seizes or any(map(self._cache.held, wanted)):
            return None
        ticket, alone = self._cache.unstamped(), ask.gate is not None
        key = wants.shared_key(want, ask.principal, alone=alone)
        if self._flights.is_under_way(self._flight_key(key, ticket)):
            return None  # perhaps a refresh of what is stored, which is better than to wait for it
        if alone or ask.resource is PROFILES:
            ask = replace(ask, stranger=True)  # no proof is stored either, if it comes to a call
        patience_s = self._patience_s(ask, None, key)
        landed = await self._landed(ask, key, ticket, patience_s, self._crossing.seize)
        if landed.value is None:
            return None
        return self._answer(ask, landed.value, joined=False, shared=want.token is None)

    async def _fetched(
        self, ask: Ask, ticket: Ticket, fallback: Reading | None
    ) -> Reading | Refusal:
        """Ask Nexudus, alone or together with others; `fallback` stands in if Nexudus fails."""
        # What an unproven caller brings may be a refusal, so nobody else waits for its flight.
        alone = ask.gate is not None
        while True:
            want = self._landings.want(ask)
            key = wants.shared_key(want, ask.principal, alone=alone)
            shared = want.token is None and not alone
            try:
                patience_s = self._patience_s(ask, fallback, self._flight_key(key, ticket))
                landed = await self._landed(ask, key, ticket, patience_s, self._crossing.fly)
            except UpstreamError as error:
                if fallback is None or (isinstance(error, Overloaded) and not ask.stale_ok):
                    # That there was no call to be had proves nobody: who is to be proven could
                    # bring that about.
                    raise
                return replace(fallback, outcome=Outcome.STALE_ERROR)
            landing = landed.value
            if landing is None:
                continue  # it was begun without a look, and there is something: here it was seen
            if landed.joined and not self._may_have(ask, want, landing, shared=shared):
                # One flight for each token from here on: a queue of such flights, one for each
                # caller in turn, would keep the last caller waiting for all of them.
                alone = True
                continue
            failed = isinstance(landing.outcome, Refusal) and landing.outcome.is_failure
            if failed and fallback is not None:
                return replace(fallback, outcome=Outcome.STALE_ERROR)
            return self._answer(ask, landing, joined=landed.joined, shared=shared)

    def _answer(
        self, ask: Ask, landing: Landing, *, joined: bool, shared: bool
    ) -> Reading | Refusal:
        """What a flight brought, for its leader or for one who `joined` it."""
        for_another = joined and shared
        if isinstance(landing.outcome, Refusal):
            return landing.outcome.for_others() if for_another else landing.outcome
        entry = for_others(landing.outcome.entry) if for_another else landing.outcome.entry
        fresh = self._policies[ask.resource.name].of(entry)
        return Reading(
            ask.resource, entry, _outcome(landing, joined=joined), landing.tier, fresh,
            landing.stored, upstream_s=landing.took_s, ident=ask.ident,
            document=None if joined else landing.outcome.document,
        )  # fmt: skip

    async def _landed(
        self, ask: Ask, key: str, ticket: Ticket, patience_s: float | None, fly: Fly
    ) -> Landed[Landing | None]:
        """The flight's result, waited for as long as its caller has time; the flight goes on."""
        priority = Priority.STRANGER if ask.stranger else Priority.INTERACTIVE
        urgency = Urgency(priority, ask.caller.until or self._clock.monotonic())
        course = Course()
        try:
            async with asyncio.timeout(patience_s):
                return await self._flights.run(
                    self._flight_key(key, ticket),
                    ask.principal.space,
                    wants.known_tags(self._landings.want(ask), ask),
                    lambda: fly(ask, key, ticket, urgency, course),
                    course,
                )
        except TimeoutError:
            raise UpstreamTimeout("Nexudus did not answer within the deadline.") from None

    def _patience_s(self, ask: Ask, fallback: Reading | None, flight_key: str) -> float | None:
        """How long this caller waits: less where something stale stands in, which is shown then.

        Patience is one for the whole request, and one for all who wait for a flight. But not where
        the read is to prove the caller (`stale_ok` is False): a slow Nexudus may be about to refuse
        the token.
        """
        until, began, now = ask.caller.until, ask.caller.began, self._clock.monotonic()
        patience_s = None if until is None else max(0.0, until - now)
        if fallback is None or not ask.stale_ok:
            return patience_s
        waited_s = max(self._flights.awaited_s(flight_key), 0.0 if began is None else now - began)
        stale_s = max(0.0, self._terms.stale_patience_s - waited_s)
        return stale_s if patience_s is None else min(patience_s, stale_s)

    def _may_have(self, ask: Ask, want: Want, landing: Landing, *, shared: bool) -> bool:
        """Whether a caller that joined a flight may be given its result."""
        match landing.audience:
            case Audience.LEADER:
                return False
            case Audience.SAME_TOKEN:
                return not shared
            case Audience.PROVEN:
                # The space may have stopped sharing since the flight began.
                return not shared or self._landings.want(ask) == want

    def _refresh(self, ask: Ask, ticket: Ticket) -> None:
        """Revalidate behind a stale answer, once per key, unless too many do."""
        if self.refreshes_paused or ask.gate is not None:
            return  # behind a gate, nobody knows yet whether its caller may have it
        ask = replace(ask, reason=Reason.REFRESH)
        if self._flights.behind_of(ask.principal.space) >= self._terms.refreshes:
            return
        urgency = Urgency(Priority.BACKGROUND, self._clock.monotonic())
        want = self._landings.want(ask)
        key = wants.shared_key(want, ask.principal, alone=False)
        # Whoever joins has nothing stale to go on with, and does not wait behind all others.
        course = Course(joined=lambda: urgency.raise_to(Priority.INTERACTIVE))

        async def refresh() -> Landing:
            try:
                return await self._crossing.fly(ask, key, ticket, urgency, course)
            except UpstreamError as error:
                log.info("refresh_failed", resource=ask.resource.name, reason=str(error))
                raise

        self._flights.start(
            self._flight_key(key, ticket),
            ask.principal.space,
            wants.known_tags(want, ask),
            refresh,
            course,
        )

    def _flight_key(self, shared_key: str, ticket: Ticket) -> str:
        """The same within this process: while invalidations cannot be heard, only for callers
        between which there was none."""
        heard = self._cache.memory_usable or ticket.stamp is None
        return shared_key if heard else f"{shared_key}|{ticket.stamp}"


def _outcome(landing: Landing, *, joined: bool) -> Outcome:
    if landing.tier is Tier.L2:
        return Outcome.HIT
    alone = landing.took_s is not None and not joined
    return Outcome.MISS if alone else Outcome.COALESCED
