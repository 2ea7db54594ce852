"""The calls that one process counts: by window, and by how it knows of them."""

from __future__ import annotations

from collections.abc import Sequence

from bff.nexudus.budget.windows import HOLD_S, Tally, Window


class Tallies:
    """`known`: of all processes, as last heard. `own`: granted here since, of which `untold` were
    not told yet. `assumed`: what others may have been granted unheard. Times: monotonic seconds.
    """

    def __init__(self, windows: Sequence[Window]) -> None:
        self._windows = windows
        none = [Tally()] * len(windows)
        self.known, self.own, self.untold, self.assumed = none[:], none[:], none[:], none[:]

    @property
    def has_untold(self) -> bool:
        """Whether there is something to tell."""
        return any(tally.entries for tally in self.untold)

    def trim(self, now: float, stretch: float) -> None:
        """Without what no longer counts."""
        for index, window in enumerate(self._windows):
            keep_s = window.keep_s(stretch)
            for tallies in (self.known, self.own, self.untold, self.assumed):
                tallies[index] = tallies[index].at(now, keep_s)

    def counting(self, index: int, now: float, stretch: float) -> Tally:
        """All calls of one window that are known to count."""
        keep_s = self._windows[index].keep_s(stretch)
        return self.known[index].joined(self.own[index]).at(now, keep_s)

    def grant(self, index: int, until: float) -> None:
        """A call of this process, which may be sent until then."""
        end = self._windows[index].end(until)
        self.own[index] = self.own[index].plus(end, 1)
        self.untold[index] = self.untold[index].plus(end, 1)

    def sent(self, index: int, until: float, now: float) -> None:
        """It was: of buckets one cannot say whose call it is that is counted."""
        if self._windows[index].spaced:
            self.own[index] = self.own[index].moved(until, min(until, now))

    def assume(self, index: int, calls: int, now: float) -> None:
        """Others may have been granted so many."""
        window = self._windows[index]
        most = min(calls, window.limit.calls)
        self.assumed[index] = Tally().plus(window.end(now + HOLD_S), most)

    def hear(self, index: int, used: int, fresh: int, now: float) -> None:
        """So many count in all, of which `fresh` are others' since the last time."""
        end = self._windows[index].end(now + HOLD_S)
        known = self.known[index].joined(self.own[index]).plus(end, fresh)
        known = known.without_oldest(known.used - used)
        self.known[index] = known.plus(end, used - known.used)
        self.own[index] = self.assumed[index] = Tally()

    def tell(self) -> tuple[Tally, ...]:
        """What is told now; `untell` takes it back."""
        told = tuple(self.untold)
        self.untold = [Tally()] * len(self._windows)
        return told

    def untell(self, told: Sequence[Tally]) -> None:
        """It was not heard."""
        self.untold = [tally.joined(since) for tally, since in zip(told, self.untold, strict=True)]
