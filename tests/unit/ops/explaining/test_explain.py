"""What stands around the reads of a space, as this process knows it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from bff.limits import Limit
from bff.nexudus.admission import Admission
from bff.nexudus.budget.contract import Spending, Standing
from bff.ops.explaining.explain import Surroundings
from bff.ops.explaining.outlook import Conditions
from bff.session.fetcher import BEGUN
from bff.session.reads import Reads
from bff.session.sharing import Sharing

WINDOWS = (
    Spending(Limit.parse("8/m"), False, 8, (8, 8, 7, 4)),
    Spending(Limit.parse("60/m"), True, 3, (60, 60, 54, 30)),
)


def around(*, demoted: bool = False, by_hand: bool = False, learned: bool = True) -> Surroundings:
    """A space that is throttled, and fails."""
    standing = Standing(WINDOWS, 3.25, 0.5, 1.0, shared=True)
    budget = SimpleNamespace(standing=lambda _: standing, is_short=lambda _: True)
    breaker = SimpleNamespace(state="half_open", wait_s=1.5)
    sharing = SimpleNamespace(
        is_demoted=lambda _: demoted,
        is_set_by_hand=lambda _: by_hand,
        is_learned=lambda _: learned,
    )
    return Surroundings(
        cast(Admission, SimpleNamespace(budget=budget, standing=lambda _: breaker)),
        cast(Reads, SimpleNamespace(refreshes_paused=True)),
        cast(Sharing, sharing),
        deadline_s=10.0,
    )


def test_what_stands_against_calls_is_what_breaker_and_budget_say() -> None:
    patience_s = BEGUN * 10.0
    assert around().of("acme") == Conditions(
        "half_open", 1.5, 3.25, refreshes_paused=True, patience_s=patience_s, windows=WINDOWS,
        short=True,
    )  # fmt: skip


def test_operators_are_told_the_budget_by_window() -> None:
    assert around().told("acme") == {
        "breaker": "half_open",
        "breaker_wait_s": 1.5,
        "paused_s": 3.25,
        "refreshes_paused": True,
        "related_lists": "shared between tokens",
        "budget": [
            {"window": "8/m", "writes": False, "used": 8},
            {"window": "60/m", "writes": True, "used": 3},
        ],
        "budget_shared": True,
    }
    found = around(demoted=True).told("acme")["related_lists"]
    assert found == "for each token, since lists differed"
    found = around(demoted=True, by_hand=True).told("acme")["related_lists"]
    assert found == "for each token, as configured"
    found = around(demoted=True, by_hand=True, learned=False).told("acme")["related_lists"]
    assert found == "for each token, as configured"
    found = around(learned=False).told("acme")["related_lists"]
    assert found == "for each token, until Redis says whether lists differed"
