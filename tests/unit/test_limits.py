"""Limits as they are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.limits import DOCUMENTED_CALLS, DOCUMENTED_WRITES, Limit


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("120/m", Limit(120, 60)),
        ("1/100ms", Limit(1, 0.1)),
        ("10/5s", Limit(10, 5)),
        ("5000 / 1h", Limit(5000, 3600)),
        ("200000/d", Limit(200_000, 86_400)),
    ],
)
def test_limit_is_calls_and_a_time(text: str, limit: Limit) -> None:
    assert Limit.parse(text) == limit


@pytest.mark.parametrize(
    "text", ["", "120", "0/m", "1/0s", "1/w", "-1/s", "1/2d", "1.5/s", "1/s/s"]
)
def test_anything_else_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="must "):
        Limit.parse(text)


@given(st.integers(1, 10**6), st.integers(1, 86_400_000))
def test_what_is_written_reads_back(calls: int, window_ms: int) -> None:
    limit = Limit(calls, window_ms / 1000)
    again = Limit.parse(str(limit))
    assert again.calls == calls
    assert again.window_s == pytest.approx(limit.window_s)


def test_the_documented_numbers_are_those_of_nexudus() -> None:
    assert [str(limit) for limit in DOCUMENTED_CALLS] == ["1/100ms", "120/m", "5000/h", "200000/d"]
    assert [str(limit) for limit in DOCUMENTED_WRITES] == ["60/m", "5000/d"]
