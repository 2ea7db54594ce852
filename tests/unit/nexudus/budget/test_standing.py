"""What is foretold of a window is what becomes of a call."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.limits import Limit
from bff.nexudus.budget.book import Book
from bff.nexudus.budget.contract import Priority
from bff.nexudus.budget.peers import Peers
from bff.nexudus.budget.standing import spendings
from bff.nexudus.budget.windows import Shares, Window
from tests.support.budget_ledger import answer

MINUTE = Window(Limit(20, 60.0))
SPACING = Window(Limit(1, 0.1))
SHARES = Shares(forward=0.8, refresh=0.5, stranger=0.6)
NOW = 1_000.0


def book(*windows: Window, names: tuple[str, ...] = ("p0",), used: int = 0) -> Book:
    """One that has heard of the others, and of so many calls."""
    made = Book(windows, SHARES, Peers("p0"))
    heard = answer(usage=[(used, used)] * len(windows), names=names, now_s=NOW)
    made.hear(heard, made.tell(NOW), NOW, NOW)
    return made


def is_full(mine: Book, priority: Priority, *, write: bool, now: float) -> bool:
    """Whether any window that counts is."""
    windows = spendings(mine, now)
    return any(each.is_full(priority) for each in windows if write or not each.writes_only)


asked = st.lists(
    st.tuples(st.sampled_from(Priority), st.booleans(), st.booleans(), st.sampled_from((0.0, 9.0))),
    max_size=60,
)


@pytest.mark.parametrize("names", [("p0",), ("p0", "p1", "p2")])
@given(asked)
def test_a_call_is_denied_where_a_window_is_full_for_it(
    names: tuple[str, ...], calls: list[tuple[Priority, bool, bool, float]]
) -> None:
    """And, where there is one process only, nowhere else."""
    few, fewer = Window(Limit(8, 60.0)), Window(Limit(3, 60.0), True)
    mine, now = book(few, fewer, names=names), NOW
    mine.lose(now)
    for priority, write, accepted, passes_s in calls:
        now += passes_s
        full = is_full(mine, priority, write=write, now=now)
        verdict = mine.decide(priority, write, now, now)
        if verdict.granted and accepted:
            verdict.grant.accepted(now)
        assert not (full and verdict.granted)
        assert full or verdict.granted or len(names) > 1


@given(st.integers(0, 20))
def test_each_priority_goes_up_to_its_share_and_factor(used: int) -> None:
    mine = book(MINUTE, used=used)
    [found] = spendings(mine, NOW)
    assert (found.used, found.limit, found.writes_only) == (used, MINUTE.limit, False)
    assert found.levels == (20, 20, 16, 10)
    assert [found.is_full(each) for each in Priority] == [used >= n for n in found.levels]


def test_spacing_is_the_same_for_all() -> None:
    [found] = spendings(book(SPACING, used=1), NOW)
    assert found.levels == (1, 1, 1, 1)
    assert not found.strangers_unheard


def test_strangers_that_are_not_accepted_use_their_part_up() -> None:
    mine = book(MINUTE)
    mine.lose(NOW)
    grants = [mine.decide(Priority.STRANGER, False, NOW, NOW).grant for _ in range(12)]
    levels = spendings(mine, NOW)[0].levels
    assert levels == (20, 0, 16, 10)
    grants[0].accepted(NOW)
    assert spendings(mine, NOW)[0].levels[Priority.STRANGER] == 18, "their share, all counted"
    for grant in grants:
        grant.accepted(NOW)
    assert spendings(mine, NOW)[0].levels[Priority.STRANGER] == 20


@pytest.mark.parametrize(
    ("names", "used", "unheard"),
    [
        (("p0",), 20, False),
        (("p0", "p1"), 11, False),  # so many are theirs at most
        (("p0", "p1"), 12, True),
    ],
)
def test_how_many_strangers_others_let_pass_is_not_heard_of(
    names: tuple[str, ...], used: int, unheard: bool
) -> None:
    [found] = spendings(book(MINUTE, names=names, used=used), NOW)
    assert found.strangers_unheard is unheard
    assert found.levels[Priority.STRANGER] == 20
