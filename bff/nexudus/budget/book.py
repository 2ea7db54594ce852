"""What one process knows of a space's accounts, and what it may do on its own."""

from __future__ import annotations

import math
from dataclasses import replace
from operator import itemgetter
from typing import Final

from bff.nexudus.budget.contract import Grant, Priority
from bff.nexudus.budget.ledger import Account, Heard, Told
from bff.nexudus.budget.ledger_clock import LedgerClock
from bff.nexudus.budget.peers import Peers
from bff.nexudus.budget.reports import Reports
from bff.nexudus.budget.strangers import Strangers
from bff.nexudus.budget.strictness import WELL_USED, Strictness, refusal_of
from bff.nexudus.budget.tallies import Tallies
from bff.nexudus.budget.trial import pacing
from bff.nexudus.budget.verdict import Verdict
from bff.nexudus.budget.windows import (
    SENDS_WITHIN_S,
    Shares,
    Tally,
    Window,
    applying,
    wait_s,
)

QUIET_S: Final = 0.35
"""Before accounts are shared again nobody grants on its own: what was granted is told first."""
UNHEARD_S: Final = 6.0
"""By how much older than heard of calls of others may be: heartbeats are less far apart."""


class Book:
    """Accounts of one space as last heard, and those of the calls granted here since.

    While accounts are not shared, from the last time that they were until all have told what they
    granted, each process may use its part of what was left. All times: monotonic seconds.
    """

    def __init__(self, windows: tuple[Window, ...], shares: Shares, peers: Peers) -> None:
        self.windows = windows
        self.strictness = Strictness()
        self._peers = peers
        self._pacing = pacing(windows)
        self.shared = False
        self.heard_at = -math.inf
        self.shares = shares
        self._epoch = ""
        self._seeds_for = ""
        self._settled_at = -math.inf
        self._lost_at: float | None = None
        self._unsaid = False
        self._clock = LedgerClock()
        self._tallies = Tallies(windows)
        self.strangers = Strangers(windows, shares.stranger)
        self._ever, self._told = [0] * len(windows), [0] * len(windows)
        self._reports = Reports()
        self._granted_at = self._followed_from = -math.inf

    @property
    def spaced(self) -> bool:
        """Whether calls are kept apart."""
        return any(window.spaced for window in self.windows)

    @property
    def processes(self) -> int:
        """How many share the budget."""
        return self._peers.number

    @property
    def has_news(self) -> bool:
        """Whether there is something to tell the others."""
        granted, seeds = self._tallies.has_untold, self._seeds_for != ""
        return self._unsaid or seeds or granted or self._reports.make_room

    @property
    def _guesses(self) -> bool:
        return bool(self.windows) and self._peers.guesses

    @property
    def _learnt(self) -> Strictness:
        """What others are to hear: not how far apart calls are for fear of the unheard."""
        return Strictness(self.strictness.paused_until) if self._guesses else self.strictness

    def paused_s(self, now: float) -> float:
        """Seconds for which this process makes no call at all."""
        return max(self.strictness.paused_s(now), self._peers.held_s(now))

    def used(self, now: float) -> list[int]:
        """How many calls count, by window."""
        return [self._counting(index, now).used for index in range(len(self.windows))]

    def refused(self, now: float, retry_after_s: float, grant: Grant) -> None:
        """Nexudus refused a call."""
        before, self._unsaid = self.strictness, True
        refusal = refusal_of(grant, retry_after_s, self.windows, self.used(now), before, now)
        if not self._guesses and not (self.windows and refusal.sent_at < self._followed_from):
            self.strictness = before.refused(now, refusal)
            return
        # It says how much others take, or how near their calls come, and not what Nexudus allows.
        used_up = self._is_used_up(applying(self.windows, grant.write))
        refusal = replace(refusal, used=0.0, close=refusal.close or not used_up)
        slower = before.refused(now, refusal)
        if refusal.sent_at >= before.paused_until:
            self._peers = self._peers.refused(now, refusal, too_much=used_up)
        self.strictness = replace(slower, factor=before.factor_at(now))

    # telling and hearing

    def tell(self, now: float) -> Told:
        """What goes into the next question; `untell` takes it back if that failed."""
        self._trim(now)
        seeds = self._seeds_for != ""
        strictness = self._learnt if self._unsaid or seeds else Strictness()
        told = Told(
            away_s=0.0 if self._lost_at is None else now - self._lost_at,
            epoch=self._epoch,
            seeds_for=self._seeds_for,
            paused_s=strictness.paused_s(now),
            factor=strictness.factor_at(now),
            stretch=strictness.stretch_at(now),
            reports=self._reports.take(self._epoch),
            accounts=tuple(
                Account(granted, seed if seeds else Tally(), ever)
                for granted, seed, ever in zip(
                    self._tallies.tell(), self._tallies.known, self._ever, strict=True
                )
            ),
            ledger_s=self._clock.at(now),
        )
        self._unsaid = False
        return told

    def untell(self, told: Told, *, unheard: bool) -> None:
        """If it was heard all the same (unless `unheard`) it counts twice: never too little."""
        self._tallies.untell([account.granted for account in told.accounts])
        self._unsaid = self._unsaid or told.factor < 1 or told.stretch > 1 or told.paused_s > 0
        self._reports.put_back(told.reports, unheard=unheard)

    def hear(self, heard: Heard, told: Told, sent_at: float, now: float) -> None:
        """Take over what the ledger answered to `told`."""
        self._trim(now)
        if heard.epoch != self._epoch:
            self._clock.doubt()
        self._clock.heard(heard.now_s, sent_at, now)
        if now - self.heard_at > UNHEARD_S or heard.epoch != self._epoch:
            self._followed_from = now
        self.heard_at, self._lost_at = now, None
        until = now + heard.paused_s
        seen = Strictness(until, heard.factor, heard.stretch, max(now, until))
        first, seeded = self._epoch == "", told.seeds_for == heard.epoch
        lost = heard.epoch != self._epoch and not first and not seeded
        self.strictness = self._learnt.strictest(seen, now) if self._unsaid or lost else seen
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
        before = self._peers.names if settling else ()
        names = tuple(sorted({*before, *heard.processes}))
        self._peers = replace(self._peers, names=names)
        if self._seeds_for == "" and (first or self.shared or not settling):
            for index, (used, ever) in enumerate(heard.usage):
                fresh = ever - self._ever[index] - self._told[index]
                self._tallies.hear(index, used, fresh, now)
                self._ever[index], self._told[index] = ever, 0
        self.shared = not settling

    def lose(self, now: float) -> None:
        """The ledger cannot be asked. What others were granted unheard is assumed at its most."""
        if self.shared and len(self._peers.names) > 1:
            spacing = [w.keep_s() for w in self.windows if w.spaced and not w.writes_only]
            unheard = math.ceil((now - self.heard_at) / min(spacing)) + 1 if spacing else 0
            for index in range(len(self.windows)):
                self._tallies.assume(index, unheard, now)
        self.shared = False
        if self._lost_at is None:
            self._lost_at = now

    def late(self, ledger_s: float, sent_at: float, now: float) -> None:
        """The ledger found a question too old: it hung, or its clock is another now."""
        self._clock.doubt()
        self._clock.heard(ledger_s, sent_at, now)

    # grants

    def granted(self, heard: Heard, write: bool, priority: Priority) -> Grant:
        """What the ledger gave; what becomes of it is told with the next question."""
        return self._reports.granted(heard, write, priority, self.strangers)

    def _granted_alone(self, indices: list[int], write: bool, until: float, now: float) -> Grant:
        self._peers = self._peers.granted(until, used_up=self._is_used_up(indices))
        for index in indices:
            self._tallies.grant(index, until)

        def sent(now: float) -> None:
            for index in indices:
                self._tallies.sent(index, until, now)

        # Of whom it has not heard are taken to call as often as it does.
        known = self.processes == 1 or self._guesses
        gap_s = (now - self._granted_at) / self.processes if known else 0.0
        self._granted_at = now
        return Grant(until, write, gap_s, sent)

    def decide(self, priority: Priority, write: bool, now: float, wall: float) -> Verdict:
        """One call out of this process's own share; what it grants is told later."""
        self._trim(now)
        # Whether of writes only, of those of no greater share only, of strangers only.
        everybody = (False, False, False)
        waits = [(self.paused_s(now), everybody)]
        if self.windows and self.processes > 1 and now >= self._settled_at - QUIET_S:
            waits.append((self._settled_at - now, everybody))
        factor = self.strictness.factor_at(now)
        indices = applying(self.windows, write)
        ledger_now = self._clock.at(now)
        shared_now = wall if ledger_now is None else ledger_now
        for index in indices:
            own_s = self._own_wait_s(index, priority, now, shared_now)
            least_s = self._own_wait_s(index, Priority.INTERACTIVE, now, shared_now)
            writes_only = self.windows[index].writes_only
            if priority is Priority.STRANGER and least_s <= 0:
                own_s = self.strangers.hoped_s(own_s, now)
            waits.append((own_s, (writes_only, least_s < own_s, False)))
            if priority is Priority.STRANGER:
                part_s = self.strangers.wait_s(index, now, factor, self.processes)
                waits.append((part_s, (writes_only, False, True)))
        longest, whose = max(sorted(waits, key=itemgetter(1)), key=itemgetter(0))
        if longest > 0:
            return Verdict(False, longest, *whose)
        left_s = [SENDS_WITHIN_S]
        if self.processes > 1:
            left_s += [
                self._peers.turns(self.windows[index]).left_s(shared_now)
                for index in indices
                if self._takes_turns(index, priority, now)
            ]
        until = now + min(left_s)
        self.strangers.count(priority, write, until)
        grant = self._granted_alone(indices, write, until, now)
        if priority is Priority.STRANGER:
            grant.on_accepted = lambda _: self.strangers.accepted(write, until)
        return Verdict(True, grant=grant)

    def least_wait_s(
        self,
        priority: Priority,
        write: bool,
        ahead: tuple[int, int],
        now: float,
        *,
        unheard_s: float = UNHEARD_S,
    ) -> float:
        """A call waits no less, with so many (calls, writes among them) going first."""
        waits = [self.paused_s(now)]
        factor, stretch = self.strictness.factor_at(now), self.strictness.stretch_at(now)
        followed_s = now - self._followed_from
        for index, window in enumerate(self.windows):
            if window.writes_only and not write:
                continue
            # A stranger may have all, as long as those before it are accepted.
            members = priority in (Priority.INTERACTIVE, Priority.STRANGER)
            allowed = window.allows(1.0 if members else self.shares.of(priority), factor)
            times, tally = 1, Tally()
            if not self.shared:
                times, tally = self.processes if window.spaced else 1, self._tallies.own[index]
                allowed = max(1, self._part_of(index, allowed))
            before = ahead[window.writes_only]
            waits.append(times * wait_s(window, tally, now, allowed, before, stretch))
            if self.shared and not window.spaced and window.limit.window_s <= followed_s:
                known_s = wait_s(window, self._counting(index, now), now, allowed, before)
                waits.append(known_s - unheard_s)
        return max(waits)

    def _own_wait_s(self, index: int, priority: Priority, now: float, shared_now: float) -> float:
        window, processes = self.windows[index], self.processes
        stretch = self.strictness.stretch_at(now)
        keep_s = window.keep_s(stretch)
        allowed = self._level(index, priority, now)
        used = self._tallies.known[index].joined(self._tallies.assumed[index])
        own = self._tallies.own[index]
        if not self._takes_turns(index, priority, now):
            room = self._part_of(index, allowed - used.used) - own.used
            return 0.0 if room > 0 else used.joined(own).wait_s(now, keep_s, 1)
        everything = used.joined(own)
        wait = everything.wait_s(now, keep_s, everything.used + 1 - allowed)
        if processes == 1:
            return wait
        if window.spaced and own.entries:
            # Turns keep their length, so that all agree on them; a stricter Nexudus costs turns.
            last, _ = own.entries[-1]
            wait = max(wait, last + processes * window.limit.window_s * stretch - now)
        return wait + self._peers.turns(window).wait_s(shared_now + wait)

    def _part_of(self, index: int, calls: int) -> int:
        return self._peers.part_of(calls, paces=index in self._pacing)

    def _is_used_up(self, indices: list[int]) -> bool:
        return any(
            self._tallies.own[i].used + 1
            >= WELL_USED * self._part_of(i, self.windows[i].limit.calls)
            for i in self._pacing.intersection(indices)
        )

    def _level(self, index: int, priority: Priority, now: float) -> int:
        """Up to which use its calls go. Strangers stop where their share ends only once so many of
        them were not accepted as fit above it: a burst of members may use a limit up."""
        window, factor = self.windows[index], self.strictness.factor_at(now)
        share, most = window.allows(self.shares.of(priority), factor), window.allows(factor=factor)
        if priority is not Priority.STRANGER:
            return share
        above = (most - share) // self.processes
        return most if self.strangers.used(index, now) < above else share

    def _takes_turns(self, index: int, priority: Priority, now: float) -> bool:
        return self.windows[index].spaced or self._level(index, priority, now) < self.processes

    def _counting(self, index: int, now: float) -> Tally:
        counting = self._tallies.counting(index, now, self.strictness.stretch_at(now))
        return counting.without_oldest(self._reports.given_back(self.windows[index].writes_only))

    def _trim(self, now: float) -> None:
        self._tallies.trim(now, self.strictness.stretch_at(now))
