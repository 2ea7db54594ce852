from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.sandbox.latency import Distribution, LogNormal, Uniform, distribution_of, sample_s
from tests.unit.sandbox.space import PROFILES, Space

MakeSpace = Callable[..., Space]


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        (40, Uniform(40, 40)),
        (0.5, Uniform(0.5, 0.5)),
        ((20, 80), Uniform(20, 80)),
        ("40", Uniform(40, 40)),
        (" 20-80 ", Uniform(20, 80)),
        ("lognormal:60:0.5", LogNormal(60, 0.5)),
        (LogNormal(1, 1), LogNormal(1, 1)),
    ],
)
def test_ways_to_name_a_distribution(
    value: Distribution | float | tuple[float, float] | str, meant: Distribution
) -> None:
    assert distribution_of(value) == meant


@pytest.mark.parametrize(
    "value", ["", "fast", "80-20", "-5", "lognormal:60", "lognormal:0:1", "nan", "inf", -1, (3, 2)]
)
def test_what_is_no_distribution(value: str | float | tuple[float, float]) -> None:
    with pytest.raises(ValueError):
        distribution_of(value)


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.randoms(use_true_random=False))
def test_uniform_delays_stay_within_their_bounds(a: float, b: float, rng: Random) -> None:
    low, high = sorted((a, b))
    assert low / 1000 <= sample_s(Uniform(low, high), rng) <= high / 1000 + 1e-9


def test_half_of_the_log_normal_delays_pass_the_median() -> None:
    rng = Random(1)
    above = sum(sample_s(LogNormal(60, 0.5), rng) > 0.06 for _ in range(4_000))
    assert 1_800 < above < 2_200
    assert sample_s(LogNormal(60, 0), rng) == pytest.approx(0.06)


async def test_every_answer_takes_the_latency_asked_for(make_space: MakeSpace) -> None:
    space = make_space(latency_ms=(20, 80))
    for _ in range(20):
        assert (await space.get(PROFILES)).status_code == 200
    assert len(space.clock.slept) == 20
    assert all(0.02 <= slept <= 0.08 for slept in space.clock.slept)
    assert len(set(space.clock.slept)) > 10
    await space.get("/_sandbox/calls")
    assert len(space.clock.slept) == 20
