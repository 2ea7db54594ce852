"""Reading the cached resources under the cache rules: proof, freshness, flights, fallbacks."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

import structlog

from bff.cache import tags as tagging
from bff.cache.decide import Verdict, judge
from bff.cache.entry import Entry, Proof
from bff.cache.flight import Flights, Landed
from bff.cache.invalidation import Invalidator
from bff.cache.keys import Scope
from bff.cache.tiered import Fill, Found, Ticket, Tier, TieredCache, Want
from bff.clock import Clock
from bff.errors import UpstreamError, UpstreamTimeout
from bff.nexudus.answers import Answer
from bff.nexudus.budget.contract import Priority, Urgency
from bff.nexudus.headers import Variants
from bff.resources import PROFILES, RELATED, Resource, coworkers_of, user_of
from bff.session import wants
from bff.session.interpret import Good, Refusal, interpret
from bff.session.principal import Principal
from bff.session.reading import Ask, Caller, Outcome, Policy, Reading

log = structlog.get_logger("bff.session")

Fetch = Callable[[Principal, str, Variants, Urgency], Awaitable[Answer]]
"""(who, path, variants, how soon) -> Nexudus' answer; raises UpstreamError."""


class _Audience(enum.Enum):
    """Whom the result of a flight may be given to."""

    PROVEN = enum.auto()
    """Whoever waits for it: callers are proven before they join a shared flight."""
    SAME_TOKEN = enum.auto()
    LEADER = enum.auto()


@dataclass(frozen=True, slots=True)
class _Landing:
    outcome: Good | Refusal
    stored: bool
    audience: _Audience
    took_s: float


