"""What a cached read would do now, and which rule decides: the rules applied without a trace."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import orjson

from bff.cache.decide import Freshness, Verdict, judge
from bff.cache.entry import Entry, Proof
from bff.cache.flight import Flights
from bff.cache.inspection import Inspector, Sight, Stored, StoredState
from bff.cache.keys import Scope
from bff.cache.tiered import Found, Want
from bff.resources import PARTS, PROFILES, RELATED, Resource, active_profile
from bff.session import wants
from bff.session.bootstrap import wanted
from bff.session.judging import judged
from bff.session.landing import Landings
from bff.session.principal import Principal
from bff.session.reading import Ask, Caller
from bff.session.unkept import suits
from bff.shape import Shape


class Rule(enum.IntEnum):
    """The cache rules by their numbers in docs/architecture.md; 0: the table before them."""

    FRESHNESS = 0
    PROOF = 1
    REFUSED = 2
    WRITES = 3
    FENCES = 4
    FLIGHTS = 5
    TIERS = 6
    REDIS = 7
    STORABLE = 8
    SHARING = 9


RULES: Final[Mapping[Rule, str]] = MappingProxyType(
    {
        Rule.FRESHNESS: "How old an answer may be is in the table before the rules.",
        Rule.PROOF: "A shared list is shown only to a token that Nexudus accepts",
        Rule.REFUSED: "A 401 on the profile list deletes everything stored for the token, in every "
        "process. Any other 401 withdraws its proof.",
        Rule.WRITES: "A successful write under `/api/public/coworker…` or `/{lang}/profile…`, and "
        "the legacy GET switch, drops that user's lists in all their tokens and processes",
        Rule.FENCES: "A fetch that began before an invalidation never stores after it",
        Rule.FLIGHTS: "Concurrent misses for one key are one call.",
        Rule.TIERS: "The in-process tier is bounded in bytes, trusted only while invalidations are "
        "heard, and capped in age.",
        Rule.REDIS: "Redis is never waited for longer than its timeout, and not at all once it is "
        "known to be away.",
        Rule.STORABLE: "Stored are a 200 with JSON of the declared form, without `Set-Cookie` or "
        "`no-store`, and a 404 on related.",
        Rule.SHARING: "Sharing is watched",
    }
)
"""How each begins there; a test compares."""


_AGED: Final[Mapping[Verdict, str]] = MappingProxyType(
    {
        Verdict.FRESH: "and is fresh",
        Verdict.STALE: "and is stale",
        Verdict.LAPSED: "and is too old to be shown unless Nexudus fails",
        Verdict.DEAD: "which is past every window",
    }
)


_UNKEPT: Final = (
    "Redis is away and its channel silent, so nothing can be kept: one call under the caller's own "
    "token, for that token alone, which needs no proof"
)


class Plan(enum.Enum):
    """What becomes of a read."""

    SERVE = "served"
    REFRESH = "served, and refreshed behind it"
    FALL_BACK = "fetched; what is kept stands in if that fails or takes long"
    FETCH = "fetched"
    OPEN = "known once the profile list is"


@dataclass(frozen=True, slots=True)
class Window:
    """Seconds: how long it is, and how much of it is left; negative once it is over."""

    lasts_s: float
    left_s: float


@dataclass(frozen=True, slots=True)
class Windows:
    """Fresh, then stale while it is fetched again, and stale if Nexudus fails."""

    fresh: Window
    stale: Window
    error: Window

    @classmethod
    def of(cls, since: float, now: float, freshness: Freshness) -> Windows:
        """Of what was fetched at `since`; both in UTC seconds."""
        age_s = now - since

        def window(after_s: float, lasts_s: float) -> Window:
            return Window(lasts_s, after_s + lasts_s - age_s)

        fresh_s = freshness.fresh_s
        return cls(
            window(0, fresh_s),
            window(fresh_s, freshness.stale_s),
            window(fresh_s, freshness.error_s),
        )


@dataclass(frozen=True, slots=True)
class Candidate:
    """One place in which a read looks. `verdict`: of what is found there, by its own age alone.

    `moment`: UTC seconds at which Nexudus said so.
    """

    resource: str
    sight: Sight
    verdict: Verdict
    moment: float | None = None
    windows: Windows | None = None


@dataclass(frozen=True, slots=True)
class Examined:
    """One document of an answer. `found`: what is used of it, if anything is.

    `hinted`: read only because a client believes that it will be needed; perhaps it is not.
    `proves`: read to prove its token, so something stale is not served at once. `stranger`: nothing
    is known of the token, and a call for it has no more than the part of such calls.
    `under_way_s`: for how long a call for it has been, 0 where none is.
    """

    resource: Resource
    ident: str
    candidates: tuple[Candidate, ...]
    plan: Plan
    verdict: Verdict
    rule: Rule
    why: str
    found: Found | None = None
    under_way_s: float = 0.0
    hinted: bool = False
    proves: bool = False
    stranger: bool = False

    @property
    def entry(self) -> Entry | None:
        """What is kept of it and may be used for something."""
        value = self.found.value if self.found else None
        return value if isinstance(value, Entry) else None


class Examiner:
    """Of one process."""

    def __init__(self, inspector: Inspector, landings: Landings, flights: Flights) -> None:
        self.inspector: Final = inspector
        self._landings = landings
        self._flights = flights

    async def bootstrap(
        self, caller: Caller, shape: Shape, hint: int | None
    ) -> tuple[Examined, ...]:
        """The profile list and the parts that the shape wants."""
        profiles = await self.profiles(caller)
        examined = [profiles]
        listed: object = orjson.loads(profiles.entry.body_for("")) if profiles.entry else None
        for part in wanted(PARTS, shape.tree):
            ident, hinted = part.ident_of(active_profile(listed)), part.ident_of(hint)
            if listed is None:
                examined.append(_open(part))
            elif ident is not None:
                examined.append(await self._part(caller, part, ident))
            if hint is not None and hinted is not None and hinted != ident:
                early = await self._part(caller, part, hinted)
                examined.append(replace(early, hinted=True, stranger=profiles.stranger))
        return tuple(examined)

    async def profiles(self, caller: Caller, *, stale_ok: bool = True) -> Examined:
        """The caller's profile list, and the proof of the token beside it."""
        ask = Ask(caller, PROFILES, "", stale_ok)
        want = self._landings.want(ask)
        looked = await self._look(ask, want, wants.proof_of(caller.principal))
        listed, proof = looked
        policy, now = self._landings.policies[PROFILES.name], self._landings.clock.wall()
        found = listed.sight.found
        verdict, _ = judged(ask, found, proof.sight.found, policy, now)
        rule, why = _reason(caller.principal, verdict, listed, now)
        if found is not None and proof.sight.found is None and verdict is Verdict.DEAD:
            rule, why = Rule.REFUSED, "the list is kept, but not the proof of its token"
        elif listed.verdict < verdict <= Verdict.LAPSED and proof.verdict is verdict:
            rule, why = Rule.PROOF, f"the token was proven {_ago(proof, now)}"
        examined = self._examined(ask, looked, verdict, (rule, why))
        return replace(examined, stranger=proof.sight.found is None)

    async def related(self, caller: Caller, coworker_id: int) -> tuple[Examined, ...]:
        """A related list on its own, for which the token must be proven."""
        [proof] = await self._look(Ask(caller, PROFILES, ""), wants.proof_of(caller.principal))
        found = proof.sight.found
        proven = found is not None and not found.stands_in and proof.verdict is Verdict.FRESH
        part = await self._part(caller, RELATED, str(coworker_id))
        if proven:
            return (part,)
        ask = Ask(caller, RELATED, str(coworker_id))
        if suits(ask, self.inspector.cache, self._landings, self._flights):
            plan = Plan.FETCH if found is None or part.found is None else Plan.FALL_BACK
            return (replace(part, plan=plan, rule=Rule.REDIS, why=_UNKEPT),)
        return (await self.profiles(caller, stale_ok=False), part)

    async def _part(self, caller: Caller, part: Resource, ident: str) -> Examined:
        ask = Ask(caller, part, ident)
        want = self._landings.want(ask)
        other = (wants.own_of(ask),) if want.token is None else ()
        looked = await self._look(ask, want, *other)
        policy, now = self._landings.policies[part.name], self._landings.clock.wall()
        verdicts = [judged(ask, each.sight.found, None, policy, now)[0] for each in looked]
        best = verdicts.index(min(verdicts))
        rule, why = _reason(caller.principal, verdicts[best], looked[best], now)
        if want.token is not None and part.scope is not Scope.TOKEN:
            why = f"{why}; related lists of this space are kept for each token"
            rule = Rule.SHARING if verdicts[best] > Verdict.STALE else rule
        return self._examined(ask, looked, verdicts[best], (rule, why), looked[best].sight.found)

    async def _look(self, ask: Ask, *asked: Want) -> tuple[Candidate, ...]:
        principal, now = ask.principal, self._landings.clock.wall()
        sights = await self.inspector.look(principal.space, asked)
        policy = self._landings.policies[ask.resource.name]
        candidates = []
        for sight in sights.documents:
            found, name = sight.found, sight.want.address.resource
            value = found.value if found else sight.stored.value
            if value is None:
                candidates.append(Candidate(name, sight, Verdict.DEAD))
                continue
            freshness = policy.good if isinstance(value, Proof) else policy.of(value)
            verdict = judge(value.moment, now, freshness, principal.expires_at)
            windows = Windows.of(value.moment, now, freshness)
            usable = verdict if found else Verdict.DEAD
            candidates.append(Candidate(name, sight, usable, value.moment, windows))
        return tuple(candidates)

    def _examined(
        self,
        ask: Ask,
        looked: tuple[Candidate, ...],
        verdict: Verdict,
        reason: tuple[Rule, str],
        found: Found | None = None,
    ) -> Examined:
        found = found or looked[0].sight.found
        under_way_s = self._flights.age_s(self._landings.want(ask).key)
        if found is None and under_way_s > 0:
            reason = Rule.FLIGHTS, reason[1]
        return Examined(
            ask.resource, ask.ident, looked, _plan(verdict, stale_ok=ask.stale_ok), verdict,
            *reason,
            found=None if verdict is Verdict.DEAD else found,
            under_way_s=under_way_s,
            proves=not ask.stale_ok,
        )  # fmt: skip


