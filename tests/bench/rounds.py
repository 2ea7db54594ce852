"""Rounds in turn, A B A B, so that what disturbs the machine disturbs all alike."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Measure = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, least and greatest of several values."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))

    @classmethod
    def around(cls, values: Sequence[float]) -> Spread:
        """The median, and the middle half of many values."""
        lower, median, upper = statistics.quantiles(values, n=4)
        return cls(median, lower, upper)


@dataclass(frozen=True, slots=True)
class Outcome:
    """By name: what was measured in each round, the same round at the same place."""

    rounds: Mapping[str, tuple[float, ...]]

    def spread(self, name: str) -> Spread:
        """Of one."""
        return Spread.of(self.rounds[name])

    def ratio(self, name: str, to: str) -> Spread:
        """Of one to another, round by round."""
        pairs = zip(self.rounds[name], self.rounds[to], strict=True)
        return Spread.of([one / other for one, other in pairs])


def in_turn(measures: Mapping[str, Measure], rounds: int) -> Outcome:
    """Measure each in every round, the first one last in every other round; one to warm up."""
    found: dict[str, list[float]] = {name: [] for name in measures}
    for measure in measures.values():
        measure()
    for number in range(rounds):
        order = list(measures) if number % 2 == 0 else list(reversed(list(measures)))
        for name in order:
            found[name].append(measures[name]())
    return Outcome({name: tuple(values) for name, values in found.items()})
