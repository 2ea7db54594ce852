"""Pauses, and how slowly their price is given back."""

from __future__ import annotations

import math

import pytest

from bff.nexudus.budget.strictness import (
    FLOOR,
    LONGEST_PAUSE_S,
    SHORTEST_PAUSE_S,
    Strictness,
)


def test_a_refusal_pauses_and_costs_a_fifth_once_per_pause() -> None:
    first = Strictness().refused(100.0, 1.0)
    assert (first.paused_s(100.0), first.factor) == (1.0, 0.8)
    again = first.refused(100.5, 2.0)
    assert (again.paused_until, again.factor) == (102.5, 0.8)
    assert again.refused(100.6, 0.5).paused_until == 102.5
    assert again.refused(102.5, 1.0).factor == pytest.approx(0.64)


def test_a_minute_without_refusal_gives_a_twentieth_back() -> None:
    paused = Strictness().refused(0.0, 10.0)
    assert paused.factor_at(10.0) == 0.8
    assert paused.factor_at(70.0) == pytest.approx(0.85)
    assert paused.factor_at(10_000.0) == 1.0


def test_it_never_falls_below_a_tenth() -> None:
    strictness = Strictness()
    for second in range(40):
        strictness = strictness.refused(second * 2.0, 1.0)
    assert strictness.factor == FLOOR


@pytest.mark.parametrize(
    ("said", "paused"),
    [
        (1e9, LONGEST_PAUSE_S),
        (-1.0, SHORTEST_PAUSE_S),
        (math.nan, SHORTEST_PAUSE_S),
        (math.inf, SHORTEST_PAUSE_S),
    ],
)
def test_an_absurd_retry_after_is_bounded(said: float, paused: float) -> None:
    assert Strictness().refused(100.0, said).paused_s(100.0) == pytest.approx(paused)


def test_of_two_the_longer_pause_and_the_lower_factor_count() -> None:
    one, other = Strictness(110.0, 0.9, 110.0), Strictness(105.0, 0.5, 105.0)
    both = one.strictest(other, 100.0)
    assert both == other.strictest(one, 100.0) == Strictness(110.0, 0.5, 110.0)
    assert Strictness().strictest(Strictness(), 100.0).since == 100.0
