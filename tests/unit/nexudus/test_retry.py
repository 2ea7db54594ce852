"""What is worth another call, and what the server said about when."""

from __future__ import annotations

import pytest

from bff.nexudus.headers import Header
from bff.nexudus.retry import (
    Cause,
    Mishap,
    Prospects,
    RetryPolicy,
    mishap_of,
    next_delay,
    retry_after_s,
)

POLICY = RetryPolicy(retries=2, base_s=0.1, cap_s=2)
NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z
DOWN, THROTTLED = Mishap(Cause.NO_ANSWER), Mishap(Cause.THROTTLED, 3)
EMPTY: Header = (b"Content-Length", b"0")
BUSY = Mishap(Cause.UNAVAILABLE, 2)


def at(
    retried: int = 0, left_s: float = 9, *, short: bool = False, background: bool = False
) -> Prospects:
    return Prospects(retried, left_s, short, background)


def after(*values: bytes) -> list[Header]:
    return [(b"Retry-After", value) for value in values]


@pytest.mark.parametrize(
    ("mishap", "prospects", "expected"),
    [
        (DOWN, at(), 0.05),
        (DOWN, at(retried=1), 0.1),
        (DOWN, at(retried=2), None),
        (DOWN, at(left_s=0.04), None),
        (DOWN, at(left_s=-1), None),
        (DOWN, at(short=True), None),
        (DOWN, at(background=True), 0.05),
        (DOWN, at(retried=1, background=True), None),
        (BUSY, at(), 2.05),
        (BUSY, at(left_s=2.05), None),
        (THROTTLED, at(), 0),
        (THROTTLED, at(left_s=3), None),
        (THROTTLED, at(short=True), 0),
    ],
)
def test_the_next_call(mishap: Mishap, prospects: Prospects, expected: float | None) -> None:
    assert next_delay(POLICY, mishap, prospects, chance=0.5) == expected


def test_the_backoff_has_a_limit() -> None:
    often = RetryPolicy(retries=10_000, base_s=0.1, cap_s=2)
    assert next_delay(often, DOWN, at(retried=9_999), chance=0.5) == 1


def test_no_retries_is_no_retries() -> None:
    assert next_delay(RetryPolicy(0), DOWN, at(background=True), chance=0) is None


@pytest.mark.parametrize(
    ("status", "headers", "known", "expected"),
    [
        (409, [*after(b"7"), EMPTY], False, Mishap(Cause.THROTTLED, 7)),
        (409, [*after(b"soon"), EMPTY], False, Mishap(Cause.THROTTLED, 1)),
        (409, after(b"7"), False, None),
        (409, [EMPTY], False, None),
        (409, after(), True, Mishap(Cause.THROTTLED, 1)),
        (429, after(b"7"), False, Mishap(Cause.THROTTLED, 7)),
        (429, after(), False, None),
        (429, after(), True, Mishap(Cause.THROTTLED, 1)),
        (429, after(b"0"), False, Mishap(Cause.THROTTLED, 0.1)),
        (429, after(b"99999999999999"), False, Mishap(Cause.THROTTLED, 300)),
        (502, after(), True, Mishap(Cause.UNAVAILABLE, 0)),
        (503, after(b"1000"), True, Mishap(Cause.UNAVAILABLE, 1000)),
        (504, after(), False, Mishap(Cause.UNAVAILABLE, 0)),
        *((status, after(b"1"), True, None) for status in (200, 304, 401, 404, 500, 501, 505)),
    ],
)
def test_what_an_answer_says_went_wrong(
    status: int, headers: list[Header], known: bool, expected: Mishap | None
) -> None:
    assert mishap_of(status, headers, NOW, known=known) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([b"3"], 3),
        ([b" 3\t"], 3),
        ([b"1", b"5", b"x"], 5),
        ([b"Fri, 15 Jan 2027 08:00:20 GMT"], 20),
        ([b"Fri, 15 Jan 2027 08:00:20 -0000"], 20),
        ([b"Fri, 15 Jan 2027 07:00:00 GMT"], 0),
        ([b"Fri, 15 Jan 9999 08:00:20 GMT"], 251_572_003_220),
        *(([text], None) for text in (b"", b"-1", b"1.5", b"\xb2", b"Fri, 32 Jan 2027 08:00:00 G")),
        ([], None),
    ],
)
def test_the_header_is_read_in_both_forms(values: list[bytes], expected: float | None) -> None:
    assert retry_after_s(after(*values), NOW) == expected
