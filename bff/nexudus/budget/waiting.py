"""Who waits for a call of one space, in order."""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from bff.nexudus.budget.contract import Priority, Urgency

BELIEVED_S: Final = 1.0
"""How long what was said is believed, and the longest sleep between two questions: what happens
elsewhere, such as a pause, is known here by then."""


@dataclass(frozen=True, slots=True)
class Denied:
    """What was said last: calls of this priority or a lower one go on `delay_s` after `said_at`."""

    priority: Priority = Priority.INTERACTIVE
    said_at: float = -math.inf
    delay_s: float = 0.0

    def wait_s(self, priority: Priority, now: float) -> float:
        """Seconds that a call of some priority waits for it; 0 also when nobody knows."""
        if priority < self.priority or now >= self.said_at + BELIEVED_S:
            return 0.0
        return max(0.0, self.said_at + self.delay_s - now)


@dataclass(slots=True, eq=False)
class Caller:
    """One that waits until `deadline` (monotonic seconds); its `turn` ends that."""

    urgency: Urgency
    write: bool
    deadline: float
    arrival: int
    turn: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    counted: Priority = Priority.BACKGROUND

    @property
    def waits(self) -> bool:
        """Whether it does still."""
        return not self.turn.done()


class Waiting:
    """Callers by priority, then by arrival. Reads and writes wait apart: limits differ."""

    def __init__(self) -> None:
        self._arrivals = 0
        self._callers: dict[int, Caller] = {}
        self._counts = {(priority, write): 0 for priority in Priority for write in (False, True)}
        self._lines: dict[bool, list[tuple[Priority, int]]] = {False: [], True: []}

    def __len__(self) -> int:
        return len(self._callers)

    def __iter__(self) -> Iterator[Caller]:
        return iter(tuple(self._callers.values()))

    def join(self, urgency: Urgency, write: bool, deadline: float) -> Caller:
        """At the end of those of its priority."""
        self._arrivals += 1
        caller = Caller(urgency, write, deadline, self._arrivals)
        self._callers[caller.arrival] = caller
        self._count(caller)
        return caller

    def rose(self, caller: Caller) -> None:
        """Its priority did: before all that are below, among its own by arrival."""
        if caller.arrival in self._callers:
            self._counts[caller.counted, caller.write] -= 1
            self._count(caller)

    def leave(self, caller: Caller) -> None:
        """It waits no more; may be repeated."""
        if self._callers.pop(caller.arrival, None) is not None:
            self._counts[caller.counted, caller.write] -= 1

    def head(self, *, writes: bool = True) -> Caller | None:
        """Who is next; without `writes`, of the reads."""
        first = self._first(False)
        other = self._first(True) if writes else None
        if first is None or other is None:
            return first or other
        return min(first, other, key=lambda caller: (caller.counted, caller.arrival))

    def up_to(self, priority: Priority, *, writes_only: bool = False) -> int:
        """How many wait at a priority or before it."""
        return sum(
            count
            for (each, write), count in self._counts.items()
            if each <= priority and (write or not writes_only)
        )

    def reads_at(self, priority: Priority) -> int:
        """How many reads wait at exactly one priority."""
        return self._counts[priority, False]

    def _count(self, caller: Caller) -> None:
        caller.counted = caller.urgency.priority
        self._counts[caller.counted, caller.write] += 1
        heapq.heappush(self._lines[caller.write], (caller.counted, caller.arrival))

    def _first(self, write: bool) -> Caller | None:
        line = self._lines[write]
        while line:
            priority, arrival = line[0]
            caller = self._callers.get(arrival)
            if caller is not None and caller.counted is priority:
                return caller
            heapq.heappop(line)  # it left, or rose and stands further ahead as well
        return None
