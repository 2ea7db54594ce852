"""Who shares the budget of a space, and whose turn it is while they cannot talk."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final

from bff.nexudus.budget.config import UNHEARD_PROCESSES
from bff.nexudus.budget.windows import Turns, Window

OPENING_S: Final = 0.035
"""Least part of a turn in which a call may be sent: a connection may have to be made first."""


@dataclass(frozen=True, slots=True)
class Peers:
    """As `process` last heard: `names`, in order; `unheard` are assumed until it hears of any."""

    process: str
    unheard: int = UNHEARD_PROCESSES
    names: tuple[str, ...] = ()

    @property
    def number(self) -> int:
        """How many they are."""
        return len(self.names) or self.unheard

    def turns(self, window: Window) -> Turns:
        """The times at which this process may call."""
        opening_s = max(OPENING_S, window.kept_for_s)
        return Turns(window.keep_s() + opening_s, opening_s, self._rank, self.number)

    @property
    def _rank(self) -> int:
        if self.process in self.names:
            return self.names.index(self.process)
        return zlib.crc32(self.process.encode()) % self.number