class Reads:
    """The cached reads of one process."""

    def __init__(
        self,
        cache: TieredCache,
        flights: Flights,
        invalidator: Invalidator,
        fetch: Fetch,
        policies: Mapping[str, Policy],
        clock: Clock,
    ) -> None:
        self._cache = cache
        self._flights = flights
        self._invalidator = invalidator
        self.fetch = fetch
        self._policies = policies
        self._clock = clock
        self.scope_of: Callable[[Principal, Resource], Scope] = lambda _, resource: resource.scope
        self.on_shared_hit: Callable[[Ask, Entry], None] = lambda _ask, _entry: None

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
        findings = await self._cache.find(ask.principal.space, (self._want(ask),))
        found = findings.values[0]
        return found is not None and found.value == entry

    async def read(self, ask: Ask) -> Reading | Refusal:
        """One read under the rules. A shared document needs a caller that is or will be proven."""
        want = self._want(ask)
        wanted = [want]
        if ask.resource is PROFILES:
            wanted.append(wants.proof_of(ask.principal))
        findings = await self._cache.find(ask.principal.space, wanted)
        if self._want(ask) != want:  # the space stopped sharing while the store was asked
            return await self.read(ask)
        verdict, reading = self._judged(ask, findings.values)
        if reading is not None and verdict is Verdict.FRESH:
            if want.token is None and ask.gate is None:
                self.on_shared_hit(ask, reading.entry)
            return reading
        if reading is not None and verdict is Verdict.STALE and ask.stale_ok:
            self._refresh(ask, findings.ticket)
            return replace(reading, outcome=Outcome.STALE)
        return await self._fetched(ask, findings.ticket, reading)

    async def refused(self, principal: Principal, *, on_profiles: bool) -> None:
        """Nexudus answered 401. On the profile list the token is dead; elsewhere it may not be.

        A 401 elsewhere withdraws the proof, so that the next cached read asks Nexudus.
        """
        tag = tagging.token if on_profiles else tagging.proof
        tags = frozenset(tag(digest) for digest in principal.digests)
        cause = "token_refused" if on_profiles else "proof_withdrawn"
        await self._invalidator.invalidate(principal.space, tags, cause)

    async def _fetched(
        self, ask: Ask, ticket: Ticket, fallback: Reading | None
    ) -> Reading | Refusal:
        """Ask Nexudus, alone or together with others; `fallback` stands in if Nexudus fails."""
        # What an unproven caller brings may be a refusal, so nobody else waits for its flight.
        alone = ask.gate is not None
        while True:
            want = self._want(ask)
            key = self._flight_key(ask, want, ticket, alone=alone)
            shared = want.token is None and not alone
            try:
                landed = await self._landed(ask, key, ticket)
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
                entry = _for_others(entry)
            outcome = Outcome.COALESCED if landed.joined else Outcome.MISS
            fresh = self._policies[ask.resource.name].of(entry)
            return Reading(
                ask.resource, entry, outcome, Tier.UPSTREAM, fresh, landing.stored,
                upstream_s=landing.took_s,
            )  # fmt: skip

    async def _landed(self, ask: Ask, key: str, ticket: Ticket) -> Landed[_Landing]:
        """The flight's result, waited for as long as its caller has time; the flight goes on."""
        until = ask.caller.until
        patience_s = None if until is None else max(0.0, until - self._clock.monotonic())
        try:
            async with asyncio.timeout(patience_s):
                return await self._flights.run(
                    key,
                    ask.principal.space,
                    self._known_tags(ask),
                    lambda: self._land(ask, ticket, Urgency(Priority.INTERACTIVE)),
                )
        except TimeoutError:
            raise UpstreamTimeout("Nexudus did not answer within the deadline.") from None

    def _may_have(self, ask: Ask, want: Want, landing: _Landing, *, shared: bool) -> bool:
        """Whether a caller that joined a flight may be given its result."""
        match landing.audience:
            case _Audience.LEADER:
                return False
            case _Audience.SAME_TOKEN:
                return not shared
            case _Audience.PROVEN:
                # The space may have stopped sharing since the flight began.
                return not shared or self._want(ask) == want

    def _refresh(self, ask: Ask, ticket: Ticket) -> None:
        """Revalidate behind a stale answer, once per key."""

        async def refresh() -> _Landing | None:
            try:
                return await self._land(ask, ticket, Urgency(Priority.BACKGROUND))
            except UpstreamError as error:
                log.info("refresh_failed", resource=ask.resource.name, reason=str(error))
                raise

        key = self._flight_key(ask, self._want(ask), ticket, alone=ask.gate is not None)
        self._flights.start(key, ask.principal.space, self._known_tags(ask), refresh)

    async def _land(self, ask: Ask, ticket: Ticket, urgency: Urgency) -> _Landing:
        """Fetch, judge, store. Runs as a flight: no caller's cancellation reaches it."""
        if ticket.stamp is None:
            ticket = await self._cache.begin(ask.principal.space)
        fetched_at = self._clock.wall()
        path = ask.resource.path_for(ask.ident)
        answer = await self.fetch(ask.principal, path, ask.caller.variants, urgency)
        took_s = answer.took_s
        outcome = interpret(
            ask.resource, answer,
            ident=ask.ident, token=ask.principal.token, fetched_at=fetched_at,
        )  # fmt: skip
        if isinstance(outcome, Refusal):
            on_profiles = ask.resource is PROFILES
            if outcome.status == 401:
                await self.refused(ask.principal, on_profiles=on_profiles)
            elif on_profiles and not outcome.is_failure:
                # Not "the token is dead", but no acceptance either: nothing vouches for it now.
                await self.refused(ask.principal, on_profiles=False)
            audience = _Audience.PROVEN if outcome.is_failure else _Audience.SAME_TOKEN
            return _Landing(outcome, stored=False, audience=audience, took_s=took_s)
        if ask.gate is not None and not await ask.gate():
            return _Landing(outcome, False, _Audience.LEADER, took_s)
        if not outcome.storable:
            return _Landing(outcome, False, _Audience.SAME_TOKEN, took_s)
        stored = await self._store(ask, ticket, outcome)
        return _Landing(outcome, stored, _Audience.PROVEN, took_s)

    async def _store(self, ask: Ask, ticket: Ticket, good: Good) -> bool:
        entry = good.entry
        want = self._want(ask)
        fills = [Fill(want, entry if want.token else _for_others(entry), entry.tags)]
        if ask.resource is PROFILES:
            user, coworkers = user_of(good.document), coworkers_of(good.document)
            assert user is not None
            tags = (tagging.resource(tagging.PROOF_RESOURCE), tagging.user(user))
            proof = Proof(entry.fetched_at, user, coworkers)
            fills.append(Fill(wants.proof_of(ask.principal), proof, tags))
        keep_s = self._policies[ask.resource.name].of(entry).keep_s
        return await self._cache.fill(ticket, fills, keep_s)

    async def _accepted_at(self, principal: Principal) -> float | None:
        """When Nexudus accepted the token, unless that is too long ago to count."""
        proof = await self.proof_of(principal)
        if proof is None:
            return None
        fresh, now = self._policies[PROFILES.name].good, self._clock.wall()
        verdict = judge(proof.accepted_at, now, fresh, principal.expires_at)
        return proof.accepted_at if verdict is Verdict.FRESH else None

    def _judged(self, ask: Ask, values: tuple[Found | None, ...]) -> tuple[Verdict, Reading | None]:
        """Verdict on what was found, and a reading of it unless it is good for nothing."""
        found = values[0]
        if found is None or not isinstance(found.value, Entry):
            return Verdict.DEAD, None
        entry, now, until = found.value, self._clock.wall(), ask.principal.expires_at
        fresh = self._policies[ask.resource.name].of(entry)
        verdict = judge(entry.fetched_at, now, fresh, until)
        if ask.resource is PROFILES:
            proof = values[1].value if values[1] is not None else None
            if not isinstance(proof, Proof):
                return Verdict.DEAD, None  # withdrawn: the list may not be shown, stale or not
            verdict = max(verdict, judge(proof.accepted_at, now, fresh, until))
        if verdict is Verdict.DEAD:
            return verdict, None
        return verdict, Reading(ask.resource, entry, Outcome.HIT, found.tier, fresh)

    def _known_tags(self, ask: Ask) -> frozenset[str]:
        """What is known before a fetch to drop its result."""
        want = self._want(ask)
        tags = {tagging.resource(ask.resource.name), want.address.container.label}
        if want.token is not None:
            tags |= {tagging.proof(digest) for digest in ask.principal.digests}
        return frozenset(tags)

    def _flight_key(self, ask: Ask, want: Want, ticket: Ticket, *, alone: bool) -> str:
        """What a flight is shared by: callers of one document, or `alone` those with one token.

        While invalidations cannot be heard, only callers between which there was none.
        """
        key = f"{want.key}|{ask.principal.digest}" if alone and want.token is None else want.key
        heard = self._cache.memory_usable or ticket.stamp is None
        return key if heard else f"{key}|{ticket.stamp}"

    def _want(self, ask: Ask) -> Want:
        return wants.want_of(ask, self.scope_of(ask.principal, ask.resource))


def _for_others(entry: Entry) -> Entry:
    """What is shared of an answer: of a negative one the status, for its text may name a viewer."""
    return entry if entry.status == 200 else replace(entry, body=b"", content_type="")
