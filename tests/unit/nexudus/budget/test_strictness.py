"""Pauses, what they are put down to, and how slowly their price is given back."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.nexudus.budget.strictness import (
    FLOOR,
    LONGEST_PAUSE_S,
    SHORTEST_PAUSE_S,
    WIDEST,
    Refusal,
    Strictness,
)


def refusal(
    sent_at: float, retry_after_s: float = 1.0, used: float = 0.1, *, close: bool = False
) -> Refusal:
    return Refusal(sent_at, retry_after_s, used, close)


def test_a_refusal_pauses_and_costs_a_fifth_once_per_pause() -> None:
    first = Strictness().refused(100.0, refusal(100.0))
    assert (first.paused_s(100.0), first.factor) == (1.0, 0.8)
    again = first.refused(100.5, refusal(100.1, 2.0))
    assert (again.paused_until, again.factor) == (102.5, 0.8)
    assert again.refused(100.6, refusal(100.6, 0.5)).paused_until == 102.5
    assert again.refused(102.5, refusal(102.5)).factor == pytest.approx(0.64)


def test_a_call_that_was_under_way_before_the_pause_pauses_and_costs_nothing() -> None:
    first = Strictness().refused(100.0, refusal(100.0, close=True))
    late = first.refused(130.0, refusal(99.9, 3.0, close=True))
    assert (late.factor, late.paused_until) == (1.0, 133.0)
    assert late.stretch == pytest.approx(first.stretch_at(130.0))


def test_calls_that_were_close_in_windows_that_are_not_are_stretched() -> None:
    first = Strictness().refused(100.0, refusal(100.0, close=True))
    assert (first.factor, first.stretch) == (1.0, 1.25)
    for used, asked_s, close in ((0.8, 1.0, True), (0.1, 5.1, True), (0.1, 1.0, False)):
        other = Strictness().refused(100.0, refusal(100.0, asked_s, used, close=close))
        assert (other.factor, other.stretch) == (0.8, 1.0)


def test_refused_again_and_again_however_far_apart_it_is_the_windows_as_well() -> None:
    strictness, now, factors = Strictness(), 0.0, []
    for _ in range(8):
        now = max(now, strictness.paused_until) + 0.2
        strictness = strictness.refused(now, refusal(now, close=True))
        factors.append(strictness.factor)
    assert factors[:4] == [1.0] * 4
    assert factors[-1] < 0.6
    assert strictness.stretch == pytest.approx(WIDEST, abs=0.3)


def test_half_a_minute_without_refusal_gives_a_twentieth_of_the_windows_back() -> None:
    paused = Strictness().refused(0.0, refusal(0.0, 10.0))
    assert paused.factor_at(10.0) == 0.8
    assert paused.factor_at(40.0) == pytest.approx(0.85)
    assert paused.factor_at(10_000.0) == 1.0


def test_spacing_relaxes_within_two_minutes() -> None:
    widest = Strictness(0.0, 1.0, WIDEST, 0.0)
    assert 1.9 < widest.stretch_at(60.0) < 2.1
    assert widest.stretch_at(126.0) == 1.0
    assert Strictness(0.0, 1.0, 1.25, 0.0).stretch_at(21.0) == 1.0


@given(
    steps=st.lists(
        st.tuples(
            st.floats(0, 40), st.floats(-50, 0), st.floats(0, 9), st.floats(0, 2), st.booleans()
        )
    )
)
def test_it_stays_within_its_bounds_and_a_pause_never_becomes_shorter(
    steps: list[tuple[float, float, float, float, bool]],
) -> None:
    strictness, now = Strictness(), 1_000.0
    for gap, ago, asked_s, used, close in steps:
        now += gap
        before = strictness
        strictness = before.refused(now, Refusal(now + ago, asked_s, used, close))
        assert strictness.paused_until >= max(before.paused_until, now + min(asked_s, 0.1))
        assert FLOOR <= strictness.factor <= before.factor_at(now)
        assert before.stretch_at(now) <= strictness.stretch <= WIDEST


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
    strictness = Strictness().refused(100.0, refusal(100.0, said))
    assert strictness.paused_s(100.0) == pytest.approx(paused)


def test_of_two_the_longer_pause_the_lower_factor_and_the_wider_stretch_count() -> None:
    one, other = Strictness(110.0, 0.9, 1.5, 110.0), Strictness(105.0, 0.5, 1.2, 105.0)
    both = one.strictest(other, 100.0)
    assert both == other.strictest(one, 100.0) == Strictness(110.0, 0.5, 1.5, 110.0)
    assert Strictness().strictest(Strictness(), 100.0).since == 100.0
