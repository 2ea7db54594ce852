"""The ledger's time, which is the same for every process."""

from __future__ import annotations

import math
from typing import Final

CLOCK_DRIFT: Final = 0.001
"""By how much a comparison of clocks is worse for each second of its age, at the most."""


class LedgerClock:
    """Of the ledger's answers the quickest says best what time it is there. In seconds."""

    def __init__(self) -> None:
        self._ahead_s: float | None = None
        self._trip_s = math.inf
        self._trip_at = 0.0

    def at(self, now: float) -> float | None:
        """The ledger's time at `now`, monotonic; None before it was heard."""
        return None if self._ahead_s is None else now + self._ahead_s

    def heard(self, ledger_s: float, sent_at: float, now: float) -> None:
        """It answered with its time at `now` what was asked at `sent_at`."""
        trip_s = now - sent_at
        if trip_s <= self._trip_s + CLOCK_DRIFT * (now - self._trip_at):
            self._trip_s, self._trip_at = trip_s, now
            self._ahead_s = ledger_s - (sent_at + now) / 2

    def doubt(self) -> None:
        """It may be another now: the next answer counts, however slow."""
        self._trip_s = math.inf
