"""What a read looks for in the two tiers, and what it may use of what is there."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from bff.cache.decide import Verdict
from bff.cache.tiered import Found, Seen, TieredCache, Want
from bff.resources import PROFILES
from bff.session import wants
from bff.session.judging import accepted, judged
from bff.session.landing import Landings
from bff.session.principal import Principal
from bff.session.reading import Ask, Reading

Judged = tuple[Verdict, Reading | None]


class Survey(NamedTuple):
    """What was found for several reads of one request. `fresh`: readings, up to what is not fresh.

    `seen` is for reads that are then done one by one.
    """

    fresh: tuple[Reading, ...]
    seen: Seen


class Lookup:
    """Of one process: reads nothing but the cache, and shows nothing to anybody."""

    def __init__(self, cache: TieredCache, landings: Landings) -> None:
        self._cache = cache
        self._landings = landings
        self._policies = landings.policies
        self._clock = landings.clock

    async def survey(self, asks: Sequence[Ask]) -> Survey:
        """One question for all of them, of one caller, the profile list first."""
        wanted = [self.wanted(ask) for ask in asks]
        every = [want for of_it in wanted for want in of_it]
        seen = await self._cache.survey(asks[0].caller.principal.space, every)
        readings: list[Reading] = []
        rest = iter(seen.values)
        for ask, of_it in zip(asks, wanted, strict=True):
            values = list(islice(rest, len(of_it)))
            if not values or not self._landings.is_there(ask, of_it[0]):
                break  # nothing of it was seen, or the space stopped sharing meanwhile
            verdict, reading = self.judged(ask, values)
            if verdict is not Verdict.FRESH or reading is None:
                break
            readings.append(reading)
        return Survey(tuple(readings), seen)

    def wanted(self, ask: Ask) -> tuple[Want, ...]:
        """The document, and what decides whether its caller may have it."""
        want = self._landings.want(ask)
        if ask.resource is PROFILES:
            return want, wants.proof_of(ask.caller.principal)
        alone = want.token is not None or self._is_fresh_here(ask, want)
        found = (want,) if alone else (want, wants.own_of(ask))
        return found if ask.gate is None else (*found, wants.proof_of(ask.principal))

    def judged(self, ask: Ask, values: Sequence[Found | None]) -> Judged:
        """What `values`, found for what is wanted, are good for."""
        policy, now = self._policies[ask.resource.name], self._clock.wall()
        if ask.resource is PROFILES:
            return judged(ask, values[0], values[1], policy, now)
        # Of a shared list, and of what this token alone was told instead of it, the better.
        best: Judged = Verdict.DEAD, None
        for found in filter(None, values):
            one = judged(ask, found, None, policy, now)
            best = one if one[0] < best[0] else best
        return best

    async def accepted(self, principal: Principal) -> tuple[float, float] | None:
        """As `acceptance`, of what is known of a caller."""
        findings = await self._cache.find(principal.space, (wants.proof_of(principal),))
        return self.acceptance(findings.values[0], principal)

    def acceptance(self, proof: Found | None, principal: Principal) -> tuple[float, float] | None:
        """See `judging.accepted`."""
        policy = self._policies[PROFILES.name]
        return accepted(proof, policy, self._clock.wall(), principal.expires_at)

    def _is_fresh_here(self, ask: Ask, want: Want) -> bool:
        """Whether nothing better can be found: most tokens were told nothing of their own, and to
        look for that would cost each of their reads a question to the shared store."""
        held = self._cache.held(want)
        return held is not None and self.judged(ask, (held,))[0] is Verdict.FRESH
