"""Whether a store still is the one that gave a stamp, or lost what it did between then and now.

The clock of a space goes on from invalidation to invalidation. While it stands, loads are given the
stamp one past the last of them, and nothing else is ever given: so each stamp of it is that of an
invalidation, or one past it. A stamp that a process knows of, and that is strictly between two that
follow each other, is of invalidations that the store has lost, in whatever order answers arrive.
"""

from __future__ import annotations

from typing import NamedTuple


class Step(NamedTuple):
    """One invalidation as the store saw it: what a load would have been given just before, its own.

    Of a clock that begins with it `before` is the greater one: there was nothing to lose.
    """

    before: int
    stamp: int

    def leaves_out(self, known: int) -> bool:
        """Whether `known` was given by a store that this one does not remember having been."""
        return self.before < known < self.stamp

    def follows(self, known: int) -> bool:
        """Whether nothing was between `known` (0: nothing is known) and this step."""
        return not known or self.before - 1 <= known <= self.before
