"""When what was in trouble: the ground on which an answer is judged."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from time import monotonic


class Trouble(Enum):
    """What may be made to fail."""

    REDIS = "redis"
    NEXUDUS = "nexudus"
    PROCESS = "process"


@dataclass(slots=True)
class Spell:
    """One stretch of trouble, monotonic seconds; `until` is infinite while it lasts."""

    kinds: frozenset[Trouble]
    since: float
    until: float = float("inf")


@dataclass(slots=True)
class Weather:
    """The record of all troubles so far."""

    spells: list[Spell] = field(default_factory=list)

    @contextlib.contextmanager
    def troubled(self, *kinds: Trouble) -> Iterator[Spell]:
        """Trouble until the end of the block, or until `until` where the block has set that."""
        spell = Spell(frozenset(kinds), monotonic())
        self.spells.append(spell)
        try:
            yield spell
        finally:
            if spell.until == float("inf"):
                spell.until = monotonic()

    def during(self, began: float, ended: float) -> frozenset[Trouble]:
        """What was in trouble at any moment from `began` to `ended`."""
        kinds = [each.kinds for each in self.spells if each.since <= ended and began < each.until]
        return frozenset[Trouble]().union(*kinds)

    def calm_since(self, kind: Trouble, now: float) -> float:
        """Since when it has been well; `now` while it is not, 0 if it always was."""
        ends = [min(each.until, now) for each in self.spells if kind in each.kinds]
        return max(ends, default=0.0)