def _plan(verdict: Verdict, *, stale_ok: bool) -> Plan:
    if verdict is Verdict.FRESH:
        return Plan.SERVE
    if verdict is Verdict.STALE and stale_ok:
        return Plan.REFRESH
    return Plan.FETCH if verdict is Verdict.DEAD else Plan.FALL_BACK


def _open(part: Resource) -> Examined:
    why = "which list it is follows from the active profile"
    return Examined(part, "", (), Plan.OPEN, Verdict.DEAD, Rule.FRESHNESS, why)


def _reason(
    principal: Principal, verdict: Verdict, candidate: Candidate, now: float
) -> tuple[Rule, str]:
    """Why what was found, or not, is good for no more than `verdict` says."""
    if principal.expires_at is not None and now >= principal.expires_at:
        return Rule.FRESHNESS, "the `exp` of the token has passed, which ends every window"
    found = candidate.sight.found
    if found is None:
        return _absence(candidate.sight)
    if found.stands_in:
        return Rule.REDIS, "Redis is away, and the copy in process may have missed a change"
    return Rule.FRESHNESS, f"it was fetched {_ago(candidate, now)}, {_AGED[verdict]}"


def _absence(sight: Sight) -> tuple[Rule, str]:
    stored = sight.stored
    match stored.state:
        case StoredState.DROPPED:
            return Rule.WRITES, f"it was dropped after it was fetched, by {_dropping(stored)}"
        case StoredState.UNCERTAIN:
            lost = _dropping(stored)
            return Rule.FENCES, f"Redis no longer knows when {lost} was dropped last"
        case StoredState.UNREADABLE:
            return Rule.FRESHNESS, "what is stored does not open under the secrets in use"
        case StoredState.UNKNOWN:
            return Rule.REDIS, "Redis is away, and this process has no copy that may be used"
        case _:
            return Rule.FRESHNESS, "nothing is kept under its key"


def _dropping(stored: Stored) -> str:
    return ", ".join(tag.tag for tag in stored.tags if tag.drops)


def _ago(candidate: Candidate, now: float) -> str:
    return f"{now - (candidate.moment or now):.0f} s ago"
