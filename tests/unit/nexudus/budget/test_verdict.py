"""Whom a denial holds for, and for how long it is believed."""

from __future__ import annotations

import pytest

from bff.nexudus.budget.contract import Priority
from bff.nexudus.budget.verdict import BELIEVED_S, Denials, Verdict
from bff.nexudus.budget.windows import Shares

NOW = 100.0
LATE = NOW + BELIEVED_S


def denials(
    priority: Priority, wait_s: float, *, writes_only: bool = False, share_only: bool = False
) -> Denials:
    said = Denials(Shares(forward=0.9, refresh=0.5, stranger=0.75))
    said.note(priority, Verdict(False, wait_s, writes_only, share_only), NOW)
    return said


def test_what_was_denied_holds_for_those_below_and_is_believed_for_a_second() -> None:
    said = denials(Priority.FORWARDED, 40.0)
    assert said.wait_s(Priority.FORWARDED, False, 100.5) == 39.5
    assert said.wait_s(Priority.BACKGROUND, False, 100.5) == 39.5
    assert said.wait_s(Priority.STRANGER, False, 100.5) == 0.0
    assert said.wait_s(Priority.BACKGROUND, False, LATE) == 0.0
    assert denials(Priority.FORWARDED, 0.2).wait_s(Priority.FORWARDED, False, 100.5) == 0.0
    assert said.passed_over(NOW) == set()
    assert said.next_s(NOW) == 0.0
    said.clear()
    assert said.wait_s(Priority.FORWARDED, False, 100.5) == 0.0


@pytest.mark.parametrize(
    ("priority", "also"),
    [
        (Priority.STRANGER, {Priority.STRANGER, Priority.FORWARDED, Priority.BACKGROUND}),
        (Priority.FORWARDED, {Priority.FORWARDED, Priority.BACKGROUND}),
        (Priority.BACKGROUND, {Priority.BACKGROUND}),
    ],
)
def test_a_share_that_is_used_up_holds_for_no_greater_one(
    priority: Priority, also: set[Priority]
) -> None:
    said = denials(priority, 0.4, share_only=True)
    assert {each for each in Priority if said.wait_s(each, False, NOW)} == also
    assert said.passed_over(NOW) == {(each, write) for each in also for write in (False, True)}
    assert said.next_s(NOW + 0.1) == pytest.approx(0.3)
    assert said.passed_over(NOW + 0.4) == set()


def test_what_holds_for_strangers_only_is_said_besides_what_holds_for_a_share() -> None:
    said = denials(Priority.FORWARDED, 0.4, share_only=True)
    said.note(Priority.STRANGER, Verdict(False, 0.9, strangers_only=True), NOW)
    assert said.wait_s(Priority.STRANGER, False, NOW) == pytest.approx(0.9)
    assert said.wait_s(Priority.FORWARDED, False, NOW) == pytest.approx(0.4)
    assert said.next_s(NOW) == pytest.approx(0.4)
    later = NOW + 0.5
    strangers = {(Priority.STRANGER, write) for write in (False, True)}
    assert said.passed_over(later) == strangers
    said.note(Priority.BACKGROUND, Verdict(False, 0.4, share_only=True), later)
    below = {(Priority.BACKGROUND, write) for write in (False, True)}
    assert said.passed_over(later) == strangers | below


def test_room_for_strangers_ends_what_was_said_of_them_alone() -> None:
    said = denials(Priority.FORWARDED, 0.4, share_only=True)
    assert not said.make_room()
    said.note(Priority.STRANGER, Verdict(False, 0.9, strangers_only=True), NOW)
    assert said.make_room()
    assert not said.make_room()
    assert said.wait_s(Priority.STRANGER, False, NOW) == 0.0
    assert said.wait_s(Priority.FORWARDED, False, NOW) == pytest.approx(0.4)


def test_writes_that_wait_for_their_own_limits_are_passed_over_by_reads() -> None:
    said = denials(Priority.STRANGER, 5.0, writes_only=True)
    assert said.wait_s(Priority.FORWARDED, False, NOW) == 0.0
    assert said.wait_s(Priority.FORWARDED, True, NOW) == 5.0
    below = set(Priority) - {Priority.INTERACTIVE}
    assert said.passed_over(NOW) == {(each, True) for each in below}
    said.note(Priority.STRANGER, Verdict(False, 3.0, strangers_only=True), NOW)
    assert said.wait_s(Priority.STRANGER, True, NOW) == 5.0
    assert said.wait_s(Priority.STRANGER, False, NOW) == 3.0
    assert (Priority.FORWARDED, False) not in said.passed_over(NOW)
    assert said.next_s(NOW + 0.5) == 2.5
    assert said.passed_over(LATE) == set()
