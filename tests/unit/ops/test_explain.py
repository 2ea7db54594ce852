"""What stands around the reads of a space: when its budget counts as spent."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from bff.limits import Limit
from bff.nexudus.admission import Admission
from bff.nexudus.budget.contract import Spending, Standing
from bff.ops.explain import Surroundings
from bff.ops.outlook import Conditions
from bff.session.fetcher import BEGUN
from bff.session.reads import Reads
from bff.session.sharing import Sharing

DEADLINE_S = 10.0


def around(*windows: Spending, factor: float = 1.0) -> Conditions:
    """Of a space whose budget stands like this."""
    standing = Standing(windows, 0.0, factor, 1.0, shared=True)
    budget = SimpleNamespace(standing=lambda _: standing, is_short=lambda _: False)
    breaker = SimpleNamespace(state="closed", wait_s=0.0)
    admission = SimpleNamespace(budget=budget, standing=lambda _: breaker)
    return Surroundings(
        cast(Admission, admission),
        cast(Reads, SimpleNamespace(refreshes_paused=False)),
        cast(Sharing, None),
        deadline_s=DEADLINE_S,
    ).of("acme")


@pytest.mark.parametrize(
    ("limit", "used", "factor", "spent"),
    [
        ("120/m", 120, 1.0, "120 of 120/m"),
        ("120/m", 119, 1.0, ""),
        ("120/m", 60, 0.5, "60 of 120/m"),  # Nexudus turned out stricter
        ("1/m", 1, 0.5, "1 of 1/m"),
        ("1/100ms", 1, 1.0, ""),  # it only keeps calls apart
        ("10/5s", 10, 1.0, ""),  # there is room again before a call gives up
        ("10/1h", 11, 1.0, "11 of 10/h"),
    ],
)
def test_a_window_is_spent_once_a_call_may_not_have_its_turn(
    limit: str, used: int, factor: float, spent: str
) -> None:
    found = around(Spending(Limit.parse(limit), False, used), factor=factor)
    assert found.patience_s == BEGUN * DEADLINE_S > 5
    assert (found.spent, found.spent_for_writes) == (spent, spent)


def test_the_limits_of_writes_are_writes_alone() -> None:
    windows = (
        Spending(Limit.parse("8/m"), False, 8),
        Spending(Limit.parse("60/m"), True, 60),
        Spending(Limit.parse("5000/d"), True, 60),
    )
    assert around(*windows).spent == "8 of 8/m"
    assert around(*windows).spent_for_writes == "8 of 8/m, 60 of 60/m writes"
