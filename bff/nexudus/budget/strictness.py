"""How much stricter than documented Nexudus turned out to be. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

LONGEST_PAUSE_S: Final = 300.0
SHORTEST_PAUSE_S: Final = 0.1
SLOWER: Final = 0.8
FLOOR: Final = 0.1
REGAINED_PER_S: Final = 0.05 / 60


@dataclass(frozen=True, slots=True)
class Strictness:
    """Until when calls are paused, and the part of the limits that was in use at `since`.

    Times are monotonic seconds. Each pause costs a fifth of what is left of the limits, once; one
    minute without a pause gives a twentieth of the whole back.
    """

    paused_until: float = 0.0
    factor: float = 1.0
    since: float = 0.0

    def paused_s(self, now: float) -> float:
        """Seconds until calls go on, 0 if they do."""
        return max(0.0, self.paused_until - now)

    def factor_at(self, now: float) -> float:
        """The part of the limits that is in use, from a tenth to 1."""
        return min(1.0, self.factor + REGAINED_PER_S * max(0.0, now - self.since))

    def refused(self, now: float, retry_after_s: float) -> Strictness:
        """After Nexudus refused a call; what is no time, or absurdly long, is taken for a bound."""
        pause_s = retry_after_s if math.isfinite(retry_after_s) else SHORTEST_PAUSE_S
        until = now + min(max(pause_s, SHORTEST_PAUSE_S), LONGEST_PAUSE_S)
        factor = self.factor_at(now)
        if not self.paused_s(now):
            factor = max(FLOOR, factor * SLOWER)
        until = max(until, self.paused_until)
        return Strictness(until, factor, until)

    def strictest(self, other: Strictness, now: float) -> Strictness:
        """What both have seen."""
        until = max(self.paused_until, other.paused_until)
        factor = min(self.factor_at(now), other.factor_at(now))
        return Strictness(until, factor, max(until, now))
