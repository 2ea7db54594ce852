"""Sliding windows in buckets, that never allow what an exact sliding log would not. Pure.

A call counts until its whole bucket has left the window, and `margin_s` longer: what is granted
and what arrives are apart by the time that a call takes on its way. A window of one call is
spacing: it has no buckets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from bff.limits import Limit
from bff.nexudus.budget.contract import Priority

BUCKETS: Final = 60
MARGIN_OF_WINDOW: Final = 0.01
"""Least margin, as a part of its window: connecting takes some calls half a second."""


@dataclass(frozen=True, slots=True)
class Window:
    """One limit and how it is counted. `margin_s`: see above."""

    limit: Limit
    writes_only: bool = False
    margin_s: float = 0.0

    @property
    def spaced(self) -> bool:
        """Whether it only keeps calls apart."""
        return self.limit.calls == 1

    @property
    def bucket_s(self) -> float:
        """Width of a bucket, 0 for spacing."""
        return 0.0 if self.spaced else max(0.001, self.limit.window_s / BUCKETS)

    @property
    def kept_for_s(self) -> float:
        """The margin that is in use."""
        return max(self.margin_s, MARGIN_OF_WINDOW * self.limit.window_s)

    def keep_s(self, factor: float = 1.0) -> float:
        """How long calls count after the end of their bucket; spacing is lengthened by a factor."""
        return self.limit.window_s / (factor if self.spaced else 1.0) + self.kept_for_s

    def allows(self, share: float = 1.0, factor: float = 1.0) -> int:
        """How many calls may count at once: at least one."""
        return max(1, math.floor(self.limit.calls * share * factor))

    def end(self, now: float) -> float:
        """When the bucket of `now` ends."""
        width = self.bucket_s
        return (math.floor(now / width) + 1) * width if width else now


@dataclass(frozen=True, slots=True)
class Tally:
    """The calls of one window: (end of bucket, calls) pairs, oldest first."""

    entries: tuple[tuple[float, int], ...] = ()

    @property
    def used(self) -> int:
        """How many calls count."""
        return sum(calls for _, calls in self.entries)

    def at(self, now: float, keep_s: float) -> Tally:
        """Without what no longer counts at `now`."""
        if not self.entries or now < self.entries[0][0] + keep_s:
            return self
        return Tally(tuple(entry for entry in self.entries if now < entry[0] + keep_s))

    def plus(self, end: float, calls: int) -> Tally:
        """With so many more calls in the bucket that ends at `end`."""
        if calls <= 0:
            return self
        if self.entries and self.entries[-1][0] == end:
            return Tally((*self.entries[:-1], (end, self.entries[-1][1] + calls)))
        if not self.entries or self.entries[-1][0] < end:
            return Tally((*self.entries, (end, calls)))
        merged = dict(self.entries)
        merged[end] = merged.get(end, 0) + calls
        return Tally(tuple(sorted(merged.items())))

    def joined(self, other: Tally) -> Tally:
        """The calls of both."""
        result = self
        for end, calls in other.entries:
            result = result.plus(end, calls)
        return result

    def without_oldest(self, calls: int) -> Tally:
        """With so many calls fewer, those that would have left first."""
        if calls <= 0:
            return self
        kept = []
        for end, count in self.entries:
            gone = min(calls, count)
            calls -= gone
            if count > gone:
                kept.append((end, count - gone))
        return Tally(tuple(kept))

    def wait_s(self, now: float, keep_s: float, leaving: int) -> float:
        """Seconds until `leaving` of the calls have left; infinite if there are not so many."""
        if leaving <= 0:
            return 0.0
        for end, calls in self.entries:
            leaving -= calls
            if leaving <= 0:
                return max(0.0, end + keep_s - now)
        return math.inf


def wait_s(window: Window, tally: Tally, now: float, allowed: int, ahead: int = 0) -> float:
    """Least seconds until one more call fits, after `ahead` others that go first.

    `allowed` is what counts at most at once, of which whole loads go first, a window apart.
    The tally is one `at(now)`; spacing is as `keep_s()` without a factor.
    """
    loads, rest = divmod(ahead, allowed)
    first = tally.wait_s(now, window.keep_s(), tally.used + rest + 1 - allowed)
    return loads * window.limit.window_s + (0.0 if math.isinf(first) else first)


@dataclass(frozen=True, slots=True)
class Turns:
    """Time divided between processes that cannot talk: each may call at the start of its turn."""

    turn_s: float
    opening_s: float
    rank: int
    processes: int

    def wait_s(self, now: float) -> float:
        """Seconds until the start of this process's turn, 0 within its first `opening_s`."""
        cycle_s = self.turn_s * self.processes
        since = (now - self.rank * self.turn_s) % cycle_s
        return 0.0 if since < self.opening_s else cycle_s - since


@dataclass(frozen=True, slots=True)
class Shares:
    """Part of each limit that calls of lower priority may use up."""

    forward: float
    refresh: float

    def of(self, priority: Priority) -> float:
        """A lower priority never has more than a higher one."""
        if priority is Priority.INTERACTIVE:
            return 1.0
        return self.forward if priority is Priority.FORWARDED else min(self.refresh, self.forward)
