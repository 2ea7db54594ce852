"""Who shares the budget of a space, and whose turn it is while they cannot talk."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, replace
from typing import Final

from bff.nexudus.budget.config import UNHEARD_PROCESSES
from bff.nexudus.budget.strictness import Refusal
from bff.nexudus.budget.trial import Trial
from bff.nexudus.budget.windows import Turns, Window

OPENING_S: Final = 0.035
"""Least part of a turn in which a call may be sent: a connection may have to be made first."""


@dataclass(frozen=True, slots=True)
class Peers:
    """As `process` last heard: `names`, in order; `unheard` are assumed until it hears of any.

    Of what is assumed no more than a beginning is made: `trial` finds out. What was heard is
    believed until it is heard anew, even if some came or went.
    """

    process: str
    unheard: int = UNHEARD_PROCESSES
    names: tuple[str, ...] = ()
    trial: Trial | None = None

    @property
    def number(self) -> int:
        """How many they are."""
        return len(self.names) or self.unheard

    @property
    def guesses(self) -> bool:
        """Whether its part is to be found out."""
        return not self.names and self.unheard > 1

    @property
    def tried(self) -> Trial:
        """How far that is."""
        return self.trial or Trial.among(self.unheard)

    def granted(self, until: float, *, used_up: bool) -> Peers:
        """This process makes a call by `until`; `used_up`: hardly any are left of its part."""
        if not self.guesses:
            return self
        return replace(self, trial=self.tried.granted(until, used_up=used_up))

    def refused(self, now: float, refusal: Refusal, *, too_much: bool) -> Peers:
        """It was refused one, perhaps not for the spacing; `now`: monotonic seconds."""
        return replace(self, trial=self.tried.refused(now, refusal, too_much=too_much))

    def held_s(self, now: float) -> float:
        """Seconds for which it makes no call, as too many were refused."""
        return max(0.0, self.tried.held_until - now) if self.guesses else 0.0

    def part_of(self, calls: int, *, paces: bool) -> int:
        """How many of so many calls are this process's; `paces`: of a window to be tried."""
        if not self.guesses:
            return calls // self.number
        return max(min(1, calls), math.floor(calls * self.tried.part + 1e-9)) if paces else calls

    def turns(self, window: Window) -> Turns:
        """The times at which this process may call."""
        opening_s = max(OPENING_S, window.kept_for_s)
        return Turns(window.keep_s() + opening_s, opening_s, self._rank, self.number)

    @property
    def _rank(self) -> int:
        if self.process in self.names:
            return self.names.index(self.process)
        moves = self.tried.moves if self.guesses else 0
        return zlib.crc32(f"{self.process}{moves or ''}".encode()) % self.number
