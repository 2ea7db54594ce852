"""Buckets, shares and turns, by example; tests/property/test_budget.py has the proofs."""

from __future__ import annotations

import pytest

from bff.limits import DOCUMENTED_CALLS, DOCUMENTED_WRITES, Limit
from bff.nexudus.budget.config import BudgetConfig
from bff.nexudus.budget.contract import Priority
from bff.nexudus.budget.windows import Shares, Tally, Turns, Window, wait_s

MINUTE = Window(Limit(120, 60.0))
SPACING = Window(Limit(1, 0.1), margin_s=0.025)


def test_a_window_has_sixty_buckets_and_a_margin_of_a_hundredth_at_least() -> None:
    assert MINUTE.bucket_s == 1.0
    assert MINUTE.keep_s() == pytest.approx(60.6)
    assert MINUTE.end(1_000.2) == 1_001.0
    assert MINUTE.end(1_001.0) == 1_002.0


def test_spacing_has_no_buckets_and_a_factor_lengthens_it() -> None:
    assert SPACING.end(1_000.2) == 1_000.2
    assert SPACING.keep_s() == pytest.approx(0.125)
    assert SPACING.keep_s(0.5) == pytest.approx(0.225)
    assert SPACING.allows(0.1, 0.1) == 1


def test_a_share_and_a_factor_lower_a_limit_but_one_call_is_always_possible() -> None:
    assert MINUTE.allows() == 120
    assert MINUTE.allows(0.5, 0.8) == 48
    assert Window(Limit(3, 60.0)).allows(0.5, 0.1) == 1


@pytest.mark.parametrize(
    ("priority", "share"),
    [(Priority.INTERACTIVE, 1.0), (Priority.FORWARDED, 0.6), (Priority.BACKGROUND, 0.6)],
)
def test_a_lower_priority_has_never_the_greater_share(priority: Priority, share: float) -> None:
    assert Shares(forward=0.6, refresh=0.9).of(priority) == share


def test_background_has_its_own_share() -> None:
    assert Shares(forward=0.9, refresh=0.5).of(Priority.BACKGROUND) == 0.5


def test_calls_that_go_first_cost_a_window_for_each_load_of_them() -> None:
    window = Window(Limit(2, 1.0))
    full = Tally(((10.0, 2),))
    assert wait_s(window, full, 10.0, 2) == pytest.approx(1.01)
    assert wait_s(window, full, 10.0, 2, ahead=4) == pytest.approx(3.01)
    assert wait_s(window, Tally(), 10.0, 2, ahead=3) == pytest.approx(1.0)


def test_a_turn_comes_round_and_its_opening_is_short() -> None:
    turns = Turns(turn_s=1.0, opening_s=0.25, rank=1, processes=4)
    assert turns.wait_s(0.0) == 1.0
    assert turns.wait_s(1.2) == 0.0
    assert turns.wait_s(1.25) == 3.75


def test_the_configuration_accounts_calls_and_writes_unless_it_is_off() -> None:
    config = BudgetConfig()
    assert [w.limit for w in config.windows if not w.writes_only] == list(DOCUMENTED_CALLS)
    assert [w.limit for w in config.windows if w.writes_only] == list(DOCUMENTED_WRITES)
    assert BudgetConfig(enabled=False).windows == ()
    assert config.shares == Shares(forward=0.9, refresh=0.5)
