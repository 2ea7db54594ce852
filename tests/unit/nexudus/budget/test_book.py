"""What one process knows, and what it makes of it while it cannot ask."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.limits import Limit
from bff.nexudus.budget.book import QUIET_S, Book
from bff.nexudus.budget.config import UNHEARD_PROCESSES
from bff.nexudus.budget.contract import Grant, Priority
from bff.nexudus.budget.ledger import Fate, Report
from bff.nexudus.budget.peers import OPENING_S, Peers
from bff.nexudus.budget.strangers import AGAIN_S, ANSWERED_S
from bff.nexudus.budget.strictness import Refusal
from bff.nexudus.budget.verdict import Verdict
from bff.nexudus.budget.windows import SENDS_WITHIN_S, Shares, Window
from tests.support.budget_ledger import answer

SPACING = Window(Limit(1, 0.1), False, 0.025)
MINUTE = Window(Limit(40, 60.0))
WRITES = Window(Limit(8, 60.0), True)
PEERS = ("p0", "p1", "p2", "p3")
NOW = 1_000.0
CLOSE = Grant(gap_s=0.13, sent_at=NOW)


def book(*windows: Window, process: str = "p0") -> Book:
    return Book(windows, Shares(0.9, 0.5, 0.75), Peers(process))


def told_of(
    mine: Book, *used: int, names: tuple[str, ...] = PEERS, now: float = NOW, epoch: str = "e1"
) -> None:
    """It hears that so many calls count, all of which were granted just now."""
    heard = answer(usage=[(each, each) for each in used], names=names, now_s=now, epoch=epoch)
    mine.hear(heard, mine.tell(now), now, now)


def news(mine: Book) -> bool:
    return mine.has_news


def shared(mine: Book) -> bool:
    return mine.shared


def grants(mine: Book, now: float, write: bool = False, most: int = 100) -> int:
    """How many calls it grants on its own at one time."""
    for count in range(most):
        if not mine.decide(Priority.INTERACTIVE, write, now, now).granted:
            return count
    return most


def test_alone_it_may_use_all_that_is_left() -> None:
    mine = book(MINUTE)
    told_of(mine, 10, names=("p0",))
    mine.lose(NOW)
    assert grants(mine, NOW) == 30
    verdict = mine.decide(Priority.INTERACTIVE, False, NOW, NOW)
    assert 60 < verdict.wait_s < 63


def test_among_four_a_fourth_of_what_is_left() -> None:
    mine = book(MINUTE)
    told_of(mine, 10)
    mine.lose(NOW)
    assert grants(mine, NOW) == 7
    assert mine.used(NOW) == [17]
    assert grants(mine, NOW + 62) == 10


def test_one_that_never_heard_of_others_assumes_some() -> None:
    mine = book(MINUTE)
    mine.lose(NOW)
    assert grants(mine, NOW) == 40 // UNHEARD_PROCESSES


def test_one_that_never_heard_of_others_takes_more_as_long_as_nothing_is_refused() -> None:
    mine = book(MINUTE, Window(Limit(200, 3_600.0)))
    mine.lose(NOW)
    taken = [grants(mine, NOW + 70.0 * minute) for minute in range(60)]
    assert taken[0] == 40 // UNHEARD_PROCESSES
    assert taken[1] == taken[0]  # more for each call, and not at once
    assert sorted(taken[:15]) == taken[:15]
    assert max(taken) > 12
    assert sum(taken[:51]) == 200, "of what is long it may have all, and never more"


def test_a_guess_that_was_too_high_makes_nexudus_no_stricter_and_ends_with_what_is_heard() -> None:
    mine = book(MINUTE)
    mine.lose(NOW)
    assert grants(mine, NOW) == 10
    mine.refused(NOW, 1.0, Grant(sent_at=NOW))
    mine.refused(NOW + 0.1, 1.0, Grant(sent_at=NOW))  # it was under way: counts once
    mine.refused(NOW + 2.0, 1.0, Grant(sent_at=NOW + 1.9))
    assert mine.strictness.factor_at(NOW + 2.0) == mine.strictness.stretch_at(NOW + 2.0) == 1.0
    assert mine.strictness.paused_s(NOW + 2.0) == 1.0
    held = mine.decide(Priority.INTERACTIVE, False, NOW + 2.0, NOW)
    assert (held.granted, held.wait_s > 2.0) == (False, True)
    assert mine.least_wait_s(Priority.INTERACTIVE, False, (0, 0), NOW + 2.0) >= 2.0
    assert grants(mine, NOW + 100.0) == 8  # of ten, two refusals later
    told = mine.tell(NOW + 2.0)
    assert (told.paused_s, told.factor, told.stretch) == (1.0, 1.0, 1.0)
    told_of(mine, 0, names=PEERS[:2], now=NOW + 300.0)
    mine.lose(NOW + 300.0)
    mine.refused(NOW + 300.0, 1.0, Grant(sent_at=NOW + 300.0))
    assert mine.strictness.factor_at(NOW + 300.0) * mine.strictness.stretch_at(NOW + 300.0) != 1.0
    assert grants(mine, NOW + 500.0) == 20


def test_a_call_granted_on_a_guess_says_no_more_of_nexudus_once_the_ledger_was_heard() -> None:
    mine = book(SPACING, MINUTE)
    given = mine.decide(Priority.INTERACTIVE, False, NOW, NOW).grant
    given.sent(NOW)
    told_of(mine, 0, 0, names=PEERS[:2], now=NOW + 0.1)
    mine.refused(NOW + 0.2, 1.0, given)
    assert mine.strictness.factor == 1.0
    assert mine.paused_s(NOW + 0.2) == 1.0


@given(st.integers(2, 200), st.integers(0, 200), st.integers(0, 20))
def test_however_little_it_takes_it_takes_one_call(
    processes: int, more: int, refusals: int
) -> None:
    peers, calls = Peers("p0", processes), processes + more
    assert peers.part_of(calls, paces=True) == calls // processes
    for _ in range(refusals):
        peers = peers.refused(NOW, Refusal(NOW, 1.0, 1.0, close=False), too_much=True)
    assert 1 <= peers.part_of(calls, paces=True) <= calls // processes
    assert peers.part_of(0, paces=True) == 0


def test_where_nothing_is_accounted_there_is_no_part_to_be_found_out() -> None:
    mine = book()
    for second in range(5):
        mine.refused(NOW + 2.0 * second, 1.0, Grant(sent_at=NOW + 2.0 * second))
    assert mine.least_wait_s(Priority.INTERACTIVE, False, (0, 0), NOW + 9.0) == 0.0
    assert mine.strictness.factor < 1.0


def test_what_others_may_have_been_granted_unheard_is_assumed_at_its_most() -> None:
    mine = book(SPACING, MINUTE)
    told_of(mine, 0, 0)
    mine.lose(NOW + 1.0)
    at = NOW + 1.0
    granted = 0
    for _ in range(2_000):
        at += 0.005
        granted += mine.decide(Priority.INTERACTIVE, False, at, at).granted
    assert granted == (40 - 9) // 4  # nine fit into a second at most


def test_where_the_limit_is_below_the_number_of_processes_they_take_turns() -> None:
    few = Window(Limit(3, 1.0), False, 0.0)
    books = [book(few, process=name) for name in PEERS]
    for each in books:
        told_of(each, 0)
        each.lose(NOW)
    at, log = NOW, []
    for _ in range(2_000):
        at += 0.004
        log += [at for each in books if each.decide(Priority.INTERACTIVE, False, at, at).granted]
    assert len(log) >= 15
    assert min(later - sooner for sooner, later in zip(log, log[3:], strict=False)) > 1.0


def test_between_the_turns_of_two_the_whole_margin_is_kept() -> None:
    books = [book(SPACING, process=name) for name in PEERS[:2]]
    for each in books:
        told_of(each, 0, names=PEERS[:2])
        each.lose(NOW)
    log = []
    for step in range(3_000):
        at, late = NOW + 1.0 + step * 0.001, step % 7 == 3
        for each in books[:: -1 if late else 1]:
            if (step // 40) % 3 != 1 and each.decide(Priority.INTERACTIVE, False, at, at).granted:
                log.append(at)
    assert len(log) > 5
    assert min(b - a for a, b in pairwise(log)) >= 0.125


def test_turns_follow_the_ledgers_clock_and_not_that_of_the_wall() -> None:
    turn_s = SPACING.keep_s() + OPENING_S
    one, other = (book(SPACING, process=name) for name in ("p0", "p1"))
    for each, ahead in ((one, 0.0), (other, 77.7)):
        heard = answer(usage=[(0, 0)], names=PEERS[:2], now_s=NOW)
        each.hear(heard, each.tell(NOW + ahead), NOW + ahead, NOW + ahead)
        each.lose(NOW + ahead)
    at = NOW + 1.0
    first = at + one.decide(Priority.INTERACTIVE, False, at, 5.0).wait_s
    second = at + other.decide(Priority.INTERACTIVE, False, at + 77.7, 9.0).wait_s
    apart = (second - first) % (2 * turn_s)
    assert min(apart, 2 * turn_s - apart) >= SPACING.keep_s() - 0.001


def test_a_slow_answer_does_not_spoil_the_clock_and_a_late_question_renews_it() -> None:
    mine = book(SPACING)
    told_of(mine, 0)
    slow = answer(usage=[(0, 0)], names=PEERS, now_s=NOW + 1.0)
    mine.hear(slow, mine.tell(NOW), NOW, NOW + 0.04)
    assert mine.tell(NOW).ledger_s == NOW
    mine.late(5_000.0, NOW, NOW + 0.04)
    assert mine.tell(NOW).ledger_s == pytest.approx(5_000.0 - 0.02)


def test_stricter_limits_cost_turns_and_shares() -> None:
    mine = book(SPACING)
    told_of(mine, 0, names=("p0", "p1"))
    mine.refused(NOW, 0.1, CLOSE)
    assert mine.strictness.stretch == 1.25
    mine.lose(NOW)
    at, log = NOW + 1.0, []
    for _ in range(600):
        at += 0.005
        if mine.decide(Priority.INTERACTIVE, False, at, at).granted:
            log.append(at)
    assert len(log) > 2
    assert min(b - a for a, b in pairwise(log)) >= 2 * 0.1 * 1.2


def test_writes_that_are_used_up_leave_reads_alone() -> None:
    mine = book(MINUTE, WRITES)
    told_of(mine, 0, 0)
    mine.lose(NOW)
    assert grants(mine, NOW, write=True) == 2
    denied = mine.decide(Priority.INTERACTIVE, True, NOW, NOW)
    assert (denied.granted, denied.writes_only) == (False, True)
    assert mine.decide(Priority.INTERACTIVE, False, NOW, NOW) == Verdict(True)


def test_background_has_the_smaller_share_of_a_share() -> None:
    mine = book(MINUTE)
    told_of(mine, 0)
    mine.lose(NOW)
    count = 0
    while mine.decide(Priority.BACKGROUND, False, NOW, NOW).granted:
        count += 1
    assert count == 5


def test_strangers_have_a_part_of_their_own_and_others_pass_them_when_it_is_used_up() -> None:
    mine = book(MINUTE, WRITES)
    told_of(mine, 0, 0, names=("p0",))
    mine.lose(NOW)
    wait = mine.least_wait_s
    assert wait(Priority.STRANGER, False, (39, 0), NOW) == 0.0
    assert wait(Priority.STRANGER, False, (40, 0), NOW) == 60.0
    granted = [mine.decide(Priority.STRANGER, False, NOW, NOW).granted for _ in range(31)]
    assert granted == [True] * 30 + [False]
    denied = mine.decide(Priority.STRANGER, False, NOW, NOW)
    assert (denied.share_only, denied.writes_only, denied.strangers_only) == (False, False, True)
    granted = [mine.decide(Priority.FORWARDED, True, NOW, NOW).granted for _ in range(7)]
    assert granted == [True] * 6 + [False]
    assert mine.decide(Priority.FORWARDED, True, NOW, NOW).share_only
    assert grants(mine, NOW) == 4
    assert not mine.decide(Priority.STRANGER, False, NOW, NOW).partial


def test_the_part_of_strangers_is_divided_and_what_the_ledger_gave_them_is_of_it() -> None:
    mine = book(MINUTE, SPACING)
    heard = answer(usage=[(0, 0)] * 2, names=PEERS, now_s=NOW, asked_at=NOW)
    mine.hear(heard, mine.tell(NOW), NOW, NOW)
    for priority in (Priority.STRANGER, Priority.STRANGER, Priority.FORWARDED):
        mine.granted(heard, False, priority)
    assert mine.strangers.wait_s(1, NOW, 1.0, 1) == 0.0
    for processes, granted in ((1, 30), (4, 7), (40, 1)):
        assert (mine.strangers.wait_s(0, NOW, 1.0, processes) > 0) is (granted <= 2)
    assert mine.strangers.wait_s(0, NOW, 0.1, 2) > 0
    assert mine.strangers.wait_s(0, NOW + 62.0, 0.1, 2) == 0.0


def test_strangers_use_a_limit_up_once_accepted_and_stop_at_their_share_until_then() -> None:
    mine = book(MINUTE)
    told_of(mine, 36, names=("p0",))
    mine.lose(NOW)
    ask = partial(mine.decide, Priority.STRANGER, False)
    first, second, third = (ask(NOW, NOW) for _ in range(3))
    assert (first.granted, second.granted, third.granted) == (True, True, False)
    assert (third.share_only, third.wait_s) == (True, AGAIN_S)
    assert ask(NOW + SENDS_WITHIN_S + ANSWERED_S, NOW).wait_s > 50.0
    first.grant.accepted(NOW)
    assert [ask(NOW, NOW).granted for _ in range(2)] == [True, False]
    second.grant.accepted(NOW)
    assert ask(NOW, NOW).granted
    assert not mine.decide(Priority.INTERACTIVE, False, NOW, NOW).granted


def test_that_a_strangers_token_was_accepted_is_told_once_and_without_being_asked_for() -> None:
    mine = book(MINUTE)
    told_of(mine, 0)
    heard = answer(usage=[(1, 1)], now_s=5_000.0, asked_at=NOW)
    for priority in (Priority.INTERACTIVE, Priority.STRANGER):
        grant = mine.granted(heard, False, priority)
        grant.sent(NOW + 0.02)
        assert not news(mine)
        grant.accepted(NOW + 0.2)
        grant.accepted(NOW + 0.3)
    assert news(mine)
    told = mine.tell(NOW + 0.5)
    accepted = Report("e1", 5_000_300, False, NOW + 0.2, fate=Fate.ACCEPTED)
    assert [each.fate for each in told.reports] == [Fate.SENT, Fate.SENT, Fate.ACCEPTED]
    assert told.reports[-1] == accepted
    assert not news(mine)
    mine.untell(told, unheard=False)
    assert mine.tell(NOW + 0.6).reports == told.reports
    mine.lose(NOW + 1.0)
    assert [mine.decide(Priority.STRANGER, False, NOW + 1.0, NOW).granted for _ in range(8)] == [
        *[True] * 7,
        False,
    ]


def test_a_call_that_was_not_sent_is_told_once_even_where_nobody_may_have_heard_it() -> None:
    mine = book(MINUTE)
    told_of(mine, 0)
    heard = answer(usage=[(1, 1)], now_s=5_000.0, asked_at=NOW)
    member, stranger = (
        mine.granted(heard, False, each) for each in (Priority.INTERACTIVE, Priority.STRANGER)
    )
    for grant in (member, stranger):
        grant.returned(NOW + 0.3)
        grant.returned(NOW + 0.4)
        grant.sent(NOW + 0.4)
        grant.accepted(NOW + 0.5)
    assert news(mine)
    told = mine.tell(NOW + 0.6)
    assert [each.fate for each in told.reports] == [Fate.RETURNED, Fate.ACCEPTED, Fate.RETURNED]
    back = Report("e1", 5_000_300, False, NOW + 0.3, fate=Fate.RETURNED)
    assert told.reports[0] == told.reports[2] == back
    assert mine.strangers.used(0, NOW + 0.6) == 0
    assert not news(mine)
    mine.untell(told, unheard=True)
    told = mine.tell(NOW + 0.7)
    assert [each.fate for each in told.reports] == [Fate.RETURNED, Fate.ACCEPTED, Fate.RETURNED]
    mine.untell(told, unheard=False)
    assert [each.fate for each in mine.tell(NOW + 0.8).reports] == [Fate.ACCEPTED]


def test_a_call_of_ones_own_share_that_was_not_sent_counts_as_if_it_were() -> None:
    mine = book(MINUTE)
    mine.lose(NOW)
    verdict = mine.decide(Priority.STRANGER, False, NOW, NOW)
    verdict.grant.returned(NOW + 0.3)
    assert mine.used(NOW + 0.3) == [1]
    assert mine.strangers.used(0, NOW + 0.3) == 0


def test_what_it_granted_alone_is_told_once_and_again_only_if_that_failed() -> None:
    mine = book(MINUTE)
    told_of(mine, 0)
    mine.lose(NOW)
    assert not news(mine)
    assert grants(mine, NOW, most=2) == 2
    assert news(mine)
    first = mine.tell(NOW)
    assert first.accounts[0].granted.used == 2
    assert not news(mine)
    grants(mine, NOW, most=1)
    mine.untell(first, unheard=False)
    assert mine.tell(NOW + 1).accounts[0].granted.used == 3
    assert mine.tell(NOW + 1).accounts[0].granted.used == 0


def test_its_own_calls_are_not_counted_twice_when_accounts_are_shared_again() -> None:
    mine = book(MINUTE)
    told_of(mine, 5)
    mine.lose(NOW)
    assert grants(mine, NOW, most=3) == 3
    now = NOW + 30
    mine.hear(answer(usage=[(9, 9)], names=PEERS, now_s=now), mine.tell(now), now, now)
    assert mine.used(now) == [9]
    assert mine.used(NOW + 62.0) == [1]  # only the one that it heard of later
    assert shared(mine)


def test_calls_that_left_the_window_of_the_ledger_leave_here() -> None:
    mine = book(MINUTE)
    told_of(mine, 20)
    mine.hear(answer(usage=[(4, 22)], names=PEERS), mine.tell(NOW + 9), NOW + 9, NOW + 9)
    assert mine.used(NOW + 9) == [4]
    assert mine.used(NOW + 65) == [2]


def test_while_accounts_settle_each_keeps_to_its_share_and_is_quiet_at_the_end() -> None:
    mine = book(MINUTE)
    told_of(mine, 20)
    assert shared(mine)
    settling = answer(usage=[(20, 20)], names=("p0", "p9"), granted=None, settling_s=1.0)
    mine.hear(settling, mine.tell(NOW), NOW, NOW)
    assert not shared(mine)
    assert mine.processes == 5
    assert grants(mine, NOW) == 4
    quiet = mine.decide(Priority.INTERACTIVE, False, NOW + 1.0 - QUIET_S + 0.01, NOW)
    assert not quiet.granted


def test_a_lost_epoch_is_seeded_with_all_that_is_known_and_its_pause() -> None:
    mine = book(MINUTE)
    told_of(mine, 20)
    mine.refused(NOW, 30.0, Grant())
    mine.tell(NOW)
    empty = answer(usage=[(0, 0)], names=("p0",), granted=None, settling_s=2.5, epoch="e2")
    mine.hear(empty, mine.tell(NOW), NOW, NOW)
    assert news(mine)
    assert mine.strictness.paused_s(NOW) == 30.0
    told = mine.tell(NOW)
    assert (told.epoch, told.seeds_for) == ("e1", "e2")
    assert told.accounts[0].seed.used == told.accounts[0].ever == 20
    assert (told.paused_s, told.factor) == (30.0, 0.8)
    seeded = answer(
        usage=[(20, 20)], granted=None, settling_s=2.5, epoch="e2", paused_s=30.0, factor=0.8
    )
    mine.hear(seeded, told, NOW, NOW)
    assert not news(mine)
    assert mine.used(NOW) == [20]
    assert mine.processes == 4  # who was there before may still be there
    told_of(mine, 25, epoch="e2", now=NOW + 3)
    assert mine.used(NOW + 3) == [25]


def test_a_pause_seen_here_outlives_an_answer_that_knows_nothing_of_it() -> None:
    mine = book(MINUTE)
    told_of(mine, 0)
    told = mine.tell(NOW)
    mine.refused(NOW, 5.0, Grant())
    mine.hear(answer(usage=[(0, 0)], names=PEERS), told, NOW, NOW)
    assert mine.strictness.paused_s(NOW) == 5.0
    assert mine.tell(NOW).paused_s == 5.0
    mine.hear(answer(usage=[(0, 0)], names=PEERS, paused_s=9.0), told, NOW, NOW)
    assert mine.strictness.paused_s(NOW) == 9.0


def test_time_without_the_ledger_is_counted_from_its_first_failure() -> None:
    mine = book(MINUTE)
    assert mine.tell(NOW).away_s == 0.0
    told_of(mine, 0)
    mine.lose(NOW + 5)
    mine.lose(NOW + 6)
    assert mine.tell(NOW + 7).away_s == 2.0
    told_of(mine, 0, now=NOW + 8)
    assert mine.tell(NOW + 9).away_s == 0.0


def test_a_queue_makes_the_least_wait_longer() -> None:
    mine = book(SPACING, MINUTE, WRITES)
    told_of(mine, 0, 0, 0)
    wait = mine.least_wait_s
    assert wait(Priority.INTERACTIVE, False, (0, 0), NOW) == 0.0
    assert wait(Priority.INTERACTIVE, False, (20, 0), NOW) == pytest.approx(2.5)
    assert wait(Priority.BACKGROUND, False, (20, 0), NOW) == 60.0
    assert wait(Priority.INTERACTIVE, False, (20, 8), NOW) == pytest.approx(2.5)
    assert wait(Priority.INTERACTIVE, True, (20, 8), NOW) == 60.0
    mine.lose(NOW)
    assert wait(Priority.INTERACTIVE, False, (10, 0), NOW) == 60.0
    mine.refused(NOW, 200.0, Grant())
    assert wait(Priority.INTERACTIVE, False, (0, 0), NOW) == 200.0


def test_a_process_that_is_not_on_the_list_has_a_turn_all_the_same() -> None:
    stranger = book(SPACING, process="stranger")
    stranger.lose(NOW)
    at = NOW
    for _ in range(400):
        at += 0.005
        if stranger.decide(Priority.INTERACTIVE, False, at, at).granted:
            return
    raise AssertionError("never had a turn")


def test_what_is_known_to_be_used_makes_the_least_wait_longer_but_for_what_may_be_older() -> None:
    mine = book(MINUTE)
    for seconds in range(60, 0, -5):
        told_of(mine, 0, now=NOW - seconds)
    told_of(mine, 30)
    stranger = book(MINUTE)
    told_of(stranger, 30)
    assert stranger.least_wait_s(Priority.INTERACTIVE, False, (39, 0), NOW) == 0.0
    wait = mine.least_wait_s
    assert wait(Priority.INTERACTIVE, False, (9, 0), NOW) == 0.0
    assert 50 < wait(Priority.INTERACTIVE, False, (10, 0), NOW) < 60


def test_a_place_given_back_is_free_before_the_ledger_hears_of_it() -> None:
    mine = book(MINUTE, WRITES)
    for seconds in range(60, 0, -5):
        told_of(mine, 0, 0, now=NOW - seconds)
    told_of(mine, 40, 8)
    heard = answer(usage=[(40, 40), (8, 8)], now_s=5_000.0, asked_at=NOW)
    read, write = (mine.granted(heard, each, Priority.INTERACTIVE) for each in (False, True))

    def waits() -> list[bool]:
        least = partial(mine.least_wait_s, Priority.INTERACTIVE)
        return [least(each, (0, 0), NOW) > 50 for each in (False, True)]

    assert (waits(), mine.used(NOW)) == ([True, True], [40, 8])
    read.returned(NOW)
    assert (waits(), mine.used(NOW)) == ([False, True], [39, 8])
    write.returned(NOW)
    assert (waits(), mine.used(NOW)) == ([False, False], [38, 7])
    told = mine.tell(NOW)
    assert waits() == [True, True]
    mine.untell(told, unheard=True)
    assert waits() == [False, False]


def test_a_grant_alone_counts_from_the_latest_time_that_it_may_be_sent_until_it_is() -> None:
    mine = book(SPACING, MINUTE)
    told_of(mine, 0, 0, names=("p0",))
    mine.lose(NOW)
    first = mine.decide(Priority.INTERACTIVE, False, NOW, NOW)
    assert first.grant.until == NOW + SENDS_WITHIN_S
    held = mine.decide(Priority.INTERACTIVE, False, NOW, NOW)
    assert held.wait_s == pytest.approx(SENDS_WITHIN_S + 0.125)
    first.grant.sent(NOW + 0.04)
    sent = mine.decide(Priority.INTERACTIVE, False, NOW + 0.05, NOW)
    assert sent.wait_s == pytest.approx(0.115)
    second = mine.decide(Priority.INTERACTIVE, False, NOW + 0.2, NOW)
    assert second.granted
    assert second.grant.gap_s == pytest.approx(0.2)
    assert mine.used(NOW + 0.2) == [1, 2]


def test_where_processes_take_turns_a_grant_ends_with_its_turn() -> None:
    books = [book(SPACING, process=name) for name in PEERS[:2]]
    for each in books:
        told_of(each, 0, names=PEERS[:2])
        each.lose(NOW)
    untils, at = [], NOW + 1.0
    for step in range(2_000):
        at = NOW + 1.0 + step * 0.001
        for number, each in enumerate(books):
            verdict = each.decide(Priority.INTERACTIVE, False, at, at)
            if verdict.granted:
                untils.append((at, verdict.grant.until, number))
    assert len({number for *_, number in untils}) == 2
    assert all(0 < until - granted_at <= OPENING_S for granted_at, until, _ in untils)
    assert min(b - until for (_, until, _), (b, *_) in pairwise(untils)) >= SPACING.keep_s() - 1e-3


def test_that_a_call_was_sent_is_told_once_and_again_only_if_that_failed() -> None:
    mine = book(SPACING)
    told_of(mine, 0)
    heard = answer(usage=[(1, 1)], now_s=5_000.0, asked_at=NOW)
    grant = mine.granted(heard, True, Priority.FORWARDED)
    assert grant.until == NOW + SENDS_WITHIN_S
    grant.sent(NOW + 0.02)
    grant.sent(NOW + 0.2)
    told = mine.tell(NOW + 0.3)
    [report] = told.reports
    assert (report.held_ms, report.write, report.at) == (5_000_300, True, NOW + 0.02)
    assert mine.tell(NOW + 0.3).reports == ()
    mine.untell(told, unheard=False)
    assert mine.tell(NOW + 0.4).reports == (report,)
    mine.untell(told, unheard=False)
    mine.hear(answer(usage=[(0, 0)], epoch="e2", names=PEERS), mine.tell(NOW + 0.5), NOW, NOW + 0.5)
    assert mine.tell(NOW + 0.6).epoch == "e1"


@pytest.mark.parametrize(
    ("used", "gap_s", "retry_after_s", "factor", "stretch"),
    [
        (10, 0.13, 1.0, 1.0, 1.25),
        (10, 5.0, 1.0, 0.8, 1.0),
        (36, 0.13, 1.0, 0.8, 1.0),
        (10, 0.13, 30.0, 0.8, 1.0),
    ],
    ids=["close", "far apart", "well used", "long"],
)
def test_a_refusal_is_put_down_to_the_spacing_or_to_the_windows(
    used: int, gap_s: float, retry_after_s: float, factor: float, stretch: float
) -> None:
    mine = book(SPACING, MINUTE)
    told_of(mine, 1, used)
    mine.refused(NOW, retry_after_s, Grant(gap_s=gap_s, sent_at=NOW))
    assert (mine.strictness.factor, mine.strictness.stretch) == (factor, stretch)
    told = mine.tell(NOW)
    assert (told.factor, told.stretch) == (factor, stretch)


def test_full_limits_of_writes_do_not_explain_that_a_read_was_refused() -> None:
    mine = book(SPACING, MINUTE, WRITES)
    told_of(mine, 1, 10, 8)
    mine.refused(NOW, 1.0, CLOSE)
    assert mine.strictness.factor == 1.0
