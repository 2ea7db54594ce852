"""Whether sessions that this process knows nothing of are new to the shared store as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bff.cache.tiered import Tier
from bff.session.reading import Outcome, Reading

IN_A_ROW: Final = 8
"""So many make it likely that the next one is new too. A guess that fails costs a command, and then
as many sessions ask first."""


class Newcomers:
    """Of one process: what was found of the latest sessions that it knew nothing of."""

    def __init__(self) -> None:
        self._in_a_row = 0

    @property
    def expected(self) -> bool:
        """Whether most likely nothing is stored of the next one."""
        return self._in_a_row >= IN_A_ROW

    def tell(self, readings: Sequence[Reading]) -> None:
        """What was read of one of them. What another request here brought says nothing."""
        if any(reading.tier is Tier.L2 for reading in readings):
            self._in_a_row = 0
        elif any(reading.outcome is Outcome.MISS for reading in readings):
            self._in_a_row += 1
