"""When a space is called, and when not: each sentence with the numbers that decide it."""

from __future__ import annotations

import pytest

from bff.nexudus.breaker import (
    Began,
    BreakerPolicy,
    Closed,
    Event,
    Failed,
    GivenUp,
    HalfOpen,
    Open,
    State,
    Succeeded,
    Tally,
    admits,
    after,
    wait_s,
)

POLICY = BreakerPolicy(failures=3, rate=1, open_s=5, probe_s=2, window_s=10, least=4)
BY_RATE = BreakerPolicy(failures=1000, rate=0.5, window_s=10, least=4)


def played(state: State, events: str, now: float = 100, policy: BreakerPolicy = POLICY) -> State:
    """`s`ucceeded, `f`ailed and `g`iven up, each in the epoch that the state is in."""
    for each in events:
        epoch = state.epoch
        kinds: dict[str, Event] = {
            "s": Succeeded(epoch),
            "f": Failed(epoch, 0.0),
            "g": GivenUp(epoch),
        }
        state = after(state, kinds[each], now, policy)
    return state


@pytest.mark.parametrize("events", ["", "ff", "ffsff", "ffgs", "sfsf"])
def test_it_stays_closed(events: str) -> None:
    state = played(Closed(), events)
    assert isinstance(state, Closed)
    assert admits(state, 100)
    assert after(state, Began(), 100, POLICY) == state


@pytest.mark.parametrize("events", ["fff", "sfff", "ffgf", "gfgfgf"])
def test_failures_in_a_row_open_it(events: str) -> None:
    state = played(Closed(), events)
    assert state == Open(epoch=1, until=105, openings=1, lesser_from=106)
    assert (admits(state, 104.9), admits(state, 105)) == (False, True)
    assert wait_s(state, 104) == 1


@pytest.mark.parametrize(
    ("events", "opens"), [("sff", False), ("ssff", False), ("sfsff", True), ("fff", False)]
)
def test_a_rate_opens_it_once_there_were_enough_calls(events: str, opens: bool) -> None:
    assert isinstance(played(Closed(), events, policy=BY_RATE), Open) is opens


def test_a_rate_of_one_never_does() -> None:
    never = BreakerPolicy(failures=1000, rate=1)
    assert isinstance(played(Closed(), "f" * 500, policy=never), Closed)


def test_calls_leave_the_window() -> None:
    state = played(Closed(), "fff", now=100.9, policy=BY_RATE)
    assert isinstance(played(state, "f", now=109.9, policy=BY_RATE), Open)
    later = played(state, "f", now=110, policy=BY_RATE)
    assert later == Closed(in_row=4, tallies=(Tally(110, 1, 1),))


def test_a_probe_is_alone_until_it_ends_or_is_lost() -> None:
    probing = after(Open(1, 105, 1), Began(), 106, POLICY)
    assert probing == HalfOpen(epoch=2, lost_at=108, openings=1)
    assert (admits(probing, 107.9), admits(probing, 108)) == (False, True)
    assert after(probing, Began(), 108, POLICY) == HalfOpen(epoch=3, lost_at=110, openings=1)


def test_the_probe_decides() -> None:
    probing = HalfOpen(epoch=2, lost_at=108, openings=1)
    assert played(probing, "s") == Closed(epoch=3)
    assert played(probing, "f") == Open(epoch=3, until=110, openings=2, lesser_from=111)
    assert played(probing, "g") == Open(epoch=3, until=100, openings=1, lesser_from=105)


def test_a_lesser_probe_comes_later_and_gives_way() -> None:
    state = Open(1, 105, 1, lesser_from=106)
    assert (wait_s(state, 105), wait_s(state, 105, sound=False)) == (0, 1)
    probing = after(state, Began(sound=False), 106, POLICY)
    assert probing == HalfOpen(epoch=2, lost_at=108, openings=1, sound=False)
    assert (wait_s(probing, 107), wait_s(probing, 107, sound=False)) == (0, 1)
    assert after(probing, Began(), 107, POLICY) == HalfOpen(epoch=3, lost_at=109, openings=1)


@pytest.mark.parametrize(
    "state", [Open(4, 105, 1), HalfOpen(4, 108, 1), Closed(4, in_row=2, tallies=(Tally(99, 2, 2),))]
)
def test_reports_of_an_earlier_epoch_come_too_late(state: State) -> None:
    for event in (Succeeded(3), Failed(3, 0), GivenUp(3)):
        assert after(state, event, 100, POLICY) == state


def test_nothing_is_reported_in_the_epoch_of_an_opening() -> None:
    assert played(Open(1, 105, 1), "sfg") == Open(1, 105, 1)


@pytest.mark.parametrize(
    ("open_s", "openings", "expected"),
    [(2, 1, 2), (2, 2, 4), (2, 3, 8), (2, 4, 10), (5, 2, 10), (5, 10_000, 10), (60, 9, 60)],
)
def test_openings_grow_up_to_a_limit(open_s: float, openings: int, expected: float) -> None:
    policy = BreakerPolicy(open_s=open_s)
    assert policy.opening_s(openings, 0) == expected
    assert policy.opening_s(openings, 0.5) == pytest.approx(0.9 * expected)


@pytest.mark.parametrize(("open_s", "longest_s"), [(1, 6), (0.25, 1.5)])
def test_short_openings_stay_short(open_s: float, longest_s: float) -> None:
    policy = BreakerPolicy(open_s=open_s)
    assert policy.opening_s(3, 0) == 4 * open_s
    assert policy.opening_s(4, 0) == policy.opening_s(10_000, 0) == longest_s
