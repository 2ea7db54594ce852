"""What part of the limits a process takes that has heard of no other: found out by trying. Pure.

As TCP finds out what a path carries (RFC 5681): a little more for each call while all of the part
is used, a good deal less after a refusal where it was. A call counts alike in every
process, so that processes that cannot talk end up with equal parts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from bff.nexudus.budget.strictness import Refusal
from bff.nexudus.budget.windows import Window

MORE: Final = 0.002
"""Of each limit, for a call."""
LESS: Final = 0.9
FLOOR: Final = 0.25
"""Of the part that it began with, at the least."""
LONGEST_S: Final = 30.0
"""Of the pauses that double while each call is refused: a window that is full may stay so long."""
QUIET: Final = 4
"""So many calls after a refusal are answered before more is tried."""
SETTLED: Final = 8
"""Whoever is refused sooner after a refusal than that may have another one's turn."""


@dataclass(frozen=True, slots=True)
class Trial:
    """`part` (0 to 1] of each limit that is tried (`pacing`); `calls` since the latest refusal.

    `moves`: how many turns it has given up, as they may be another process's. `vain`: refusals with
    no other call between them, after the last of which it keeps still until `held_until`; the call
    after it is sent until `first_until`.
    """

    least: float
    part: float
    calls: int = QUIET
    moves: int = 0
    vain: int = 0
    held_until: float = -math.inf
    first_until: float = math.inf

    @classmethod
    def among(cls, processes: int) -> Trial:
        """The part of one of so many, to begin with."""
        return cls(FLOOR / processes, 1 / processes)

    def granted(self, until: float, *, used_up: bool) -> Trial:
        """One call more, sent by `until`; `used_up`: hardly any are left of its part."""
        more = MORE if used_up and self.calls >= QUIET else 0.0
        part, first_until = min(1.0, self.part + more), min(self.first_until, until)
        return replace(self, part=part, calls=self.calls + 1, first_until=first_until)

    def refused(self, now: float, refusal: Refusal, *, too_much: bool) -> Trial:
        """Nexudus found it `too_much`, or another call too near, and asks for a pause."""
        # Not by what was granted since: answers may take longer than it is to the next turn.
        vain = self.vain + 1 if refusal.sent_at <= self.first_until else 1
        less = LESS if too_much or vain > 1 else 1.0
        return Trial(
            self.least,
            max(self.least, self.part * less),
            calls=0,
            moves=self.moves + (self.calls < SETTLED),
            vain=vain,
            held_until=now + min(LONGEST_S, refusal.retry_after_s * 2.0 ** min(vain - 1, 30)),
        )


def pacing(windows: Sequence[Window]) -> frozenset[int]:
    """Those that follow a rate soon enough to be tried: the shortest that count, of all calls and
    of writes. What a longer one has left shows by refusals only, long after it was used up."""
    found = set()
    for writes_only in (False, True):
        counted = [
            (window.limit.window_s, index)
            for index, window in enumerate(windows)
            if window.writes_only is writes_only and not window.spaced
        ]
        found |= {index for _, index in sorted(counted)[:1]}
    return frozenset(found)
