"""How much stricter than documented Nexudus turned out to be. Pure.

Two things are adapted, for one refusal mostly tells of one: the `factor` of what the long windows
allow, and the `stretch` of the time between two calls. The way of a call varies, so the spacing is
overrun now and then by those who keep to it; a window is not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bff.nexudus.budget.contract import Grant
from bff.nexudus.budget.windows import Window

LONGEST_PAUSE_S: Final = 300.0
SHORTEST_PAUSE_S: Final = 0.1
SLOWER: Final = 0.8
FLOOR: Final = 0.1
REGAINED_PER_S: Final = 0.05 / 30
STRETCHED: Final = 1.25
WIDEST: Final = 4.0
WIDE: Final = 2.0
"""Whoever is refused that far apart is refused for something else."""
RELAXED_S: Final = 90.0
"""Time in which a stretch falls to its e-th part: from the widest to 1 in two minutes."""
WELL_USED: Final = 0.8
CLOSE: Final = 2.0
"""So many times the spacing asked for, and calls are too far apart for that to be refused."""
LONG_S: Final = 5.0
"""A longer pause than that is not asked for calls that came too close."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that Nexudus throttled. `sent_at`: monotonic seconds.

    `used`: the fullest long window's part in use. `close`: whether the call before it was so near
    that the time between them may have been the cause.
    """

    sent_at: float
    retry_after_s: float
    used: float
    close: bool


@dataclass(frozen=True, slots=True)
class Strictness:
    """Until when calls are paused, and what was in use at `since`. Times: monotonic seconds."""

    paused_until: float = -math.inf
    factor: float = 1.0
    stretch: float = 1.0
    since: float = 0.0

    def paused_s(self, now: float) -> float:
        """Seconds until calls go on, 0 if they do."""
        return max(0.0, self.paused_until - now)

    def factor_at(self, now: float) -> float:
        """The part of the limits that is in use, from a tenth to 1."""
        return min(1.0, self.factor + REGAINED_PER_S * max(0.0, now - self.since))

    def stretch_at(self, now: float) -> float:
        """How many times as far apart calls are, from 1 to 4."""
        return max(1.0, self.stretch * math.exp(-max(0.0, now - self.since) / RELAXED_S))

    def paused(self, now: float, asked_s: float) -> Strictness:
        """For so long; a pause that is no time, or absurdly long, is taken for a bound."""
        pause_s = asked_s if math.isfinite(asked_s) else SHORTEST_PAUSE_S
        until = now + min(max(pause_s, SHORTEST_PAUSE_S), LONGEST_PAUSE_S)
        until = max(until, self.paused_until)
        return Strictness(until, self.factor_at(now), self.stretch_at(now), until)

    def refused(self, now: float, refusal: Refusal) -> Strictness:
        """Paused; and slower, unless the call was under way before the end of the latest pause."""
        asked_s, paused = refusal.retry_after_s, self.paused(now, refusal.retry_after_s)
        factor, stretch, until = paused.factor, paused.stretch, paused.paused_until
        if refusal.sent_at >= self.paused_until:
            near = refusal.close and refusal.used < WELL_USED and asked_s <= LONG_S
            if not near or stretch >= WIDE:
                factor = max(FLOOR, factor * SLOWER)
            if near:
                stretch = min(WIDEST, stretch * STRETCHED)
        return Strictness(until, factor, stretch, until)

    def strictest(self, other: Strictness, now: float) -> Strictness:
        """What both have seen."""
        until = max(self.paused_until, other.paused_until)
        factor = min(self.factor_at(now), other.factor_at(now))
        stretch = max(self.stretch_at(now), other.stretch_at(now))
        return Strictness(until, factor, stretch, max(until, now))


def refusal_of(
    grant: Grant,
    retry_after_s: float,
    windows: Sequence[Window],
    used: Sequence[int],
    strictness: Strictness,
    now: float,
) -> Refusal:
    """What the accounts say of a call that was throttled; `used`: calls that count, by window."""
    applying = [
        (window, count)
        for window, count in zip(windows, used, strict=True)
        if grant.write or not window.writes_only
    ]
    apart_s = max((w.limit.window_s for w, _ in applying if w.spaced), default=0.0)
    factor = strictness.factor_at(now)
    parts = (count / w.allows(factor=factor) for w, count in applying if not w.spaced)
    return Refusal(
        sent_at=now if grant.sent_at is None else grant.sent_at,
        retry_after_s=retry_after_s,
        used=max(parts, default=0.0),
        close=grant.gap_s < CLOSE * apart_s * strictness.stretch_at(now),
    )
