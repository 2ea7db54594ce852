"""What a day came to, as numbers to show."""

from __future__ import annotations

from dataclasses import dataclass

from tests.simulate.day import Outcome
from tests.simulate.tally import NEVER, percentile
from tests.simulate.trace import CARDS

SHED = frozenset({503, 504})


@dataclass(frozen=True, slots=True)
class Row:
    """One variant. `saved`: 1 less upstream calls for each call that the answers given are worth.

    `by_minute`, `refused_by_minute`: Nexudus' calls since the trace opened. `again`: those for what
    it had told the same token within a minute. Times are in seconds.
    """

    name: str
    calls: int
    refused: int
    saved: float
    starts: int
    answered: int
    incomplete: int
    given_up: int
    cards: int
    cards_failed: int
    shed: int
    p50_s: float
    p99_s: float
    queue: int
    waiting: int
    redis: int
    again: int
    by_minute: tuple[int, ...]
    refused_by_minute: tuple[int, ...]

    @property
    def fullest_hour(self) -> int:
        """The most calls in sixty minutes."""
        starts = range(max(1, len(self.by_minute) - 59))
        return max(sum(self.by_minute[start : start + 60]) for start in starts)


def row_of(outcome: Outcome, minutes: int) -> Row:
    """The numbers of one day, `minutes` of it by the minute."""
    tally, calls = outcome.tally, outcome.calls.total()
    firsts = tally.first_waits_s or [NEVER]
    return Row(
        name=outcome.variant.name,
        calls=calls,
        refused=outcome.refused.total(),
        saved=1 - calls / max(1, tally.worth),
        starts=len(tally.waits_s),
        answered=len(tally.waits_s) - tally.given_up,
        incomplete=tally.incomplete,
        given_up=tally.given_up,
        cards=tally.cards,
        cards_failed=tally.cards_failed,
        shed=sum(number for status, number in tally.statuses.items() if status in SHED),
        p50_s=percentile(firsts, 50),
        p99_s=percentile(firsts, 99),
        queue=tally.queue.peak,
        waiting=tally.waiting.peak,
        redis=outcome.redis_commands,
        again=outcome.again,
        by_minute=tuple(outcome.calls[minute] for minute in range(minutes)),
        refused_by_minute=tuple(outcome.refused[minute] for minute in range(minutes)),
    )


def seconds(value_s: float) -> str:
    """`0.38 s`, `48 s`, `12 min`, or `never`."""
    if value_s == NEVER:
        return "never"
    if value_s < 10:
        return f"{value_s:.2f} s"
    return f"{value_s:.0f} s" if value_s < 120 else f"{value_s / 60:.0f} min"


def cards_a_visit() -> float:
    """On average."""
    numbers, weights = CARDS
    return sum(n * w for n, w in zip(numbers, weights, strict=True)) / sum(weights)
