"""What a run must come to: one table, for the fault run and for the soak."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.support.fleet import GATEWAYS, WORKERS, Terms
from tests.support.fleet_checks import Wrong
from tests.support.fleet_run import Run

BUSY_S: Final = 0.25
"""What a machine that does other things at the same time may add to any wait."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """A figure of a run, and what it may be at most."""

    name: str
    of: Callable[[Run], float]
    most: float


def _counted(wrong: Wrong) -> Expectation:
    return Expectation(wrong.value, lambda run: run.load.figures.total(wrong), 0)


def _slowest_cached_without_redis(run: Run) -> float:
    phases = [each for each in run.load.figures.phases if each.name in run.redis_back_s]
    return max((each.slowest_cached_s for each in phases), default=0.0)


def _refused_percent(run: Run) -> float:
    calls = sum(phase.calls for phase in run.load.figures.phases)
    return 100 * run.overruns / max(1, calls)


EXPECTED: Final = (
    *map(_counted, Wrong),
    Expectation("flights of one key at once", lambda run: run.flights["well"], 1),
    Expectation(
        "flights of one key at once while Redis fails: one in each process",
        lambda run: run.flights["redis"],
        GATEWAYS * WORKERS,
    ),
    Expectation("calls in a hundred refused as too many", _refused_percent, 2.0),
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
)


def unmet(run: Run) -> list[str]:
    """What was more than it may be."""
    found = [(each, each.of(run)) for each in EXPECTED]
    return [f"{each.name}: {had:g} > {each.most:g}" for each, had in found if had > each.most]
