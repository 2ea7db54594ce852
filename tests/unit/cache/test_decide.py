"""How old is too old: every window, to the second."""

from __future__ import annotations

import pytest

from bff.cache.decide import MAX_SKEW_S, Freshness, Verdict, age_s, judge, remaining_s

PROFILES = Freshness(60, 300, 3_600)
NEGATIVE = Freshness(60, 0, 0)
STALE_LONGER = Freshness(60, 900, 600)
NOTHING = Freshness(0, 0, 0)


@pytest.mark.parametrize(
    ("age", "verdict"),
    [
        (-MAX_SKEW_S, Verdict.FRESH),
        (0, Verdict.FRESH),
        (59.999, Verdict.FRESH),
        (60, Verdict.STALE),
        (359.999, Verdict.STALE),
        (360, Verdict.LAPSED),
        (3_659.999, Verdict.LAPSED),
        (3_660, Verdict.DEAD),
        (1e9, Verdict.DEAD),
    ],
)
def test_each_window_begins_where_the_one_before_ends(age: float, verdict: Verdict) -> None:
    assert judge(1_000_000, 1_000_000 + age, PROFILES, None) is verdict


@pytest.mark.parametrize(
    ("freshness", "age", "verdict"),
    [
        (NEGATIVE, 59, Verdict.FRESH),
        (NEGATIVE, 60, Verdict.DEAD),
        (STALE_LONGER, 959, Verdict.STALE),
        (STALE_LONGER, 960, Verdict.DEAD),
        (NOTHING, 0, Verdict.DEAD),
    ],
)
def test_windows_may_be_empty_or_cover_one_another(
    freshness: Freshness, age: float, verdict: Verdict
) -> None:
    assert judge(0, age, freshness, None) is verdict


def test_pitfall_24_what_is_past_every_window_serves_nothing_even_if_nexudus_fails() -> None:
    assert judge(0, PROFILES.keep_s, PROFILES, None) is Verdict.DEAD
    assert judge(0, PROFILES.keep_s - 1, PROFILES, None) is Verdict.LAPSED


@pytest.mark.parametrize(("until", "verdict"), [(30.0, Verdict.DEAD), (30.001, Verdict.FRESH)])
def test_a_tokens_expiry_ends_every_window(until: float, verdict: Verdict) -> None:
    assert judge(0, 30, PROFILES, until) is verdict


def test_an_entry_from_the_future_is_asked_about_before_it_is_believed() -> None:
    assert judge(100, 90, PROFILES, None) is Verdict.LAPSED
    assert judge(100, 90, NEGATIVE, None) is Verdict.DEAD


def test_a_store_keeps_an_entry_for_its_longest_window() -> None:
    assert (PROFILES.keep_s, STALE_LONGER.keep_s, NEGATIVE.keep_s) == (3_660, 960, 60)


def test_a_greater_verdict_may_be_used_for_less() -> None:
    assert Verdict.FRESH < Verdict.STALE < Verdict.LAPSED < Verdict.DEAD


@pytest.mark.parametrize(
    ("now", "until", "left"),
    [(0, None, 60), (0.5, None, 59), (60, None, 0), (60.5, None, -1), (0, 20.0, 20), (0, 99.0, 60)],
)
def test_the_freshness_left_is_in_whole_seconds_and_ends_with_the_token(
    now: float, until: float | None, left: int
) -> None:
    assert remaining_s(0, now, PROFILES, until) == left


@pytest.mark.parametrize(("now", "age"), [(0, 0), (0.9, 0), (61.9, 61), (-3, 0)])
def test_an_age_is_whole_and_never_negative(now: float, age: int) -> None:
    assert age_s(0, now) == age
