"""Reading the cached resources under the cache rules: proof, freshness, flights, fallbacks."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

import structlog

from bff.cache import tags as tagging
from bff.cache.decide import Freshness, Verdict, judge
from bff.cache.entry import Entry, Proof
from bff.cache.flight import Flights
from bff.cache.invalidation import Invalidator
from bff.cache.keys import Address, Container, Scope
from bff.cache.tiered import Fill, Found, Ticket, Tier, TieredCache, Want
from bff.clock import Clock
from bff.errors import UpstreamError
from bff.nexudus.answers import Answer
from bff.nexudus.headers import Variants
from bff.resources import PROFILES, RELATED, Resource, coworkers_of, user_of
from bff.session.interpret import Good, Refusal, interpret
from bff.session.principal import Principal

log = structlog.get_logger("bff.session")

Fetch = Callable[[Principal, str, Variants], Awaitable[Answer]]
"""(who, path, variants) -> Nexudus' answer; raises UpstreamError."""


class Outcome(enum.Enum):
    """How a read was answered."""

    HIT = "hit"
    STALE = "stale"
    STALE_ERROR = "stale_error"
    MISS = "miss"
    COALESCED = "coalesced"


@dataclass(frozen=True, slots=True)
class Policy:
    """Freshness of a resource's good answers, and of its negative ones."""

    good: Freshness
    negative: Freshness

    def of(self, entry: Entry) -> Freshness:
        """The numbers that apply to one entry."""
        return self.good if entry.status == 200 else self.negative


@dataclass(frozen=True, slots=True)
class Reading:
    """A document that its caller may be shown, and where it came from."""

    resource: Resource
    entry: Entry
    outcome: Outcome
    tier: Tier
    fresh: Freshness
    stored: bool = True


@dataclass(frozen=True, slots=True)
class Ask:
    """One read: who wants which document in which variant, and on what terms.

    `stale_ok`: a stale answer may be served while it is revalidated. `gate`: resolves to whether
    the caller proved itself; until then nothing fetched for it is shared or stored.
    """

    principal: Principal
    resource: Resource
    ident: str
    variants: Variants
    stale_ok: bool = True
    gate: Callable[[], Awaitable[bool]] | None = None


