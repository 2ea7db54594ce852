"""What one process knows of a space's accounts, and what it may do on its own."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import Final

from bff.nexudus.budget.config import UNHEARD_PROCESSES
from bff.nexudus.budget.contract import Priority
from bff.nexudus.budget.ledger import Account, Heard, Told
from bff.nexudus.budget.strictness import Strictness
from bff.nexudus.budget.windows import Shares, Tally, Turns, Window, wait_s

QUIET_S: Final = 0.35
"""Before accounts are shared again nobody grants on its own: what was granted is told first."""
OPENING_S: Final = 0.01
"""Least part of a turn in which a call may start: a sleep never ends on the dot."""
CLOCK_DRIFT: Final = 0.001
"""By how much a comparison of clocks is worse for each second of its age, at the most."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a call may be sent, else how long it waits; `writes_only`: reads might go."""

    granted: bool
    wait_s: float = 0.0
    writes_only: bool = False


class Book:
    """Accounts of one space as last heard, and those of the calls granted here since.

    While accounts are not shared, from the last time that they were until all have told what they
    granted, each process may use its part of what was left. All times: monotonic seconds.
    """

    def __init__(self, windows: tuple[Window, ...], shares: Shares, process: str) -> None:
        self.windows = windows
        self.strictness = Strictness()
        self.peers: tuple[str, ...] = ()
        self.shared = False
        self.heard_at = -math.inf
        self._shares = shares
        self._process = process
        self._epoch = ""
        self._seeds_for = ""
        self._settled_at = -math.inf
        self._lost_at: float | None = None
        self._unsaid = False
        self._ledger_ahead_s: float | None = None
        self._trip_s = math.inf
        self._trip_at = 0.0
        none = [Tally()] * len(windows)
        self._known, self._own, self._untold, self._assumed = none[:], none[:], none[:], none[:]
        self._ever = [0] * len(windows)
        self._told = [0] * len(windows)

    @property
    def processes(self) -> int:
        """How many share the budget."""
        return len(self.peers) or UNHEARD_PROCESSES

    @property
    def has_news(self) -> bool:
        """Whether there is something to tell the others."""
        return self._unsaid or self._seeds_for != "" or any(each.entries for each in self._untold)

    def used(self, now: float) -> list[int]:
        """How many calls count, by window."""
        return [self._counting(index, now).used for index in range(len(self.windows))]

    def refused(self, now: float, retry_after_s: float) -> None:
        """Nexudus refused a call."""
        self.strictness = self.strictness.refused(now, retry_after_s)
        self._unsaid = True

    # telling and hearing

    def tell(self, now: float) -> Told:
        """What goes into the next question; `untell` takes it back if that failed."""
        self._trim(now)
        seeds = self._seeds_for != ""
        strictness = self.strictness if self._unsaid or seeds else Strictness()
        told = Told(
            away_s=0.0 if self._lost_at is None else now - self._lost_at,
            epoch=self._epoch,
            seeds_for=self._seeds_for,
            paused_s=strictness.paused_s(now),
            factor=strictness.factor_at(now),
            accounts=tuple(
                Account(granted, seed if seeds else Tally(), ever)
                for granted, seed, ever in zip(self._untold, self._known, self._ever, strict=True)
            ),
            ledger_s=None if self._ledger_ahead_s is None else now + self._ledger_ahead_s,
        )
        self._untold = [Tally()] * len(self.windows)
        self._unsaid = False
        return told

    def untell(self, told: Told) -> None:
        """If it was heard all the same it counts twice: too much, never too little."""
        self._untold = [
            account.granted.joined(since)
            for account, since in zip(told.accounts, self._untold, strict=True)
        ]
        self._unsaid = self._unsaid or told.paused_s > 0

    def hear(self, heard: Heard, told: Told, sent_at: float, now: float) -> None:
        """Take over what the ledger answered to `told`."""
        self._trim(now)
        if heard.epoch != self._epoch:
            self._trip_s = math.inf
        self.set_clock(heard.now_s, sent_at, now)
        self.heard_at, self._lost_at = now, None
        seen = Strictness(now + heard.paused_s, heard.factor, now + heard.paused_s)
        first, seeded = self._epoch == "", told.seeds_for == heard.epoch
        lost = heard.epoch != self._epoch and not first and not seeded
        self.strictness = self.strictness.strictest(seen, now) if self._unsaid or lost else seen
        self._settled_at = now + heard.settling_s
        for index, account in enumerate(told.accounts):
            self._told[index] += account.granted.used
        if first or seeded:
            self._epoch, self._seeds_for = heard.epoch, ""
            self._ever = [ever for _, ever in heard.usage]
            self._told = [0] * len(self.windows)
        elif lost:
            self._seeds_for = heard.epoch
        settling = heard.granted is None or heard.settling_s > 0
        if settling:
            self.peers = tuple(sorted({*self.peers, *heard.processes}))
        else:
            self.peers = heard.processes
        if self._seeds_for == "" and (first or self.shared or not settling):
            self._synchronise(heard, now)
        self.shared = not settling

    def lose(self, now: float) -> None:
        """The ledger cannot be asked. What others were granted unheard is assumed at its most."""
        if self.shared and len(self.peers) > 1:
            spacing = [w.keep_s() for w in self.windows if w.spaced and not w.writes_only]
            unheard = math.ceil((now - self.heard_at) / min(spacing)) + 1 if spacing else 0
            self._assumed = [
                Tally().plus(window.end(now), min(unheard, window.limit.calls))
                for window in self.windows
            ]
        self.shared = False
        if self._lost_at is None:
            self._lost_at = now

    def set_clock(self, ledger_s: float, sent_at: float, now: float) -> None:
        """The ledger's clock is everybody's; of the answers the quickest says it best."""
        trip_s = now - sent_at
        if trip_s <= self._trip_s + CLOCK_DRIFT * (now - self._trip_at):
            self._trip_s, self._trip_at = trip_s, now
            self._ledger_ahead_s = ledger_s - (sent_at + now) / 2

    def late(self, ledger_s: float, sent_at: float, now: float) -> None:
        """The ledger found a question too old: it hung, or its clock is another now."""
        self._trip_s = math.inf
        self.set_clock(ledger_s, sent_at, now)

    def _synchronise(self, heard: Heard, now: float) -> None:
        for index, (window, (used, ever)) in enumerate(zip(self.windows, heard.usage, strict=True)):
            end = window.end(now)
            fresh = ever - self._ever[index] - self._told[index]
            known = self._known[index].joined(self._own[index]).plus(end, fresh)
            known = known.without_oldest(known.used - used)
            self._known[index] = known.plus(end, used - known.used)
            self._ever[index], self._told[index] = ever, 0
        self._own = [Tally()] * len(self.windows)
        self._assumed = [Tally()] * len(self.windows)

    # deciding alone

    def decide(self, priority: Priority, write: bool, now: float, wall: float) -> Verdict:
        """One call out of this process's own share; what it grants is told later."""
        self._trim(now)
        wait = {False: self.strictness.paused_s(now), True: 0.0}
        if self.windows and self.processes > 1 and now >= self._settled_at - QUIET_S:
            wait[False] = max(wait[False], self._settled_at - now)
        applying = [i for i, window in enumerate(self.windows) if write or not window.writes_only]
        shared_now = now + self._ledger_ahead_s if self._ledger_ahead_s is not None else wall
        for index in applying:
            writes = self.windows[index].writes_only
            wait[writes] = max(wait[writes], self._own_wait_s(index, priority, now, shared_now))
        longest = max(wait.values())
        if longest > 0:
            return Verdict(False, longest, writes_only=wait[False] < wait[True])
        for index in applying:
            end = self.windows[index].end(now)
            self._own[index] = self._own[index].plus(end, 1)
            self._untold[index] = self._untold[index].plus(end, 1)
        return Verdict(True)

    def least_wait_s(
        self, priority: Priority, write: bool, ahead: tuple[int, int], now: float
    ) -> float:
        """A call waits no less, with so many (calls, writes among them) going first."""
        waits = [self.strictness.paused_s(now)]
        factor = self.strictness.factor_at(now)
        for index, window in enumerate(self.windows):
            if window.writes_only and not write:
                continue
            allowed = window.allows(self._shares.of(priority), factor)
            times, tally = 1, Tally()
            if not self.shared:
                times, tally = self.processes if window.spaced else 1, self._own[index]
                allowed = max(1, allowed // self.processes)
            waits.append(times * wait_s(window, tally, now, allowed, ahead[window.writes_only]))
        return max(waits)

    def _own_wait_s(self, index: int, priority: Priority, now: float, shared_now: float) -> float:
        window, processes = self.windows[index], self.processes
        factor = self.strictness.factor_at(now)
        keep_s = window.keep_s(factor)
        allowed = window.allows(self._shares.of(priority), factor)
        used = self._known[index].joined(self._assumed[index])
        own = self._own[index]
        if not window.spaced and allowed >= processes:
            room = (allowed - used.used) // processes - own.used
            return 0.0 if room > 0 else used.joined(own).wait_s(now, keep_s, 1)
        everything = used.joined(own)
        wait = everything.wait_s(now, keep_s, everything.used + 1 - allowed)
        if processes == 1:
            return wait
        if window.spaced and own.entries:
            # Turns keep their length, so that all agree on them; a stricter Nexudus costs turns.
            last, _ = own.entries[-1]
            wait = max(wait, last + processes * window.limit.window_s / factor - now)
        opening_s = max(OPENING_S, window.kept_for_s)
        turns = Turns(window.keep_s() + opening_s, opening_s, self._rank(), processes)
        return wait + turns.wait_s(shared_now + wait)

    def _rank(self) -> int:
        if self._process in self.peers:
            return self.peers.index(self._process)
        return zlib.crc32(self._process.encode()) % self.processes

    def _counting(self, index: int, now: float) -> Tally:
        keep_s = self.windows[index].keep_s(self.strictness.factor_at(now))
        return self._known[index].joined(self._own[index]).at(now, keep_s)

    def _trim(self, now: float) -> None:
        factor = self.strictness.factor_at(now)
        for index, window in enumerate(self.windows):
            keep_s = window.keep_s(factor)
            for tallies in (self._known, self._own, self._untold, self._assumed):
                tallies[index] = tallies[index].at(now, keep_s)
