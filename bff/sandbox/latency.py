"""How long an answer takes: distributions of delays, read from a setting or a fault rule."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import assert_never


@dataclass(frozen=True, slots=True)
class Uniform:
    """Every delay between the two bounds is as likely; equal bounds make it constant."""

    low_ms: float
    high_ms: float

    def __post_init__(self) -> None:
        if not 0 <= self.low_ms <= self.high_ms < math.inf:
            raise ValueError(
                f"a range of milliseconds goes up from 0: {self.low_ms}-{self.high_ms}"
            )


@dataclass(frozen=True, slots=True)
class LogNormal:
    """The long-tailed form of real services: half the delays pass `median_ms`."""

    median_ms: float
    sigma: float

    def __post_init__(self) -> None:
        if not (0 < self.median_ms < math.inf and 0 <= self.sigma < math.inf):
            raise ValueError(f"not a log-normal: median {self.median_ms} ms, sigma {self.sigma}")


Distribution = Uniform | LogNormal
DistributionLike = Distribution | float | tuple[float, float] | str


def distribution_of(value: DistributionLike) -> Distribution:
    """`40`, `(20, 80)`, `"40"`, `"20-80"` or `"lognormal:60:0.5"` (median ms, sigma).

    Raises ValueError for anything else.
    """
    match value:
        case Uniform() | LogNormal():
            return value
        case str():
            return _parse(value)
        case (low, high):
            return Uniform(float(low), float(high))
        case _:
            return Uniform(float(value), float(value))


def _parse(text: str) -> Distribution:
    parts = text.strip().split(":")
    if parts[0] == "lognormal" and len(parts) == 3:
        return LogNormal(float(parts[1]), float(parts[2]))
    low, dash, high = text.partition("-")
    return Uniform(float(low), float(high if dash else low))


def sample_s(distribution: Distribution, rng: Random) -> float:
    """One delay in seconds."""
    match distribution:
        case Uniform(low_ms=low, high_ms=high):
            return rng.uniform(low, high) / 1000
        case LogNormal(median_ms=median, sigma=sigma):
            return rng.lognormvariate(math.log(median), sigma) / 1000
        case _:
            assert_never(distribution)
