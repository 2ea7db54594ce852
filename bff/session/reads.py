"""Reading the cached resources under the cache rules: proof, freshness, flights, fallbacks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from bff.cache import tags as tagging
from bff.cache.decide import Verdict
from bff.cache.entry import Entry, Proof
from bff.cache.flight import Course, Flights, Landed
from bff.cache.tiered import Found, Ticket, Tier, TieredCache, Want
from bff.errors import Overloaded, UpstreamError, UpstreamTimeout
from bff.nexudus.budget.contract import Priority, Urgency
from bff.nexudus.intent import Reason
from bff.resources import PROFILES, RELATED
from bff.session import wants
from bff.session.crossing import Crossing
from bff.session.documents import Documents
from bff.session.interpret import Refusal
from bff.session.judging import accepted, judged
from bff.session.landing import Audience, Fetch, Landing, Landings, for_others
from bff.session.principal import Principal
from bff.session.reading import Ask, Caller, Outcome, Reading

log = structlog.get_logger("bff.session")


@dataclass(frozen=True, slots=True)
class Terms:
    """How long Nexudus is waited for where something stale is at hand, and refreshes at a time."""

    stale_patience_s: float = 1.0
    refreshes: int = 16


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
        terms: Terms = Terms(),
    ) -> None:
        self.documents = Documents(cache, landings.clock)
        self._cache = cache
        self._flights = flights
        self._landings = landings
        self._crossing = crossing
        self._policies = landings.policies
        self._clock = landings.clock
        self._terms = terms
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
        known = await self._accepted(caller.principal)
        if known is None:
            listed = await self.profiles(caller, stale_ok=False, reason=Reason.PROOF)
            if isinstance(listed, Refusal):
                return listed
            known = listed.entry.fetched_at, listed.expires
        accepted_at, expires = known
        reading = await self.read(Ask(caller, RELATED, str(coworker_id)))
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

    async def read(self, ask: Ask) -> Reading | Refusal:
        """One read under the rules. A shared document needs a caller that is or will be proven."""
        space, resource = ask.principal.space, ask.resource.name
        try:
            answer = await self._read(ask)
        except UpstreamError:
            self.observe(space, resource, Tier.UPSTREAM.value, "error")
            raise
        if isinstance(answer, Refusal):
            told = "error" if answer.is_failure else Outcome.MISS.value
            self.observe(space, resource, Tier.UPSTREAM.value, told)
        else:
            self.observe(space, resource, answer.tier.value, answer.counts_as)
        return answer

    async def _read(self, ask: Ask) -> Reading | Refusal:
        want = self._landings.want(ask)
        wanted = self._wanted(ask, want)
        findings = await self._cache.find(ask.principal.space, wanted, ask.caller.glance)
        if self._landings.want(ask) != want:  # the space stopped sharing while the store was asked
            return await self._read(ask)
        if ask.gate is not None:
            ask = self._known(ask, findings.values[-1])
        verdict, reading = self._judged(ask, findings.values)
        if reading is not None and verdict is Verdict.FRESH:
            if want.token is None and ask.gate is None:
                self.on_shared_hit(ask, reading.entry)
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

    def _wanted(self, ask: Ask, want: Want) -> tuple[Want, ...]:
        if ask.resource is PROFILES:
            return want, wants.proof_of(ask.principal)
        alone = want.token is not None or self._is_fresh_here(ask, want)
        found = (want,) if alone else (want, wants.own_of(ask))
        return found if ask.gate is None else (*found, wants.proof_of(ask.principal))

    def _known(self, ask: Ask, proof: Found | None) -> Ask:
        """The same, of a caller of whom this much is known: a proven one needs no gate."""
        is_proven = self._acceptance(proof, ask.principal) is not None
        return replace(ask, gate=None if is_proven else ask.gate, stranger=proof is None)

    def _is_fresh_here(self, ask: Ask, want: Want) -> bool:
        """Whether nothing better can be found: most tokens were told nothing of their own, and to
        look for that would cost each of their reads a question to the shared store."""
        policy, now = self._policies[ask.resource.name], self._clock.wall()
        return judged(ask, self._cache.held(want), None, policy, now)[0] is Verdict.FRESH

    def _judged(self, ask: Ask, values: tuple[Found | None, ...]) -> tuple[Verdict, Reading | None]:
        policy, now = self._policies[ask.resource.name], self._clock.wall()
        if ask.resource is PROFILES:
            return judged(ask, values[0], values[1], policy, now)
        # Of a shared list, and of what this token alone was told instead of it, the better.
        return min((judged(ask, found, None, policy, now) for found in values), key=_rank)

    async def _fetched(
        self, ask: Ask, ticket: Ticket, fallback: Reading | None
    ) -> Reading | Refusal:
        """Ask Nexudus, alone or together with others; `fallback` stands in if Nexudus fails."""
        # What an unproven caller brings may be a refusal, so nobody else waits for its flight.
        alone = ask.gate is not None
        while True:
            want = self._landings.want(ask)
            key = self._shared_key(ask, alone=alone)
            shared = want.token is None and not alone
            try:
                patience_s = self._patience_s(ask, fallback, self._flight_key(key, ticket))
                landed = await self._landed(ask, key, ticket, patience_s)
            except UpstreamError as error:
                if fallback is None or (isinstance(error, Overloaded) and not ask.stale_ok):
                    # That there was no call to be had proves nobody: who is to be proven could
                    # bring that about.
                    raise
                return replace(fallback, outcome=Outcome.STALE_ERROR)
            landing = landed.value
            if landed.joined and not self._may_have(ask, want, landing, shared=shared):
                # One flight for each token from here on: a queue of such flights, one for each
                # caller in turn, would keep the last caller waiting for all of them.
                alone = True
                continue
            if isinstance(landing.outcome, Refusal):
                if landing.outcome.is_failure and fallback is not None:
                    return replace(fallback, outcome=Outcome.STALE_ERROR)
                return landing.outcome.for_others() if landed.joined and shared else landing.outcome
            entry = landing.outcome.entry
            if landed.joined and shared:
                entry = for_others(entry)
            fresh = self._policies[ask.resource.name].of(entry)
            return Reading(
                ask.resource, entry, _outcome(landed), landing.tier, fresh, landing.stored,
                upstream_s=landing.took_s, ident=ask.ident,
            )  # fmt: skip

    async def _landed(
        self, ask: Ask, key: str, ticket: Ticket, patience_s: float | None
    ) -> Landed[Landing]:
        """The flight's result, waited for as long as its caller has time; the flight goes on."""
        priority = Priority.STRANGER if ask.stranger else Priority.INTERACTIVE
        urgency = Urgency(priority, ask.caller.until or self._clock.monotonic())
        course = Course()
        try:
            async with asyncio.timeout(patience_s):
                return await self._flights.run(
                    self._flight_key(key, ticket),
                    ask.principal.space,
                    self._known_tags(ask),
                    lambda: self._crossing.fly(ask, key, ticket, urgency, course),
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
        waited_s = max(self._flights.age_s(flight_key), 0.0 if began is None else now - began)
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
        if self.refreshes_paused:
            return
        if ask.gate is not None:
            return  # nobody knows yet whether its caller may have it
        ask = replace(ask, reason=Reason.REFRESH)
        if self._flights.behind_of(ask.principal.space) >= self._terms.refreshes:
            return
        urgency = Urgency(Priority.BACKGROUND, self._clock.monotonic())
        key = self._shared_key(ask, alone=False)
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
            self._known_tags(ask),
            refresh,
            course,
        )

    async def _accepted(self, principal: Principal) -> tuple[float, float] | None:
        findings = await self._cache.find(principal.space, (wants.proof_of(principal),))
        return self._acceptance(findings.values[0], principal)

    def _acceptance(self, proof: Found | None, principal: Principal) -> tuple[float, float] | None:
        policy = self._policies[PROFILES.name]
        return accepted(proof, policy, self._clock.wall(), principal.expires_at)

    def _known_tags(self, ask: Ask) -> frozenset[str]:
        """What is known before a fetch to drop its result."""
        want = self._landings.want(ask)
        tags = {tagging.resource(ask.resource.name), want.address.container.label}
        if want.token is not None:
            tags |= {tagging.proof(digest) for digest in ask.principal.digests}
        return frozenset(tags)

    def _shared_key(self, ask: Ask, *, alone: bool) -> str:
        """What a flight is shared by: callers of one document, or `alone` those with one token."""
        want = self._landings.want(ask)
        return f"{want.key}|{ask.principal.digest}" if alone and want.token is None else want.key

    def _flight_key(self, shared_key: str, ticket: Ticket) -> str:
        """The same within this process: while invalidations cannot be heard, only for callers
        between which there was none."""
        heard = self._cache.memory_usable or ticket.stamp is None
        return shared_key if heard else f"{shared_key}|{ticket.stamp}"


def _outcome(landed: Landed[Landing]) -> Outcome:
    if landed.value.tier is Tier.L2:
        return Outcome.HIT
    alone = landed.value.took_s is not None and not landed.joined
    return Outcome.MISS if alone else Outcome.COALESCED


def _rank(one: tuple[Verdict, Reading | None]) -> Verdict:
    return one[0]
