"""What a document found in the cache may be used for: pure."""

from __future__ import annotations

from bff.cache.decide import Verdict, judge
from bff.cache.entry import Entry, Proof
from bff.cache.tiered import Found
from bff.resources import PROFILES
from bff.session.reading import Ask, Outcome, Policy, Reading


def judged(
    ask: Ask, found: Found | None, proof: Found | None, policy: Policy, now: float
) -> tuple[Verdict, Reading | None]:
    """Verdict on what was found, and a reading of it unless it is good for nothing.

    `proof`: for a profile list, that Nexudus accepts the token. `now`: UTC seconds.
    """
    if found is None or not isinstance(found.value, Entry):
        return Verdict.DEAD, None
    entry, until = found.value, ask.caller.principal.expires_at
    fresh = policy.of(entry)
    verdict, expires = judge(entry.fetched_at, now, fresh, until), found.expires
    if ask.resource is PROFILES:
        if proof is None or not isinstance(proof.value, Proof):
            return Verdict.DEAD, None  # withdrawn: the list may not be shown, stale or not
        verdict = max(verdict, judge(proof.value.accepted_at, now, fresh, until))
        expires = min(expires, proof.expires)
    stands_in = found.stands_in or (proof is not None and proof.stands_in)
    if stands_in:
        verdict = max(verdict, Verdict.LAPSED)
    if verdict is Verdict.DEAD:
        return verdict, None
    return verdict, Reading(
        ask.resource, entry, Outcome.HIT, found.tier, fresh,
        expires=expires, ident=ask.ident, stands_in=stands_in,
    )  # fmt: skip


def accepted(
    proof: Found | None, policy: Policy, now: float, until: float | None
) -> tuple[float, float] | None:
    """When Nexudus accepted the token, unless that is too long ago to count.

    And until when this process may go by it (monotonic seconds). `now`, `until`: as of `judge`.
    """
    if proof is None or proof.stands_in or not isinstance(proof.value, Proof):
        return None
    verdict = judge(proof.value.accepted_at, now, policy.good, until)
    return (proof.value.accepted_at, proof.expires) if verdict is Verdict.FRESH else None
