"""Buckets, shares and turns, by example; tests/property/test_budget.py has the proofs."""

from __future__ import annotations

import math

import pytest

from bff.configured import budget
from bff.limits import DOCUMENTED_CALLS, DOCUMENTED_WRITES, Limit
from bff.nexudus.budget.config import UNHEARD_PROCESSES, BudgetConfig
from bff.nexudus.budget.contract import Priority
from bff.nexudus.budget.windows import Shares, Tally, Turns, Window, wait_s
from bff.settings import load

MINUTE = Window(Limit(120, 60.0))
SHARES = Shares(forward=0.9, refresh=0.5, stranger=0.75)
SPACING = Window(Limit(1, 0.1), margin_s=0.025)


def test_a_window_has_sixty_buckets_and_a_margin_of_a_hundredth_at_least() -> None:
    assert MINUTE.bucket_s == 1.0
    assert MINUTE.keep_s() == pytest.approx(60.6)
    assert MINUTE.end(1_000.2) == 1_001.0
    assert MINUTE.end(1_001.0) == 1_002.0


def test_calls_leave_with_their_bucket_and_more_than_there_are_never_do() -> None:
    tally = Tally().plus(1_001.0, 2).plus(1_003.0, 1)
    waits = [tally.wait_s(1_002.0, 60.0, leaving) for leaving in range(5)]
    assert waits == [0.0, 59.0, 59.0, 61.0, math.inf]


def test_spacing_has_no_buckets_and_can_be_stretched() -> None:
    assert SPACING.end(1_000.2) == 1_000.2
    assert SPACING.keep_s() == pytest.approx(0.125)
    assert SPACING.keep_s(2.0) == pytest.approx(0.225)
    assert MINUTE.keep_s(2.0) == MINUTE.keep_s()
    assert SPACING.allows(0.1, 0.1) == 1


def test_a_share_and_a_factor_lower_a_limit_but_one_call_is_always_possible() -> None:
    assert MINUTE.allows() == 120
    assert MINUTE.allows(0.5, 0.8) == 48
    assert Window(Limit(3, 60.0)).allows(0.5, 0.1) == 1


@pytest.mark.parametrize(
    ("priority", "share"),
    [
        (Priority.INTERACTIVE, 1.0),
        (Priority.STRANGER, 0.8),
        (Priority.FORWARDED, 0.6),
        (Priority.BACKGROUND, 0.6),
    ],
)
def test_no_priority_has_a_greater_share_than_a_higher_one(
    priority: Priority, share: float
) -> None:
    assert Shares(forward=0.6, refresh=0.9, stranger=0.4).of(priority) == share


def test_background_has_its_own_share() -> None:
    assert SHARES.of(Priority.BACKGROUND) == 0.5


def test_where_no_room_is_left_for_one_none_is_left_for_those_below() -> None:
    assert Shares(0.9, 0.5, 0.99).of(Priority.STRANGER) == 0.99
    below = set(Priority) - {Priority.INTERACTIVE}
    assert SHARES.no_greater_than(Priority.STRANGER) == below
    assert SHARES.no_greater_than(Priority.FORWARDED) == below - {Priority.STRANGER}
    assert SHARES.no_greater_than(Priority.BACKGROUND) == {Priority.BACKGROUND}


def test_calls_that_go_first_cost_a_window_for_each_load_of_them() -> None:
    window = Window(Limit(2, 1.0))
    full = Tally(((10.0, 2),))
    assert wait_s(window, full, 10.0, 2) == pytest.approx(1.01)
    assert wait_s(window, full, 10.0, 2, ahead=4) == pytest.approx(3.01)
    assert wait_s(window, Tally(), 10.0, 2, ahead=3) == pytest.approx(1.0)


def test_calls_that_go_first_are_spaced_as_far_apart_as_they_are_kept() -> None:
    assert wait_s(SPACING, Tally(), 10.0, 1, ahead=4) == pytest.approx(0.5)
    assert wait_s(SPACING, Tally(), 10.0, 1, ahead=4, stretch=2.0) == pytest.approx(0.9)


def test_one_call_moves_and_only_if_it_is_there() -> None:
    tally = Tally(((10.0, 2), (11.0, 1)))
    assert tally.moved(10.0, 9.5).entries == ((9.5, 1), (10.0, 1), (11.0, 1))
    assert tally.moved(11.0, 10.0).entries == ((10.0, 3),)
    assert tally.moved(12.0, 9.0) is tally


def test_a_turn_comes_round_and_its_opening_is_short() -> None:
    turns = Turns(turn_s=1.0, opening_s=0.25, rank=1, processes=4)
    assert turns.wait_s(0.0) == 1.0
    assert turns.wait_s(1.2) == 0.0
    assert turns.wait_s(1.25) == 3.75
    assert turns.left_s(1.2) == pytest.approx(0.05)
    assert turns.left_s(1.25) == 0.0
    assert turns.left_s(0.9) < 0


def test_the_configuration_accounts_calls_and_writes_unless_it_is_off() -> None:
    config = BudgetConfig()
    assert [w.limit for w in config.windows if not w.writes_only] == list(DOCUMENTED_CALLS)
    assert [w.limit for w in config.windows if w.writes_only] == list(DOCUMENTED_WRITES)
    assert BudgetConfig(enabled=False).windows == ()
    assert config.shares == Shares(forward=0.9, refresh=0.5, stranger=0.5)


def test_no_fewer_processes_are_assumed_than_one_gateway_has() -> None:
    environ = {
        "BFF_UPSTREAM": "north",
        "BFF_REDIS_URL": "redis://redis.example.com",
        "BFF_SECRET": "a-secret-of-forty-characters-for-a-test-",
    }
    told = [("2", "1"), ("2", "8")]
    processes = [
        budget(load({**environ, "BFF_BUDGET_PROCESSES": all_, "BFF_WORKERS": ours})).processes
        for all_, ours in told
    ]
    assert processes == [2, 8]
    assert budget(load(environ)).processes == UNHEARD_PROCESSES
