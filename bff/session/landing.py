"""What a flight does: ask Nexudus under its leader's token, judge the answer, store it."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from bff.cache import tags as tagging
from bff.cache.entry import Entry, Proof
from bff.cache.flight import Course
from bff.cache.invalidation import Invalidator
from bff.cache.keys import Scope
from bff.cache.store import Release
from bff.cache.tasks import end
from bff.cache.tiered import Fill, Kept, Ticket, Tier, TieredCache, Want
from bff.clock import Clock
from bff.nexudus.answers import Answer
from bff.nexudus.budget.contract import Urgency
from bff.nexudus.headers import Variants
from bff.nexudus.intent import Purpose
from bff.resources import PROFILES, Resource, coworkers_of, user_of
from bff.session import wants
from bff.session.interpret import Good, Refusal, interpret
from bff.session.principal import Principal
from bff.session.reading import Ask, Policy

RETAKEN_S = 0.1
"""A ticket older than this when its call begins is taken anew: much may have been dropped since."""
REFUSING_S = 0.25
"""How long a 401 waits until every process has heard of it; then it is told behind the answer."""


async def _nothing() -> None:
    return None


class Audience(enum.Enum):
    """Whom the result of a flight may be given to."""

    PROVEN = enum.auto()
    """Whoever waits for it: callers are proven before they join a shared flight."""
    SAME_TOKEN = enum.auto()
    LEADER = enum.auto()


@dataclass(frozen=True, slots=True)
class Call:
    """A fetch under a member's token. `begins` is awaited right before each call to Nexudus."""

    principal: Principal
    purpose: Purpose
    path: str
    variants: Variants
    urgency: Urgency
    begins: Callable[[], Awaitable[None]] = _nothing


Fetch = Callable[[Call], Awaitable[Answer]]
"""Nexudus' answer; raises UpstreamError."""


@dataclass(frozen=True, slots=True)
class Landing:
    """What came of a flight. `took_s`: how long Nexudus took, if this process asked it.

    `tier`: L2 where the document turned out to be in the shared store already. `kept`: HERE for
    who is told before the shared store has answered.
    """

    outcome: Good | Refusal
    kept: Kept
    audience: Audience
    took_s: float | None
    tier: Tier = Tier.UPSTREAM

    @property
    def stored(self) -> bool:
        """Whether it may be found again, if only in this process."""
        return self.kept is not Kept.NOWHERE

    @property
    def shared(self) -> bool:
        """Whether other processes may find it."""
        return self.kept in (Kept.EVERYWHERE, Kept.UNHEARD)


