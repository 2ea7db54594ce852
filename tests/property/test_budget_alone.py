"""Processes that never heard of each other, before a Nexudus that keeps its limits."""

from __future__ import annotations

from heapq import heappop, heappush
from random import Random

import pytest

from bff.limits import Limit
from bff.nexudus.budget.book import Book
from bff.nexudus.budget.contract import Grant, Priority
from bff.nexudus.budget.peers import Peers
from bff.nexudus.budget.windows import Shares, Window
from bff.sandbox import throttle
from tests.support.manual_time import ManualTime

LIMITS = (Limit(1, 0.1), Limit(60, 20.0))
LATENCY_S = 0.02
BEFORE_S, COUNTED_S = 100.0, 160.0
LONG_AGO = 0.0
"""What has been learnt is told as if no time had passed since."""


def played(
    processes: int,
    assumed: int,
    limits: tuple[Limit, ...],
    varies_s: float = 0.0,
    asked: tuple[Limit, ...] = (),
) -> tuple[list[int], int, Book]:
    """Calls that each got through in the counted time, with somebody waiting at each all along;
    how many were refused; and one of the books. `asked` by Nexudus, unless it keeps to `limits`;
    the way there takes longer by `varies_s` in the mean."""
    windows = tuple(Window(limit, False, 0.015) for limit in limits)
    books = [
        Book(windows, Shares(0.9, 0.5, 0.5), Peers(f"p{i}", assumed)) for i in range(processes)
    ]
    time, chance = ManualTime(), Random(1)
    kept = tuple(throttle.Limit(limit.calls, limit.window_s) for limit in asked or limits)
    nexudus = throttle.Throttle(time, enabled=True, limits=kept)
    through, refused, end = [0] * processes, 0, time.now + BEFORE_S + COUNTED_S
    due: list[tuple[float, int, int, Grant | None]] = []
    for number in range(processes):
        heappush(due, (time.now + number / 7, number, number, None))
    order = processes
    while due[0][0] < end:
        time.now, _, number, sent = heappop(due)
        order += 1
        if sent is None:
            verdict = books[number].decide(Priority.INTERACTIVE, False, time.now, time.now)
            again_s = 0.004 if verdict.granted else min(1.0, max(0.004, verdict.wait_s))
            heappush(due, (time.now + again_s, order, number, None))
            if verdict.granted:
                verdict.grant.sent(time.now)
                late_s = chance.expovariate(1 / varies_s) if varies_s else order % 5 * 0.002
                arrives = time.now + LATENCY_S + late_s
                heappush(due, (arrives, order + 1, number, verdict.grant))
                order += 1
            continue
        admitted, counts = nexudus.admit("GET"), time.now > end - COUNTED_S
        through[number] += admitted and counts
        if not admitted:
            refused += counts
            books[number].refused(time.now, 1.0, sent)
    return through, refused, books[0]


@pytest.mark.parametrize(
    ("processes", "assumed", "least"), [(1, 3, 0.7), (2, 4, 0.8), (4, 4, 0.8), (2, 2, 0.8)]
)
def test_they_find_out_what_the_others_leave_and_share_it(
    processes: int, assumed: int, least: float
) -> None:
    through, refused, book = played(processes, assumed, LIMITS)
    assert sum(through) >= least * LIMITS[1].calls * COUNTED_S / LIMITS[1].window_s
    assert refused <= 0.08 * sum(through)
    assert max(through) <= 3 * min(through)
    told = book.tell(LONG_AGO)
    assert book.strictness.factor == told.factor == told.stretch == 1.0


def test_calls_that_meet_on_their_way_do_not_cost_what_the_window_has() -> None:
    through, refused, _ = played(4, 4, LIMITS, varies_s=0.04)
    assert sum(through) >= 0.6 * LIMITS[1].calls * COUNTED_S / LIMITS[1].window_s
    assert refused <= 0.15 * sum(through)


def test_a_spacing_that_is_not_documented_is_found_out() -> None:
    through, refused, book = played(1, 4, LIMITS, asked=(Limit(1, 1.0), LIMITS[1]))
    assert sum(through) >= 0.25 * COUNTED_S
    assert refused <= 0.1 * sum(through)
    assert book.strictness.stretch > 1.0 == book.tell(LONG_AGO).stretch


def test_what_is_used_up_for_long_is_asked_for_seldom() -> None:
    through, refused, _ = played(2, 4, (Limit(1, 0.1), Limit(30, 10.0), Limit(100, 3_600.0)))
    assert sum(through) == 0
    assert 0 < refused <= 2 * COUNTED_S / 20
