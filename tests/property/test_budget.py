"""The budget never allows what an exact sliding log of the same limits would not."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from bff.limits import Limit
from bff.nexudus.budget.book import Book
from bff.nexudus.budget.contract import Grant, Priority
from bff.nexudus.budget.peers import Peers
from bff.nexudus.budget.windows import HOLD_S, SENDS_WITHIN_S, Shares, Tally, Turns, Window, wait_s
from tests.support.budget_ledger import answer

FULL = Shares(1.0, 1.0, 1.0)

limits = st.builds(
    Limit, st.integers(1, 12), st.sampled_from([0.02, 0.1, 0.25, 1.0, 1.7, 5.0, 60.0])
)
windows = st.builds(Window, limits, st.just(False), st.sampled_from([0.0, 0.015, 0.2]))
parts = st.floats(0.0, 1.0, allow_subnormal=False)
quarters = st.sampled_from([0.0, 0.25, 0.5, 1.0])
positive = st.sampled_from([0.1, 0.33, 0.5, 0.8, 0.9, 1.0])


def most_in_any_window(times: Sequence[float], window_s: float) -> int:
    """By the definition: calls in (t - window_s, t]."""
    times = sorted(times)
    counts = (i + 1 - bisect_right(times, at - window_s) for i, at in enumerate(times))
    return max(counts, default=0)


@dataclass(slots=True)
class Accounts:
    """One window as the ledger keeps it: calls on their way count as sent at the last moment."""

    window: Window
    allowed: int
    stretch: float = 1.0
    tally: Tally = field(default_factory=Tally)
    under_way: list[tuple[float, float]] = field(default_factory=list)

    def wait_s(self, now: float) -> float:
        """After what was reported by now: when each call under way was sent."""
        for held, sent in [each for each in self.under_way if each[1] <= now]:
            self.under_way.remove((held, sent))
            self.tally = self.tally.moved(self.window.end(held), self.window.end(sent))
        self.tally = self.tally.at(now, self.window.keep_s(self.stretch))
        return wait_s(self.window, self.tally, now, self.allowed, stretch=self.stretch)

    def grant(self, now: float, sent: float) -> None:
        self.under_way.append((now + HOLD_S, sent))
        self.tally = self.tally.plus(self.window.end(now + HOLD_S), 1)


@given(
    window=windows,
    share=positive,
    factor=positive,
    stretch=st.sampled_from([1.0, 1.25, 4.0]),
    steps=st.lists(st.tuples(parts, parts, parts), max_size=80),
)
def test_what_arrives_is_within_the_limit_however_long_a_call_takes_to_leave_and_to_come(
    window: Window,
    share: float,
    factor: float,
    stretch: float,
    steps: list[tuple[float, float, float]],
) -> None:
    accounts = Accounts(window, window.allows(share, factor), stretch)
    now, arrivals = 1_000.0, []
    for gap, leaving, coming in steps:
        now += gap * max(window.limit.window_s / 2, 0.05)
        if accounts.wait_s(now) == 0:
            sent = now + leaving * SENDS_WITHIN_S
            accounts.grant(now, sent)
            arrivals.append(sent + coming * window.kept_for_s * 0.999)
    bound = max(1, math.floor(window.limit.calls * share * factor))
    assert most_in_any_window(arrivals, window.limit.window_s) <= bound


@given(window=windows, gaps=st.lists(parts, min_size=1, max_size=40), ahead=st.integers(0, 30))
def test_a_call_fits_after_its_wait_and_no_call_fits_before(
    window: Window, gaps: list[float], ahead: int
) -> None:
    allowed, tally, now = window.allows(), Tally(), 1_000.0
    for gap in gaps:
        now += gap * window.limit.window_s / 3
        tally = tally.at(now, window.keep_s())
        if not wait_s(window, tally, now, allowed):
            tally = tally.plus(window.end(now), 1)
    wait = wait_s(window, tally, now, allowed)
    if wait:
        after = tally.at(now + wait + 1e-6, window.keep_s())
        assert wait_s(window, after, now + wait + 1e-6, allowed) == 0
        before = tally.at(now + wait - 1e-6, window.keep_s())
        assert wait_s(window, before, now + wait - 1e-6, allowed) > 0
    told = wait_s(window, tally, now, allowed, ahead)
    at = now
    for _ in range(ahead + 1):  # nobody can be quicker than one who calls whenever it fits
        tally = tally.at(at, window.keep_s())
        while (next_s := wait_s(window, tally, at, allowed)) > 0:
            at += next_s + 1e-9
            tally = tally.at(at, window.keep_s())
        tally = tally.plus(window.end(at), 1)
    assert told <= at - now + 1e-3


@given(entries=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5))), gone=st.integers(-1, 40))
def test_tallies_keep_their_sums_and_their_order(entries: list[tuple[int, int]], gone: int) -> None:
    tally = Tally()
    for end, calls in entries:
        tally = tally.plus(float(end), calls)
    assert tally.used == sum(calls for _, calls in entries)
    assert [end for end, _ in tally.entries] == sorted({float(e) for e, c in entries if c})
    fewer = tally.without_oldest(gone)
    assert fewer.used == max(0, tally.used - max(0, gone))
    assert tally.entries[len(tally.entries) - len(fewer.entries) + 1 :] == fewer.entries[1:]
    assert tally.joined(fewer).used == tally.used + fewer.used
    assert (tally.wait_s(0.0, 1.0, tally.used + 1) == math.inf) is True


@given(
    turn_s=st.sampled_from([0.05, 0.15, 1.0]),
    processes=st.integers(2, 6),
    asks=st.lists(st.tuples(st.integers(0, 5), parts, parts), min_size=2, max_size=20),
)
def test_turns_keep_processes_apart_that_cannot_talk(
    turn_s: float, processes: int, asks: list[tuple[int, float, float]]
) -> None:
    opening_s = turn_s / 5
    calls = []
    for rank, at, late in asks:
        turns = Turns(turn_s, opening_s, rank % processes, processes)
        now = 1_800_000_000.0 + at * 10
        start = now + turns.wait_s(now) + 1e-5 + late * opening_s / 2  # clocks have grains
        if turns.wait_s(start) == 0:
            calls.append((start, rank % processes))
    assert calls
    for one, rank in calls:
        for other, another in calls:
            assert rank == another or abs(one - other) >= turn_s - opening_s - 1e-3


@settings(max_examples=60)
@given(
    processes=st.integers(1, 4),
    before=st.lists(st.tuples(parts, quarters), max_size=25),
    after=st.lists(st.tuples(st.integers(0, 3), quarters, quarters), min_size=20, max_size=120),
    write=st.booleans(),
)
def test_pitfall_23_shares_of_processes_that_cannot_talk_never_pass_the_limits_together(
    processes: int,
    before: list[tuple[float, float]],
    after: list[tuple[int, float, float]],
    write: bool,
) -> None:
    accounted = (
        Window(Limit(1, 0.02), False, 0.005),
        Window(Limit(14, 1.0), False, 0.005),
        Window(Limit(9, 2.0), True, 0.005),
    )
    names = tuple(f"p{i}" for i in range(processes))
    books = [Book(accounted, FULL, Peers(name)) for name in names]
    ledger = [Accounts(window, window.allows()) for window in accounted]
    now, log = 1_000.0, list[float]()
    for gap, leaving in before:  # shared: one ledger, and everybody hears of each call at once
        now += 0.02 + gap * 0.2
        if max(each.wait_s(now) for each in ledger) > 0:
            continue
        log.append(now + leaving * SENDS_WITHIN_S)
        for each in ledger:
            each.grant(now, log[-1])
        heard = answer(usage=[(e.tally.used, len(log)) for e in ledger], names=names, now_s=now)
        for book in books:
            book.hear(heard, book.tell(now), now, now)
    for book in books:
        if not before:
            book.hear(answer(usage=[(0, 0)] * 3, names=names, now_s=now), book.tell(now), now, now)
        book.lose(now)
    leaving_at: list[tuple[float, Grant]] = []
    for who, gap, leaving in after:
        now += gap * 0.06
        for sent, grant in [each for each in leaving_at if each[0] <= now]:
            leaving_at.remove((sent, grant))
            grant.sent(sent)
        verdict = books[who % processes].decide(Priority.INTERACTIVE, write, now, now)
        if verdict.granted:
            log.append(now + leaving * 0.999 * (verdict.grant.until - now))
            leaving_at.append((log[-1], verdict.grant))
    for window in accounted:
        if write or not window.writes_only:
            assert most_in_any_window(log, window.limit.window_s) <= window.limit.calls


@given(
    shares=st.builds(Shares, positive, positive, positive),
    calls=st.lists(
        st.tuples(st.sampled_from(Priority), st.booleans(), parts, st.booleans()), max_size=60
    ),
)
def test_no_priority_takes_the_use_of_a_limit_above_its_share_and_members_have_all_of_it(
    shares: Shares, calls: list[tuple[Priority, bool, float, bool]]
) -> None:
    accounted = (Window(Limit(14, 1.0)), Window(Limit(6, 2.0), True))
    alone, now = Book(accounted, shares, Peers("p0")), 1_000.0
    alone.hear(answer(usage=[(0, 0)] * 2), alone.tell(now), now, now)
    alone.lose(now)
    strangers = [Tally(), Tally()]
    for priority, write, gap, known in calls:
        now += gap * 0.2
        applying = [i for i, window in enumerate(accounted) if write or not window.writes_only]
        used = alone.used(now)
        verdict = alone.decide(priority, write, now, now)
        level = [window.allows(shares.of(priority)) for window in accounted]
        theirs = [tally.at(now, w.keep_s()) for w, tally in zip(accounted, strangers, strict=True)]
        assert all(each.used <= n for each, n in zip(theirs, used, strict=True))
        if priority is Priority.STRANGER:
            # Those that were not accepted would not fill what is above the level.
            top = [window.allows() for window in accounted]
            level = [top[i] if theirs[i].used < top[i] - n else n for i, n in enumerate(level)]
        room = [used[i] < level[i] for i in applying]
        if priority is Priority.STRANGER:
            room += [theirs[i].used < accounted[i].allows(shares.stranger) for i in applying]
        assert verdict.granted is all(room)
        if verdict.granted and known:
            verdict.grant.accepted(now)
        elif verdict.granted and priority is Priority.STRANGER:
            for i in applying:
                strangers[i] = theirs[i].plus(accounted[i].end(verdict.grant.until), 1)
        if not verdict.granted:
            full = [i for i in applying if used[i] >= accounted[i].allows()]
            assert full or verdict.share_only or verdict.strangers_only
            part = verdict.share_only or verdict.strangers_only
            assert priority is not Priority.INTERACTIVE or not part


@settings(max_examples=50)
@given(
    calls=st.integers(2, 40),
    shares=st.builds(Shares, positive, positive, positive),
    first=st.sampled_from([Priority.STRANGER, Priority.FORWARDED]),
    gaps=st.lists(st.integers(1, 12), min_size=20, max_size=40),
)
def test_neither_strangers_nor_calls_passed_through_keep_the_others_out_however_many_they_are(
    calls: int, shares: Shares, first: Priority, gaps: list[int]
) -> None:
    window = Window(Limit(calls, 1.0))
    alone, now = Book((window,), shares, Peers("p0")), 1_000.0
    alone.hear(answer(usage=[(0, 0)]), alone.tell(now), now, now)
    alone.lose(now)
    flooding = [first]
    granted: list[tuple[float, Priority]] = []
    joined = now
    for step, gap in enumerate(gaps * 4):
        now += gap / 40
        if step == len(gaps):
            flooding, joined = [Priority.STRANGER, Priority.FORWARDED], now
        for priority in flooding:  # in this order whoever waits is asked for
            while (verdict := alone.decide(priority, False, now, now)).granted:
                verdict.grant.sent(now)
                granted.append((now, priority))
    # One call stays longest: until its bucket, as late as it may be sent, has left.
    longest_s = window.keep_s() + 2 * window.bucket_s + HOLD_S + max(gaps) / 40
    recent = [priority for at, priority in granted if at > now - longest_s]
    level, part = window.allows(shares.forward), window.allows(shares.stranger)
    if first is Priority.FORWARDED:
        at_once = granted.count((joined, Priority.STRANGER))
        assert at_once >= min(part, window.allows(shares.of(Priority.STRANGER)) - level)
    if now - joined > longest_s:
        assert recent.count(Priority.STRANGER) >= part
        assert recent.count(Priority.FORWARDED) >= level - part
    if first is Priority.STRANGER:
        theirs = [at for at, priority in granted if priority is Priority.STRANGER]
        assert most_in_any_window(theirs, 1.0) <= part
