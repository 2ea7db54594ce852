"""What counts as two flights of one key at once, and what a write excuses."""

from __future__ import annotations

import time
from time import monotonic
from typing import Any

import pytest

from tests.support.fleet_members import Writing
from tests.support.fleet_run import WAITED_S, flights_of
from tests.support.gateway import PROFILES, related

ROUND_S = 0.01
LATER_S = 1.0
EARLIER_S = LATER_S + WAITED_S


def overlap(path: str, *, same: int, others: int) -> dict[str, Any]:
    """A call that came just now, a second after the first of those under way."""
    now = time.time()
    own_since = now - LATER_S if same else None
    return {
        "at": now,
        "path": path,
        "same_token": same,
        "other_tokens": others,
        "since": now - LATER_S,
        "own_since": own_since,
    }


@pytest.mark.parametrize(
    ("path", "same", "others", "expected"),
    [
        (PROFILES, 0, 4, 1),
        (PROFILES, 2, 4, 3),
        (related(101), 0, 2, 3),
        (related(101), 1, 2, 4),
        (f"{PROFILES}/current/benefits", 3, 3, 1),
    ],
)
def test_lists_are_counted_by_token_and_related_lists_by_coworker(
    path: str, same: int, others: int, expected: int
) -> None:
    assert flights_of(overlap(path, same=same, others=others), []) == expected


@pytest.mark.parametrize(
    ("began_ago_s", "ended_ago_s", "expected"),
    [
        (0.5, 0.4, 1),
        (0.5, -1.0, 1),
        (EARLIER_S + 1, EARLIER_S - ROUND_S, 1),
        (EARLIER_S + 1, EARLIER_S + ROUND_S, 2),
        (-ROUND_S, -1.0, 2),
    ],
)
def test_only_a_write_between_two_calls_excuses_the_second(
    began_ago_s: float, ended_ago_s: float, expected: int
) -> None:
    now = monotonic()
    writes = [Writing(now - began_ago_s, now - ended_ago_s), Writing(now - 60, now - 59)]
    assert flights_of(overlap(PROFILES, same=1, others=0), writes) == expected
