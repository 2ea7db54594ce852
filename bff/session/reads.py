"""Reading the cached resources under the cache rules: proof, freshness, flights, fallbacks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from bff.cache import tags as tagging
from bff.cache.decide import Verdict, judge
from bff.cache.entry import Entry, Proof
from bff.cache.flight import Flights, Landed
from bff.cache.tiered import Ticket, Tier, TieredCache, Want
from bff.errors import UpstreamError, UpstreamTimeout
from bff.nexudus.budget.contract import Priority, Urgency
from bff.resources import PROFILES, RELATED
from bff.session import wants
from bff.session.crossing import Crossing
from bff.session.interpret import Refusal
from bff.session.judging import judged
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
    """The cached reads of one process. `crossing` does what its flights are for."""

    def __init__(
        self,
        cache: TieredCache,
        flights: Flights,
        landings: Landings,
        crossing: Crossing,
        terms: Terms = Terms(),
    ) -> None:
        self._cache = cache
        self._flights = flights
        self._landings = landings
        self._crossing = crossing
        self._policies = landings.policies
        self._clock = landings.clock
        self._terms = terms
        self.refreshing = 0
        self.on_shared_hit: Callable[[Ask, Entry], None] = lambda _ask, _entry: None

    @property
    def fetch(self) -> Fetch:
        """Asking Nexudus past all caches."""
        return self._landings.fetch

    async def profiles(self, caller: Caller, *, stale_ok: bool = True) -> Reading | Refusal:
        """The caller's profile list; a Reading of it is the proof that Nexudus accepts the token.

        Raises UpstreamError if Nexudus fails and nothing stale may stand in.
        """
        return await self.read(Ask(caller, PROFILES, "", stale_ok))

    async def related(self, caller: Caller, coworker_id: int) -> Reading | Refusal:
        """A related list, shown only to a token that Nexudus accepted within the profile TTL."""
        # Stricter than the bootstrap, where a profile list that is served stale vouches for the
        # related list beside it: there the list is being revalidated, and a refusal of the token
        # is noticed. Here nothing else asks Nexudus about the token.
        accepted_at = await self._accepted_at(caller.principal)
        if accepted_at is None:
            listed = await self.profiles(caller, stale_ok=False)
            if isinstance(listed, Refusal):
                return listed
            accepted_at = listed.entry.fetched_at
        reading = await self.read(Ask(caller, RELATED, str(coworker_id)))
        if isinstance(reading, Refusal):
            return reading
        proven_until = accepted_at + self._policies[PROFILES.name].good.fresh_s
        return replace(reading, proven_until=proven_until)

    async def is_proven(self, principal: Principal) -> bool:
        """Whether Nexudus accepted the token within the profile TTL; asks only the cache."""
        return await self._accepted_at(principal) is not None

    async def proof_of(self, principal: Principal) -> Proof | None:
        """What is known of the caller without asking Nexudus, however old."""
        findings = await self._cache.find(principal.space, (wants.proof_of(principal),))
        found = findings.values[0]
        return found.value if found and isinstance(found.value, Proof) else None

    async def is_current(self, ask: Ask, entry: Entry) -> bool:
        """Whether a read would still find this very entry."""
        findings = await self._cache.find(ask.principal.space, (self._landings.want(ask),))
        found = findings.values[0]
        return found is not None and found.value == entry

    async def read(self, ask: Ask) -> Reading | Refusal:
        """One read under the rules. A shared document needs a caller that is or will be proven."""
        want = self._landings.want(ask)
        wanted = [want]
        if ask.resource is PROFILES:
            wanted.append(wants.proof_of(ask.principal))
        findings = await self._cache.find(ask.principal.space, wanted)
        if self._landings.want(ask) != want:  # the space stopped sharing while the store was asked
            return await self.read(ask)
        proof = findings.values[1] if ask.resource is PROFILES else None
        policy, now = self._policies[ask.resource.name], self._clock.wall()
        verdict, reading = judged(ask, findings.values[0], proof, policy, now)
        if reading is not None and verdict is Verdict.FRESH:
            if want.token is None and ask.gate is None:
                self.on_shared_hit(ask, reading.entry)
            return reading
        if reading is not None and verdict is Verdict.STALE and ask.stale_ok:
            self._refresh(ask, findings.ticket)
            return replace(reading, outcome=Outcome.STALE)
        return await self._fetched(ask, findings.ticket, reading)

    async def refused(self, principal: Principal, *, on_profiles: bool) -> None:
        """Nexudus answered 401: see `Landings.refused`."""
        await self._landings.refused(principal, on_profiles=on_profiles)

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
                landed = await self._landed(ask, key, ticket, self._patience_s(ask, fallback))
            except UpstreamError:
                if fallback is None:
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
                upstream_s=landing.took_s,
            )  # fmt: skip

    async def _landed(
        self, ask: Ask, key: str, ticket: Ticket, patience_s: float | None
    ) -> Landed[Landing]:
        """The flight's result, waited for as long as its caller has time; the flight goes on."""
        urgency = Urgency(Priority.INTERACTIVE)
        try:
            async with asyncio.timeout(patience_s):
                return await self._flights.run(
                    self._flight_key(key, ticket),
                    ask.principal.space,
                    self._known_tags(ask),
                    lambda: self._crossing.fly(ask, key, ticket, urgency),
                )
        except TimeoutError:
            raise UpstreamTimeout("Nexudus did not answer within the deadline.") from None

    def _patience_s(self, ask: Ask, fallback: Reading | None) -> float | None:
        """How long this caller waits: less where something stale stands in, which is shown then.

        But not where the read is to prove the caller (`stale_ok` is False): a slow Nexudus may be
        about to refuse the token.
        """
        until = ask.caller.until
        patience_s = None if until is None else max(0.0, until - self._clock.monotonic())
        if fallback is None or not ask.stale_ok:
            return patience_s
        stale_s = self._terms.stale_patience_s
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
        if self.refreshing >= self._terms.refreshes:
            return
        urgency = Urgency(Priority.BACKGROUND)
        key = self._shared_key(ask, alone=ask.gate is not None)

        async def refresh() -> Landing:
            self.refreshing += 1
            try:
                return await self._crossing.fly(ask, key, ticket, urgency)
            except UpstreamError as error:
                log.info("refresh_failed", resource=ask.resource.name, reason=str(error))
                raise
            finally:
                self.refreshing -= 1

        self._flights.start(
            self._flight_key(key, ticket),
            ask.principal.space,
            self._known_tags(ask),
            refresh,
            # Whoever joins has nothing stale to go on with, and does not wait behind all others.
            joined=lambda: urgency.raise_to(Priority.INTERACTIVE),
        )

    async def _accepted_at(self, principal: Principal) -> float | None:
        """When Nexudus accepted the token, unless that is too long ago to count."""
        proof = await self.proof_of(principal)
        if proof is None:
            return None
        fresh, now = self._policies[PROFILES.name].good, self._clock.wall()
        verdict = judge(proof.accepted_at, now, fresh, principal.expires_at)
        return proof.accepted_at if verdict is Verdict.FRESH else None

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
