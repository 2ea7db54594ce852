"""What is counted while a trace is played."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

NEVER: Final = math.inf
"""How long a member waited who gave up."""
CALLS_OF_A_BOOTSTRAP: Final = 2
CALLS_OF_A_CARD: Final = 1


@dataclass(slots=True)
class Level:
    """How many there are now, and were at most."""

    now: int = 0
    peak: int = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        self.now += 1
        self.peak = max(self.peak, self.now)
        try:
            yield
        finally:
            self.now -= 1


@dataclass(slots=True)
class Tally:
    """`statuses` counts answers to the apps; `first_waits_s` those for each device's first start.

    `queue`: requests that wait for an answer; `waiting`: members who wait for their session.
    `worth`: upstream calls that the answers given take when each is asked for by itself.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    first_waits_s: list[float] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)
    incomplete: int = 0
    cards: int = 0
    cards_failed: int = 0
    switches: int = 0
    error_pages: int = 0
    bytes_down: int = 0
    worth: int = 0
    queue: Level = field(default_factory=Level)
    waiting: Level = field(default_factory=Level)

    def started(self, waited_s: float, *, first: bool, complete: bool) -> None:
        """A session start ended: with a session after `waited_s`, or NEVER."""
        self.waits_s.append(waited_s)
        if first:
            self.first_waits_s.append(waited_s)
        if waited_s != NEVER:
            self.incomplete += not complete
            self.worth += CALLS_OF_A_BOOTSTRAP if complete else CALLS_OF_A_BOOTSTRAP - 1

    def opened(self, *, shown: bool) -> None:
        """A card was opened, and shown or not."""
        self.cards += 1
        self.cards_failed += not shown
        self.worth += CALLS_OF_A_CARD if shown else 0

    def switched(self, *, done: bool) -> None:
        """A member asked for another active profile."""
        self.switches += 1
        self.worth += done

    @property
    def given_up(self) -> int:
        """Session starts that came to nothing."""
        return sum(waited_s == NEVER for waited_s in self.waits_s)


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile; values may be NEVER."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
