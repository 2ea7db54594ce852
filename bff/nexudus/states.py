"""What is known of Nexudus, space by space, in words for `/readyz`: nothing is asked for it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from bff.nexudus.admission import Admission


class States:
    """Of the spaces that this process serves."""

    def __init__(self, admission: Admission, spaces: Sequence[str]) -> None:
        self._admission = admission
        self._spaces = tuple(spaces)

    def states(self) -> Mapping[str, str]:
        """`reachable`, `paused for 3 s`, `failing: tried again in 5 s` or `failing: being tried`.

        A space that was not called yet counts as reachable: nothing speaks against it.
        """
        return {space: self._state(space) for space in self._spaces}

    def _state(self, space: str) -> str:
        breaker = self._admission.standing(space)
        if breaker.state == "open":
            return f"failing: tried again in {math.ceil(breaker.wait_s)} s"
        if breaker.state == "half_open":
            return "failing: being tried"
        paused_s = self._admission.budget.standing(space).paused_s
        if paused_s > 0:
            return f"paused for {math.ceil(paused_s)} s"
        return "reachable"