class Landings:
    """The flights' work in one process."""

    def __init__(
        self,
        cache: TieredCache,
        invalidator: Invalidator,
        fetch: Fetch,
        policies: Mapping[str, Policy],
        clock: Clock,
    ) -> None:
        self._cache = cache
        self._invalidator = invalidator
        self.fetch = fetch
        self.policies = policies
        self.clock = clock
        self._telling: set[asyncio.Task[object]] = set()
        self.scope_of: Callable[[Principal, Resource], Scope] = lambda _, resource: resource.scope

    def want(self, ask: Ask) -> Want:
        """The document that a read is about, where the space keeps it at the moment."""
        return wants.want_of(ask, self.scope_of(ask.principal, ask.resource))

    def is_there(self, ask: Ask, want: Want) -> bool:
        """Whether that is still where the space keeps it: it may have stopped sharing."""
        return self.scope_of(ask.principal, ask.resource) is want.address.container.scope

    async def refused(self, principal: Principal, *, on_profiles: bool) -> None:
        """Nexudus answered 401. On the profile list the token is dead; elsewhere it may not be.

        A 401 elsewhere withdraws the proof, so that the next cached read asks Nexudus.
        """
        tag = tagging.token if on_profiles else tagging.proof
        tags = frozenset(tag(digest) for digest in principal.digests)
        cause = "token_refused" if on_profiles else "proof_withdrawn"
        # A process that hangs is waited for by a write, which promises something to its member; of
        # a 401 the caller has nothing, and its own process has dropped what it had by now.
        telling = asyncio.create_task(
            self._invalidator.invalidate(principal.space, tags, cause), name="refusal"
        )
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)
        await asyncio.wait({telling}, timeout=REFUSING_S)

    async def aclose(self) -> None:
        """End what is still being told."""
        await end(self._telling)

    async def land(
        self,
        ask: Ask,
        ticket: Ticket,
        urgency: Urgency,
        course: Course,
        farewell: Release | None = None,
    ) -> Landing:
        """Fetch, judge, store. Runs as a flight: no caller's cancellation reaches it.

        Its callers are told before the shared store has answered, if they can find it here: that
        has nothing to say to them. `farewell`: to the flight's lock. What is kept EVERYWHERE for
        all comes with it.
        """
        taken_at, fetched_at = self.clock.monotonic(), self.clock.wall()

        async def begins() -> None:
            nonlocal ticket, taken_at, fetched_at
            if self.clock.monotonic() - taken_at > RETAKEN_S:
                ticket = await self._cache.begin(ask.principal.space)
                taken_at = self.clock.monotonic()
            course.begun = True
            fetched_at = self.clock.wall()

        answer = await self._called(ask, urgency, begins)
        took_s, outcome = answer.took_s, await self._judged(ask, answer, fetched_at)
        if isinstance(outcome, Refusal):
            audience = Audience.PROVEN if outcome.is_failure else Audience.SAME_TOKEN
            return Landing(outcome, Kept.NOWHERE, audience, took_s)
        if ask.gate is not None and not await ask.gate():
            return Landing(outcome, Kept.NOWHERE, Audience.LEADER, took_s)
        if not outcome.storable:
            return Landing(outcome, Kept.NOWHERE, Audience.SAME_TOKEN, took_s)
        want, audience = self.want(ask), Audience.PROVEN
        if not await self._speaks_for_others(ask, outcome.entry):
            want, audience, farewell = wants.own_of(ask), Audience.SAME_TOKEN, None
        fills, keep_s = self._fills(ask, want, outcome), self._keep_s(ask, outcome.entry)
        landing = Landing(outcome, Kept.HERE, audience, took_s)
        kept = await self._cache.keep(ticket, fills, keep_s, farewell, lambda: course.tell(landing))
        return replace(landing, kept=kept)

    async def relay(self, ask: Ask, urgency: Urgency, course: Course) -> Landing:
        """Fetch and judge what is for callers with this token alone, and store nothing."""
        fetched_at = self.clock.wall()

        async def begins() -> None:
            nonlocal fetched_at
            course.begun, fetched_at = True, self.clock.wall()

        answer = await self._called(ask, urgency, begins)
        outcome = await self._judged(ask, answer, fetched_at)
        return Landing(outcome, Kept.NOWHERE, Audience.SAME_TOKEN, answer.took_s)

    async def _called(
        self, ask: Ask, urgency: Urgency, begins: Callable[[], Awaitable[None]]
    ) -> Answer:
        purpose, path = Purpose(ask.resource.name, ask.reason), ask.resource.path_for(ask.ident)
        return await self.fetch(
            Call(ask.principal, purpose, path, ask.caller.variants, urgency, begins)
        )

    async def _judged(self, ask: Ask, answer: Answer, fetched_at: float) -> Good | Refusal:
        outcome = interpret(
            ask.resource, answer,
            ident=ask.ident, token=ask.principal.token, fetched_at=fetched_at,
        )  # fmt: skip
        if isinstance(outcome, Refusal):
            await self._withdraw(ask, outcome)
        return outcome

    async def _speaks_for_others(self, ask: Ask, entry: Entry) -> bool:
        """Whether an answer may be shared: a 404 only if it is about a profile of the caller's own.

        Who may see a profile can depend on who asks (FACTS 4.5), and a 404 says no more.
        """
        if entry.status == 200 or self.want(ask).token is not None:
            return True
        findings = await self._cache.find(ask.principal.space, (wants.proof_of(ask.principal),))
        proof = findings.values[0].value if findings.values[0] else None
        return isinstance(proof, Proof) and ask.ident in {str(each) for each in proof.coworkers}

    async def _withdraw(self, ask: Ask, refusal: Refusal) -> None:
        on_profiles = ask.resource is PROFILES
        if refusal.status == 401:
            await self.refused(ask.principal, on_profiles=on_profiles)
        elif on_profiles and not refusal.is_failure:
            # Not "the token is dead", but no acceptance either: nothing vouches for it now.
            await self.refused(ask.principal, on_profiles=False)

    def _fills(self, ask: Ask, want: Want, good: Good) -> list[Fill]:
        entry = good.entry
        fills = [Fill(want, entry if want.token else for_others(entry), entry.tags)]
        if ask.resource is PROFILES:
            user, coworkers = user_of(good.document), coworkers_of(good.document)
            assert user is not None
            tags = (tagging.resource(tagging.PROOF_RESOURCE), tagging.user(user))
            proof = Proof(entry.fetched_at, user, coworkers)
            fills.append(Fill(wants.proof_of(ask.principal), proof, tags))
        return fills

    def _keep_s(self, ask: Ask, entry: Entry) -> float:
        return self.policies[ask.resource.name].of(entry).keep_s


def for_others(entry: Entry) -> Entry:
    """What is shared of an answer: of a negative one the status, for its text may name a viewer."""
    return entry if entry.status == 200 else replace(entry, body=b"", content_type="")
