"""For how long what was made of readings may be given again, and what ends that sooner. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from bff.cache import tags as tagging
from bff.session.principal import Principal
from bff.session.reading import Outcome, Reading

_FRESH = frozenset({Outcome.HIT, Outcome.MISS, Outcome.COALESCED})


def is_fresh(reading: Reading) -> bool:
    """Whether what is made of it may be kept."""
    return reading.stored and reading.outcome in _FRESH


def fresh_until(principal: Principal, readings: Sequence[Reading]) -> float:
    """When the first of them is no longer fresh, or its caller has to be proven anew: UTC s."""
    ends = [reading.entry.fetched_at + reading.fresh.fresh_s for reading in readings]
    ends += [reading.proven_until for reading in readings if reading.proven_until is not None]
    if principal.expires_at is not None:
        ends.append(principal.expires_at)
    return min(ends)


def tags_of(principal: Principal, readings: Sequence[Reading]) -> frozenset[tuple[str, str]]:
    """Whatever drops a part, the token or its proof drops what was made of them."""
    return _tags(principal.space, principal.digests, tuple(r.entry.tags for r in readings))


# What is made of the same documents for the same caller shares one set, here and in process.
@lru_cache(maxsize=1_024)
def _tags(
    space: str, digests: tuple[str, ...], of_parts: tuple[tuple[str, ...], ...]
) -> frozenset[tuple[str, str]]:
    found = {tag for tags in of_parts for tag in tags}
    for digest in digests:
        found |= {tagging.token(digest), tagging.proof(digest)}
    return frozenset((space, tag) for tag in found)
