"""What one process granted to strangers, and what that leaves of their own part."""

from __future__ import annotations

import math
from typing import Final

from bff.nexudus.budget.contract import Priority
from bff.nexudus.budget.windows import HOLD_S, Tally, Window, applying

ANSWERED_S: Final = 2.0
"""Within this time most calls are answered; while one is so young, room may be made any moment."""
AGAIN_S: Final = 0.1
"""After this time it is worth looking again whether room was made. The ledger has the same two."""


class Strangers:
    """Counts their calls from the latest time that they may be sent, wherever they count.

    A call whose token Nexudus accepts counts no longer: only those that are on their way, refused
    or failed do. `part` (0 to 1] is of each limit, but for spacing. All times: monotonic seconds.
    """

    def __init__(self, windows: tuple[Window, ...], part: float) -> None:
        self._windows = windows
        self._part = part
        self._granted = [Tally()] * len(windows)
        self._latest = -math.inf

    def count(self, priority: Priority, write: bool, until: float) -> None:
        """A call was granted to one of this priority, which may be theirs."""
        if priority is not Priority.STRANGER:
            return
        self._latest = until
        for index in applying(self._windows, write):
            window = self._windows[index]
            granted = self._granted[index].at(until - HOLD_S, window.keep_s())
            self._granted[index] = granted.plus(window.end(until), 1)

    def accepted(self, write: bool, until: float) -> None:
        """The token of a call that was counted turned out to be known to Nexudus."""
        for index in applying(self._windows, write):
            end = self._windows[index].end(until)
            self._granted[index] = self._granted[index].minus_one(end)

    def used(self, index: int, now: float) -> int:
        """How many count in one window."""
        return self._granted[index].at(now, self._windows[index].keep_s()).used

    def wait_s(self, index: int, now: float, factor: float, processes: int) -> float:
        """Seconds until the next may fit this process's share of the part of one window."""
        window = self._windows[index]
        if window.spaced:
            return 0.0
        allowed = max(1, window.allows(self._part, factor) // processes)
        granted = self._granted[index].at(now, window.keep_s())
        return self.hoped_s(granted.wait_s(now, window.keep_s(), granted.used + 1 - allowed), now)

    def hoped_s(self, wait_s: float, now: float) -> float:
        """Not so long while a call is on its way: it may be accepted any moment, and make room."""
        return min(wait_s, AGAIN_S) if now < self._latest + ANSWERED_S else wait_s
