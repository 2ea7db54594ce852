"""A stamp between two invalidations that follow each other was given by what the store lost."""

from __future__ import annotations

from itertools import accumulate, pairwise

from hypothesis import given
from hypothesis import strategies as st

from bff.cache.lineage import Step

CLOCKS = st.lists(st.one_of(st.just(1), st.integers(1, 9)), min_size=1, max_size=12)
"""How far it goes on by each invalidation: by one while the wall clock is behind it."""


def clock(first: int, onward: list[int]) -> list[int]:
    return list(accumulate(onward, initial=first))


def steps(stamps: list[int]) -> list[Step]:
    return [Step(last + 1, stamp) for last, stamp in pairwise(stamps)]


def given_by(stamps: list[int]) -> list[int]:
    """To whoever invalidated, and to whoever loaded after it."""
    return [known for stamp in stamps for known in (stamp, stamp + 1)]


@given(CLOCKS)
def test_nothing_that_a_store_gave_is_left_out_by_it_in_whatever_order_it_comes(
    onward: list[int],
) -> None:
    stamps = clock(100, onward)
    for step in steps(stamps):
        assert not any(step.leaves_out(known) for known in (0, *given_by(stamps)))


@given(CLOCKS, CLOCKS, st.integers(1, 9))
def test_what_was_lost_is_left_out_by_the_step_that_covers_it_up(
    kept: list[int], lost: list[int], later: int
) -> None:
    stamps = clock(100, kept)
    gone = clock(stamps[-1] + 2, lost)  # less than two: the wall clock was behind all that
    covering = Step(stamps[-1] + 1, gone[-1] + 1 + later)
    assert all(covering.leaves_out(known) for known in given_by(gone))


@given(CLOCKS)
def test_who_knows_of_all_but_the_step_goes_on_with_it_and_nobody_else(onward: list[int]) -> None:
    stamps = clock(100, onward)
    for last, step in zip(stamps, steps(stamps), strict=False):
        followed = {known for known in given_by(stamps) if step.follows(known)}
        assert followed - {step.stamp} == {last, last + 1} - {step.stamp}
        assert step.follows(0)


def test_a_clock_that_begins_leaves_nothing_out() -> None:
    assert not any(Step(501, 500).leaves_out(known) for known in range(600))