@dataclass(frozen=True, slots=True)
class _Landing:
    outcome: Good | Refusal
    stored: bool
    shareable: bool


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

    async def profiles(
        self, principal: Principal, variants: Variants, *, stale_ok: bool = True
    ) -> Reading | Refusal:
        """The caller's profile list; a Reading of it is the proof that Nexudus accepts the token.

        Raises UpstreamError if Nexudus fails and nothing stale may stand in.
        """
        return await self.read(Ask(principal, PROFILES, "", variants, stale_ok))

    async def related(
        self, principal: Principal, coworker_id: int, variants: Variants
    ) -> Reading | Refusal:
        """A related list, shown only to a token that Nexudus accepted within the profile TTL."""
        if not await self._is_proven(principal):
            proof = await self.profiles(principal, variants, stale_ok=False)
            if isinstance(proof, Refusal):
                return proof
        return await self.read(Ask(principal, RELATED, str(coworker_id), variants))

    async def proof_of(self, principal: Principal) -> Proof | None:
        """What is known of the caller without asking Nexudus, however old."""
        findings = await self._cache.find(principal.space, (self._proof_want(principal),))
        found = findings.values[0]
        return found.value if found and isinstance(found.value, Proof) else None

    async def read(self, ask: Ask) -> Reading | Refusal:
        """One read under the rules. A shared document needs a caller that is or will be proven."""
        space = ask.principal.space
        wants = [self._want(ask)]
        if ask.resource is PROFILES:
            wants.append(self._proof_want(ask.principal))
        findings = await self._cache.find(space, wants)
        verdict, reading = self._judged(ask, findings.values)
        if reading is not None and verdict is Verdict.FRESH:
            if self._is_shared(ask) and ask.gate is None:
                self.on_shared_hit(ask, reading.entry)
            return reading
        if reading is not None and verdict is Verdict.STALE and ask.stale_ok:
            self._refresh(ask, findings.ticket)
            return replace(reading, outcome=Outcome.STALE)
        return await self._fetched(ask, findings.ticket, reading)

    async def _fetched(
        self, ask: Ask, ticket: Ticket, fallback: Reading | None
    ) -> Reading | Refusal:
        """Ask Nexudus, alone or together with others; `fallback` stands in if Nexudus fails."""
        while True:
            try:
                landed = await self._flights.run(
                    self._want(ask).key, ask.principal.space, self._known_tags(ask),
                    lambda: self._land(ask, ticket),
                )  # fmt: skip
            except UpstreamError:
                if fallback is None:
                    raise
                return replace(fallback, outcome=Outcome.STALE_ERROR)
            landing = landed.value
            if landed.joined and not landing.shareable:
                continue  # somebody else's refusal; ask under the caller's own token
            if isinstance(landing.outcome, Refusal):
                if landing.outcome.is_failure and fallback is not None:
                    return replace(fallback, outcome=Outcome.STALE_ERROR)
                return landing.outcome
            entry = landing.outcome.entry
            outcome = Outcome.COALESCED if landed.joined else Outcome.MISS
            fresh = self._policies[ask.resource.name].of(entry)
            return Reading(ask.resource, entry, outcome, Tier.UPSTREAM, fresh, landing.stored)

    def _refresh(self, ask: Ask, ticket: Ticket) -> None:
        """Revalidate behind a stale answer, once per key."""

        async def refresh() -> _Landing | None:
            try:
                return await self._land(ask, ticket)
            except UpstreamError as error:
                log.info("refresh_failed", resource=ask.resource.name, reason=str(error))
                raise

        self._flights.start(
            self._want(ask).key, ask.principal.space, self._known_tags(ask), refresh
        )

    async def _land(self, ask: Ask, ticket: Ticket) -> _Landing:
        """Fetch, judge, store. Runs as a flight: no caller's cancellation reaches it."""
        if ticket.stamp is None:
            ticket = await self._cache.begin(ask.principal.space)
        fetched_at = self._clock.wall()
        path = ask.resource.path_for(ask.ident)
        answer = await self.fetch(ask.principal, path, ask.variants)
        outcome = interpret(
            ask.resource, answer,
            ident=ask.ident, token=ask.principal.token, fetched_at=fetched_at,
        )  # fmt: skip
        if isinstance(outcome, Refusal):
            if outcome.status == 401:
                await self.refused(ask.principal, on_profiles=ask.resource is PROFILES)
            shareable = outcome.is_failure or not self._is_shared(ask)
            return _Landing(outcome, stored=False, shareable=shareable)
        if ask.gate is not None and not await ask.gate():
            return _Landing(outcome, stored=False, shareable=False)
        stored = outcome.storable and await self._store(ask, ticket, outcome)
        return _Landing(outcome, stored, shareable=outcome.storable or not self._is_shared(ask))

    async def _store(self, ask: Ask, ticket: Ticket, good: Good) -> bool:
        entry = good.entry
        fills = [Fill(self._want(ask), entry, entry.tags)]
        if ask.resource is PROFILES:
            user, coworkers = user_of(good.document), coworkers_of(good.document)
            assert user is not None
            tags = (tagging.resource(tagging.PROOF_RESOURCE), tagging.user(user))
            proof = Proof(entry.fetched_at, user, coworkers)
            fills.append(Fill(self._proof_want(ask.principal), proof, tags))
        keep_s = self._policies[ask.resource.name].of(entry).keep_s
        return await self._cache.fill(ticket, fills, keep_s)

    async def refused(self, principal: Principal, *, on_profiles: bool) -> None:
        """Nexudus answered 401. On the profile list the token is dead; elsewhere it may not be.

        A 401 elsewhere withdraws the proof, so that the next cached read asks Nexudus.
        """
        tag = tagging.token if on_profiles else tagging.proof
        tags = frozenset(tag(digest) for digest in principal.digests)
        cause = "token_refused" if on_profiles else "proof_withdrawn"
        await self._invalidator.invalidate(principal.space, tags, cause)

    async def _is_proven(self, principal: Principal) -> bool:
        proof = await self.proof_of(principal)
        if proof is None:
            return False
        fresh = self._policies[PROFILES.name].good
        now = self._clock.wall()
        return judge(proof.accepted_at, now, fresh, principal.expires_at) is Verdict.FRESH

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

    def _is_shared(self, ask: Ask) -> bool:
        return self.scope_of(ask.principal, ask.resource) is not Scope.TOKEN

    def _known_tags(self, ask: Ask) -> frozenset[str]:
        """What is known before a fetch to drop its result."""
        tags = {tagging.resource(ask.resource.name), self._want(ask).address.container.label}
        if not self._is_shared(ask):
            tags |= {tagging.proof(digest) for digest in ask.principal.digests}
        return frozenset(tags)

    def _want(self, ask: Ask) -> Want:
        scope = self.scope_of(ask.principal, ask.resource)
        variant = ask.variants.canonical
        if scope is Scope.TOKEN:
            return self._private_want(ask.principal, ask.resource.name, ask.ident, variant)
        container = Container(ask.principal.space, scope, ask.ident)
        return Want(Address(container, ask.resource.name, ask.ident, variant), (), None)

    def _proof_want(self, principal: Principal) -> Want:
        return self._private_want(principal, tagging.PROOF_RESOURCE, "", "")

    @staticmethod
    def _private_want(principal: Principal, resource: str, ident: str, variant: str) -> Want:
        first, *older = (
            Address(Container(principal.space, Scope.TOKEN, digest), resource, ident, variant)
            for digest in principal.digests
        )
        return Want(first, tuple(older), principal.token)


async def cancelled(task: asyncio.Task[object]) -> None:
    """Cancel a task and wait until it ended, whatever it ended with."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
