"""What one process granted to strangers, and what that leaves of their own part."""

from __future__ import annotations

from bff.nexudus.budget.contract import Priority
from bff.nexudus.budget.windows import Tally, Window


class Strangers:
    """Counts their calls from when they were granted: a part is no limit of Nexudus.

    `part` (0 to 1] is of each limit, but for spacing. All times: monotonic seconds.
    """

    def __init__(self, windows: tuple[Window, ...], part: float) -> None:
        self._windows = windows
        self._part = part
        self._granted = [Tally()] * len(windows)

    def count(self, priority: Priority, write: bool, now: float) -> None:
        """A call was granted to one of this priority, which may be theirs."""
        if priority is not Priority.STRANGER:
            return
        for index, window in enumerate(self._windows):
            if write or not window.writes_only:
                granted = self._granted[index].at(now, window.keep_s())
                self._granted[index] = granted.plus(window.end(now), 1)

    def wait_s(self, index: int, now: float, factor: float, processes: int) -> float:
        """Seconds until the next fits this process's share of the part of one window."""
        window = self._windows[index]
        if window.spaced:
            return 0.0
        allowed = max(1, window.allows(self._part, factor) // processes)
        granted = self._granted[index].at(now, window.keep_s())
        return granted.wait_s(now, window.keep_s(), granted.used + 1 - allowed)
