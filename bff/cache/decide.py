"""How old is too old: pure, of (age, freshness).

Windows follow RFC 5861: both `stale_s` and `error_s` begin where freshness ends.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

MAX_SKEW_S = 5.0
"""An entry from further in the future than this was stamped by a wrong clock."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """Seconds: fresh, then stale while revalidating, and stale if Nexudus fails."""

    fresh_s: float
    stale_s: float
    error_s: float

    @property
    def keep_s(self) -> float:
        """How long a store keeps it: no rule uses it for longer."""
        return self.fresh_s + max(self.stale_s, self.error_s)


class Verdict(enum.IntEnum):
    """What an entry of some age may still be used for; a greater one may be used for less."""

    FRESH = 0
    STALE = 1
    """Serve at once, refresh behind it."""
    LAPSED = 2
    """Only if Nexudus fails."""
    DEAD = 3
    """For nothing."""


def judge(fetched_at: float, now: float, freshness: Freshness, until: float | None) -> Verdict:
    """Verdict on an answer fetched at `fetched_at` (UTC s); `until`: the `exp` of its token.

    A token's expiry ends every window (DESIGN, cache rules). An age below -MAX_SKEW_S means a
    clock stepped back; the entry is then revalidated rather than believed.
    """
    if until is not None and now >= until:
        return Verdict.DEAD
    age = now - fetched_at
    if age < -MAX_SKEW_S:
        return Verdict.LAPSED if freshness.error_s > 0 else Verdict.DEAD
    if age < freshness.fresh_s:
        return Verdict.FRESH
    late = age - freshness.fresh_s
    if late < freshness.stale_s:
        return Verdict.STALE
    if late < freshness.error_s:
        return Verdict.LAPSED
    return Verdict.DEAD


def remaining_s(fetched_at: float, now: float, freshness: Freshness, until: float | None) -> int:
    """Whole seconds of freshness left, negative once stale: the `ttl` of RFC 9211 §2.3."""
    end = fetched_at + freshness.fresh_s
    if until is not None:
        end = min(end, until)
    return int((end - now) // 1)


def age_s(fetched_at: float, now: float) -> int:
    """Whole seconds since the fetch began, never negative: the `Age` of RFC 9111 §5.1."""
    return max(0, int(now - fetched_at))
