"""What part of the limits is found out by a process that has heard of no other."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bff.limits import Limit
from bff.nexudus.budget.config import BudgetConfig
from bff.nexudus.budget.trial import FLOOR, LESS, LONGEST_S, MORE, QUIET, SETTLED, Trial, pacing
from bff.nexudus.budget.windows import Window

NOW = 1_000.0

events = st.lists(st.one_of(st.booleans(), st.floats(0.1, 300.0)), max_size=60)
"""A call, and whether the part is used up; or a refusal, and the pause that it asks for."""


@given(st.integers(2, 32), events)
def test_it_takes_more_only_of_what_is_used_up_and_less_after_each_refusal(
    processes: int, happened: list[bool | float]
) -> None:
    trial, calls = Trial.among(processes), QUIET
    assert trial.part == 1 / processes
    for event in happened:
        before = trial
        if isinstance(event, bool):
            trial, tried = before.granted(used_up=event), event and calls >= QUIET
            assert trial.part == (min(1.0, before.part + MORE) if tried else before.part)
            calls += 1
        else:
            trial, calls = before.refused(NOW, event), 0
            assert trial.part == max(FLOOR / processes, before.part * LESS)
        assert FLOOR / processes <= trial.part <= 1.0


@given(st.floats(0.1, 300.0), st.integers(1, 40))
def test_while_each_call_is_refused_it_is_still_for_twice_as_long_each_time(
    asked_s: float, times: int
) -> None:
    trial, held_s = Trial.among(4), 0.0
    for _ in range(times):
        before, trial = held_s, trial.refused(NOW, asked_s).granted(used_up=False)
        held_s = trial.held_until - NOW
        assert min(before, LONGEST_S) <= held_s <= LONGEST_S
    assert held_s == pytest.approx(min(LONGEST_S, asked_s * 2.0 ** (times - 1)))
    answered = trial.granted(used_up=False).refused(NOW, 1.0)
    assert answered.held_until == NOW + 1.0


def test_who_is_refused_again_soon_takes_another_turn() -> None:
    trial = Trial.among(4).refused(NOW, 1.0)
    assert trial.moves == 1  # nothing speaks for the first one
    for calls, moves in ((SETTLED - 1, 2), (SETTLED, 2), (0, 3)):
        for _ in range(calls):
            trial = trial.granted(used_up=True)
        trial = trial.refused(NOW, 1.0)
        assert trial.moves == moves


@settings(max_examples=20)
@given(st.floats(0.05, 0.9), st.floats(0.05, 0.9))
def test_whoever_began_with_more_two_end_up_with_equal_parts(one: float, other: float) -> None:
    parts = [Trial(0.01, one), Trial(0.01, other)]
    debt = [0.0, 0.0]
    for _ in range(200):
        for index, trial in enumerate(parts):
            debt[index] += trial.part * 40
            while debt[index] >= 1:
                parts[index], debt[index] = parts[index].granted(used_up=True), debt[index] - 1
        # Of what is too much the greater part meets more.
        if parts[0].part + parts[1].part > 1:
            first = parts[0].part >= parts[1].part
            parts[not first] = parts[not first].refused(NOW, 1.0)
    low, high = sorted(trial.part for trial in parts)
    assert high < 2 * low
    assert 0.6 < low + high <= 1.2


def test_the_shortest_windows_that_count_are_tried_of_all_calls_and_of_writes() -> None:
    windows = BudgetConfig().windows
    assert [windows[index].limit for index in sorted(pacing(windows))] == [
        Limit(120, 60.0),
        Limit(60, 60.0),
    ]
    assert pacing((Window(Limit(1, 0.1)),)) == frozenset()
