"""What was measured, and whether it is what was aimed at."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tests.bench.rounds import Outcome, Spread

OURS = "bff"


class Verdict(StrEnum):
    """Of a figure beside its aim."""

    REACHED = "reached"
    NOT_REACHED = "not reached"
    NO_AIM = "no aim"


@dataclass(frozen=True, slots=True)
class Plan:
    """How long: so many rounds, of so many seconds for each server."""

    rounds: int = 5
    seconds: int = 2


@dataclass(frozen=True, slots=True)
class Compared:
    """One path beside its peers. `aims`: by peer, the ratio of ours to it that is aimed at.

    `missing`: peers that were not measured, and why. `spent_us`: processor time of a request, by
    name, medians.
    """

    path: str
    outcome: Outcome
    aims: Mapping[str, float]
    missing: tuple[str, ...] = ()
    unit: str = "/s"
    spent_us: Mapping[str, float] = field(default_factory=dict)

    @property
    def peers(self) -> tuple[str, ...]:
        """All but ours."""
        return tuple(name for name in self.outcome.rounds if name != OURS)

    def ratio(self, peer: str) -> Spread:
        """Of ours to a peer's."""
        return self.outcome.ratio(OURS, peer)

    def verdict(self, peer: str) -> Verdict:
        """By the median of the rounds."""
        aim = self.aims.get(peer)
        if aim is None:
            return Verdict.NO_AIM
        return Verdict.REACHED if self.ratio(peer).median >= aim else Verdict.NOT_REACHED


@dataclass(frozen=True, slots=True)
class Cost:
    """One figure of the gateway alone. `aim`: the most it may be or, `at_least`, the least."""

    what: str
    found: Spread
    unit: str
    aim: float | None = None
    at_least: bool = False

    @property
    def verdict(self) -> Verdict:
        """By the median."""
        if self.aim is None:
            return Verdict.NO_AIM
        value = self.found.median
        reached = value >= self.aim if self.at_least else value <= self.aim
        return Verdict.REACHED if reached else Verdict.NOT_REACHED

    @property
    def part(self) -> float | None:
        """How much of what is allowed is used: 1 is the aim, less is better; None without one."""
        if self.aim is None:
            return None
        return self.aim / self.found.median if self.at_least else self.found.median / self.aim


@dataclass(frozen=True, slots=True)
class Machine:
    """What it was measured on, as far as it matters; nothing that tells which one it is."""

    cores: int
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Report:
    """One run. `failed`: parts that could not be measured, and why. `sizes`: bytes by what."""

    day: datetime.date
    machine: Machine
    plan: Plan
    took_s: float
    compared: tuple[Compared, ...] = ()
    costs: tuple[Cost, ...] = ()
    sizes: tuple[tuple[str, int], ...] = ()
    failed: tuple[str, ...] = ()

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Of everything with an aim."""
        all_ = [each.verdict(peer) for each in self.compared for peer in each.peers]
        all_ += [cost.verdict for cost in self.costs]
        return tuple(each for each in all_ if each is not Verdict.NO_AIM)

    @property
    def missing(self) -> tuple[str, ...]:
        """Peers that were not there, each once."""
        return tuple(dict.fromkeys(each for path in self.compared for each in path.missing))
