"""Sliding windows in buckets, that never allow what an exact sliding log would not. Pure.

A call counts from its sending until its whole bucket has left the window, and `margin_s` longer:
what is sent and what arrives are apart by the time that a call takes on its way. Until it is known
when it was sent, it counts from the latest time that it may be. A window of one call is spacing: it
has no buckets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, assert_never

from bff.limits import Limit
from bff.nexudus.budget.contract import Priority

BUCKETS: Final = 60
MARGIN_OF_WINDOW: Final = 0.01
"""Least margin, as a part of its window."""
HOLD_S: Final = 0.3
"""How long a grant may be on its way until the call is sent: connecting takes its time."""
SENDS_WITHIN_S: Final = 0.25
"""The same for whoever sends it: between looking at the time and sending a busy process rests."""


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

    def keep_s(self, stretch: float = 1.0) -> float:
        """How long calls count after the end of their bucket; only spacing is stretched."""
        return self.limit.window_s * (stretch if self.spaced else 1.0) + self.kept_for_s

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

    def moved(self, end: float, to: float) -> Tally:
        """With one call of the bucket that ends at `end`, if there is any, in that at `to`."""
        fewer = self.minus_one(end)
        return self if fewer is self else fewer.plus(to, 1)

    def minus_one(self, end: float) -> Tally:
        """With one call fewer in the bucket that ends at `end`, if there is any."""
        if all(each != end for each, _ in self.entries):
            return self
        kept = ((each, calls - (each == end)) for each, calls in self.entries)
        return Tally(tuple(entry for entry in kept if entry[1]))

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


def applying(windows: Sequence[Window], write: bool) -> list[int]:
    """Which of them count a call, by index."""
    return [i for i, window in enumerate(windows) if write or not window.writes_only]


def wait_s(
    window: Window, tally: Tally, now: float, allowed: int, ahead: int = 0, stretch: float = 1.0
) -> float:
    """Least seconds until one more call fits, after `ahead` others that go first.

    `allowed` is what counts at most at once, of which whole loads go first, a window apart.
    The tally is one `at(now)`.
    """
    loads, rest = divmod(ahead, allowed)
    keep_s = window.keep_s(stretch)
    first = tally.wait_s(now, keep_s, tally.used + rest + 1 - allowed)
    load_s = keep_s if window.spaced else window.limit.window_s
    return loads * load_s + (0.0 if math.isinf(first) else first)


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

    def left_s(self, now: float) -> float:
        """Seconds until calls may no longer start, at most 0 outside of its turn."""
        return self.opening_s - (now - self.rank * self.turn_s) % (self.turn_s * self.processes)


@dataclass(frozen=True, slots=True)
class Shares:
    """Part of each limit up to which calls of lower priority may use it, all calls counted.

    Of strangers `stranger` bounds their own calls. All counted they have half of what `forward`
    leaves too: otherwise calls passed through could keep the use of a limit above theirs for ever.
    """

    forward: float
    refresh: float
    stranger: float

    def of(self, priority: Priority) -> float:
        """All calls counted; a lower priority has no more than a higher one."""
        match priority:
            case Priority.INTERACTIVE:
                return 1.0
            case Priority.STRANGER:
                return max(self.stranger, (1 + self.forward) / 2)
            case Priority.FORWARDED:
                return self.forward
            case Priority.BACKGROUND:
                return min(self.refresh, self.forward)
            case _:
                assert_never(priority)

    def no_greater_than(self, priority: Priority) -> frozenset[Priority]:
        """Those for whom no room is left where there is none for this one."""
        own = self.of(priority)
        return frozenset(each for each in Priority if self.of(each) <= own)
