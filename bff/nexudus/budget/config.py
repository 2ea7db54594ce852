"""What a budget is told once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bff.limits import DOCUMENTED_CALLS, DOCUMENTED_WRITES, Limit
from bff.nexudus.budget.windows import Shares, Window

MARGIN_S: Final = 0.015
"""By how much the way of one call, from its sending to Nexudus, may take longer than the next's."""
UNHEARD_PROCESSES: Final = 4
"""The default of the setting `budget_processes`."""


@dataclass(frozen=True, slots=True)
class BudgetConfig:
    """Limits of every space and the shares of them; `enabled=False` keeps to pauses only.

    The shares are parts (0 to 1] of each limit. `processes`: how many are assumed to share the
    budget by one that has never been able to ask.
    """

    calls: tuple[Limit, ...] = DOCUMENTED_CALLS
    writes: tuple[Limit, ...] = DOCUMENTED_WRITES
    refresh_share: float = 0.5
    forward_share: float = 0.9
    stranger_share: float = 0.5
    enabled: bool = True
    margin_s: float = MARGIN_S
    processes: int = UNHEARD_PROCESSES

    @property
    def windows(self) -> tuple[Window, ...]:
        """All that is accounted."""
        if not self.enabled:
            return ()
        return (
            *(Window(limit, False, self.margin_s) for limit in self.calls),
            *(Window(limit, True, self.margin_s) for limit in self.writes),
        )

    @property
    def shares(self) -> Shares:
        """Of each limit, by priority."""
        return Shares(self.forward_share, self.refresh_share, self.stranger_share)
