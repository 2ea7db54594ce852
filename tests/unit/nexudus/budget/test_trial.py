"""What part of the limits is found out by a process that has heard of no other."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bff.limits import Limit
from bff.nexudus.budget.config import BudgetConfig
from bff.nexudus.budget.strictness import Refusal
from bff.nexudus.budget.trial import FLOOR, LESS, LONGEST_S, MORE, QUIET, SETTLED, Trial, pacing
from bff.nexudus.budget.windows import Window

NOW = 1_000.0


def refusal(asked_s: float = 1.0, sent_at: float = NOW) -> Refusal:
    return Refusal(sent_at, asked_s, used=0.0, close=False)


refusals = st.tuples(st.floats(0.1, 300.0), st.booleans(), st.booleans())
events = st.lists(st.one_of(st.booleans(), refusals), max_size=60)
"""A call, and whether the part is used up; or a refusal: the pause that it asks for, whether it was
too much, and whether the first call since the refusal before it got through."""


@given(st.integers(2, 32), events)
def test_it_takes_more_only_of_what_is_used_up_and_less_of_what_was_too_much_or_in_vain(
    processes: int, happened: list[bool | tuple[float, bool, bool]]
) -> None:
    trial, calls = Trial.among(processes), QUIET
    assert trial.part == 1 / processes
    for event in happened:
        before = trial
        if isinstance(event, bool):
            trial, tried = before.granted(NOW, used_up=event), event and calls >= QUIET
            assert trial.part == (min(1.0, before.part + MORE) if tried else before.part)
            calls += 1
        else:
            asked_s, too_much, after_others = event
            sent = refusal(asked_s, NOW + after_others)
            trial, calls = before.refused(NOW + 1.0, sent, too_much=too_much), 0
            assert (trial.vain == 1) or not (after_others and before.calls)
            part = before.part * LESS if too_much or trial.vain > 1 else before.part
            assert trial.part == max(FLOOR / processes, part)
        assert FLOOR / processes <= trial.part <= 1.0


@given(st.floats(0.1, 300.0), st.integers(1, 40))
def test_while_each_call_is_refused_it_is_still_for_twice_as_long_each_time(
    asked_s: float, times: int
) -> None:
    trial, held_s = Trial.among(4), 0.0
    for _ in range(times):
        trial = trial.granted(NOW, used_up=False).granted(NOW + 0.5, used_up=False)
        before, trial = held_s, trial.refused(NOW, refusal(asked_s), too_much=False)
        held_s = trial.held_until - NOW
        assert min(before, LONGEST_S) <= held_s <= LONGEST_S
    assert held_s == pytest.approx(min(LONGEST_S, asked_s * 2.0 ** (times - 1)))
    trial = trial.granted(NOW, used_up=False)
    second = trial.refused(NOW + 0.5, refusal(sent_at=NOW + 0.1), too_much=False)
    assert second.held_until == NOW + 1.5


def test_who_is_refused_again_soon_takes_another_turn() -> None:
    trial = Trial.among(4).refused(NOW, refusal(), too_much=True)
    assert trial.moves == 1  # nothing speaks for the first one
    for calls, moves in ((SETTLED - 1, 2), (SETTLED, 2), (0, 3)):
        for _ in range(calls):
            trial = trial.granted(NOW, used_up=True)
        trial = trial.refused(NOW, refusal(), too_much=True)
        assert trial.moves == moves


@settings(max_examples=20)
@given(st.floats(0.05, 0.9), st.floats(0.05, 0.9))
def test_whoever_began_with_more_two_end_up_with_equal_parts(one: float, other: float) -> None:
    parts = [Trial(0.01, one), Trial(0.01, other)]
    debt = [0.0, 0.0]
    for _ in range(400):
        for index, trial in enumerate(parts):
            debt[index] += trial.part * 20
            while debt[index] >= 1:
                parts[index] = parts[index].granted(NOW, used_up=True)
                debt[index] -= 1
        # Of what is too much the greater part meets more.
        if parts[0].part + parts[1].part > 1:
            first = parts[0].part >= parts[1].part
            beyond = refusal(sent_at=NOW + 1.0)
            parts[not first] = parts[not first].refused(NOW, beyond, too_much=True)
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
