"""What is yet to be told of single calls: when each was sent, if at all; if its token is known."""

from __future__ import annotations

from typing import Final

from bff.nexudus.budget.contract import Grant, Priority
from bff.nexudus.budget.ledger import Fate, Heard, Report
from bff.nexudus.budget.strangers import Strangers
from bff.nexudus.budget.windows import HOLD_S, SENDS_WITHIN_S

MOST: Final = 128
"""Kept while the ledger is away; of older calls it goes by what it knows."""


class Reports:
    """In the order in which they were made."""

    def __init__(self) -> None:
        self._due: tuple[Report, ...] = ()

    @property
    def make_room(self) -> bool:
        """Whether somebody may wait for one of them: a sent call is reported at once anyhow."""
        return any(report.fate is not Fate.SENT for report in self._due)

    def granted(self, heard: Heard, write: bool, priority: Priority, strangers: Strangers) -> Grant:
        """What the ledger gave: what becomes of it will be told."""
        until = heard.asked_at + HOLD_S
        strangers.count(priority, write, until)
        epoch, held_ms = heard.epoch, round((heard.now_s + HOLD_S) * 1000)

        def sent(now: float) -> None:
            self.add(Report(epoch, held_ms, write, now))

        def returned(now: float) -> None:
            self.add(Report(epoch, held_ms, write, now, Fate.RETURNED))

        grant = Grant(heard.asked_at + SENDS_WITHIN_S, write, heard.gap_s, sent)
        grant.on_returned = returned
        if priority is Priority.STRANGER:

            def accepted(now: float) -> None:
                strangers.accepted(write, until)
                self.add(Report(epoch, held_ms, write, now, Fate.ACCEPTED))

            grant.on_accepted = accepted
        return grant

    def add(self, report: Report) -> None:
        """To be told with the next question."""
        self._due = (*self._due, report)[-MOST:]

    def given_back(self, writes_only: bool) -> int:
        """Places that are free, though the ledger is yet to hear of it."""
        free = (each for each in self._due if each.fate is Fate.RETURNED)
        return sum(each.write or not writes_only for each in free)

    def take(self, epoch: str) -> tuple[Report, ...]:
        """What to tell a ledger of that epoch; nothing of another is of use to it."""
        due, self._due = self._due, ()
        return tuple(report for report in due if report.epoch == epoch)

    def put_back(self, reports: tuple[Report, ...], *, unheard: bool) -> None:
        """Those taken last were not heard, or may not have been: no place is given back twice."""
        again = (each for each in reports if unheard or each.fate is not Fate.RETURNED)
        self._due = (*again, *self._due)[-MOST:]
