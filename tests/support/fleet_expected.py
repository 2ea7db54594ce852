"""What a run must come to: one table, for the fault run and for the soak."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.support.fleet import GATEWAYS, WORKERS, Terms
from tests.support.fleet_checks import Wrong
from tests.support.fleet_figures import Phase
from tests.support.fleet_run import Run

BUSY_S: Final = 0.25
"""What a machine that does other things at the same time may add to any wait."""

CALM: Final = "nothing fails"
"""The name of the phases that the others are compared with."""

OVERTAKEN: Final = 3
"""Calls, of some 700, that may reach Nexudus too close to the one before: they follow four times as
close as is documented here, and any machine holds some of them up on their way."""
HELD_UP: Final = 5
"""As many more at most, one for each time that this machine was seen to hold things up."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """A figure of a run, and what it may be at most."""

    name: str
    of: Callable[[Run], float]
    most: float


def _counted(wrong: Wrong) -> Expectation:
    return Expectation(wrong.value, lambda run: run.load.figures.total(wrong), 0)


def _refused_without_a_reason(run: Run) -> int:
    return max(0, run.overruns - min(HELD_UP, run.stood_still()))


def _without_redis(run: Run) -> list[Phase]:
    return [each for each in run.load.figures.phases if each.name in run.redis_back_s]


def _slowest_cached_without_redis(run: Run) -> float:
    """Beyond what it takes on this machine at this time while nothing fails."""
    phases = run.load.figures.phases
    anyway_s = min((each.slowest_cached_s for each in phases if each.name == CALM), default=0.0)
    return max((each.slowest_cached_s for each in _without_redis(run)), default=0.0) - anyway_s


def _slowest_without_redis(run: Run) -> float:
    """Each process drops what it holds when it cannot hear the others, so all is asked anew."""
    return max((each.slowest_s for each in _without_redis(run)), default=0.0)


EXPECTED: Final = (
    *map(_counted, Wrong),
    Expectation("processes that did not end or begin well", lambda run: len(run.mishaps), 0),
    Expectation("flights of one key at once", lambda run: run.flights["well"], 1),
    Expectation(
        "flights of one key at once while Redis fails: one in each process",
        lambda run: run.flights["redis"],
        GATEWAYS * WORKERS,
    ),
    Expectation("calls refused as too many", _refused_without_a_reason, OVERTAKEN),
    Expectation(
        "seconds until Redis is used again",
        lambda run: max(run.redis_back_s.values(), default=0.0),
        1.0 + BUSY_S,
    ),
    Expectation(
        "seconds of the slowest cached answer while Redis fails",
        _slowest_cached_without_redis,
        Terms().redis_timeout_s + BUSY_S,
    ),
    Expectation(
        "seconds of the slowest answer while Redis fails",
        _slowest_without_redis,
        Terms().deadline_s + BUSY_S,
    ),
)


def summary(run: Run) -> str:
    """Every figure, and what it may be."""
    return "\n".join(f"{each.name}: {each.of(run):.3g} of {each.most:.3g}" for each in EXPECTED)


def unmet(run: Run) -> list[str]:
    """What was more than it may be."""
    found = [(each, each.of(run)) for each in EXPECTED]
    return [f"{each.name}: {had:g} > {each.most:g}" for each, had in found if had > each.most]
