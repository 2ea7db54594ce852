"""What the rest of the gateway knows of the budget."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from bff.limits import Limit

MODIFYING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
"""Methods that count against the limits of writes too; PATCH is not in the documented list, which
says nothing of it (FACTS 8)."""


class Priority(enum.IntEnum):
    """Who goes first; a smaller one does."""

    INTERACTIVE = 0
    """A member waits for a cached document that nobody has."""
    STRANGER = 1
    """A member waits whose token Nexudus has not accepted lately: it may be invented."""
    FORWARDED = 2
    """A call that is passed through."""
    BACKGROUND = 3
    """Nobody waits: a refresh behind a stale answer, a comparison."""


class Urgency:
    """The priority of one call, which may rise while it waits: somebody joined, who cannot wait.

    `since` orders calls of one priority, smaller first: what was begun is finished before more is
    begun. Monotonic seconds of the member's request: of its begin, or of its deadline.
    """

    def __init__(self, priority: Priority, since: float = math.inf) -> None:
        self.since: Final = since
        self._priority = priority
        self._watchers: list[Callable[[], None]] = []

    @property
    def priority(self) -> Priority:
        """As it is now."""
        return self._priority

    def raise_to(self, priority: Priority) -> None:
        """At least as urgent as this from now on."""
        if priority < self._priority:
            self._priority = priority
            for watcher in tuple(self._watchers):
                watcher()

    def watch(self, watcher: Callable[[], None]) -> Callable[[], None]:
        """Call `watcher` whenever it rises; the returned callable ends that."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)


@dataclass(slots=True, eq=False)
class Grant:
    """Leave to send one call before `until` (monotonic seconds).

    Until it is said to be sent, it counts as if it were at the last moment. `gap_s`: how long after
    the space's call before it that it was given; 0 where nobody knows. `priority`: of the call that
    it was asked for; a stranger's counts as such until its token is `accepted`.
    """

    until: float = math.inf
    write: bool = False
    gap_s: float = 0.0
    on_sent: Callable[[float], None] = lambda _now: None
    on_accepted: Callable[[float], None] = lambda _now: None
    on_returned: Callable[[float], None] | None = None
    sent_at: float | None = None
    priority: Priority = Priority.BACKGROUND

    def lasts(self, now: float) -> bool:
        """Whether the call may be sent now; afterwards another grant is needed."""
        return now < self.until

    def sent(self, now: float) -> None:
        """The call's first byte has gone, or never will. May be repeated; never raises."""
        if self.sent_at is None:
            self.sent_at = now
            self.on_sent(now)

    def returned(self, now: float) -> None:
        """The call has not been sent and, by this grant, never will be: where that can be told, it
        counts no more, else as sent now. May be repeated; never raises."""
        if self.sent_at is None:
            self.accepted(now)  # nobody's is no stranger's
            self.sent_at = now
            (self.on_returned or self.on_sent)(now)

    def accepted(self, now: float) -> None:
        """Nexudus knows the call's token: it is no stranger's. May be repeated; never raises."""
        told, self.on_accepted = self.on_accepted, _nothing
        told(now)


def _nothing(_now: float) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Spending:
    """One window as last known: `used` of `limit.calls`, by all processes together.

    `levels`: by Priority, up to which use its calls go. `strangers_unheard`: there may be no room
    for a STRANGER although its level says so, because of those of other processes.
    """

    limit: Limit
    writes_only: bool
    used: int
    levels: tuple[int, ...]
    strangers_unheard: bool = False

    def is_full(self, priority: Priority) -> bool:
        """Whether one more call of this priority has to wait."""
        return self.used >= self.levels[priority]


@dataclass(frozen=True, slots=True)
class Standing:
    """A space's budget as this process knows it. `paused_s`: seconds until calls go on, else 0.

    Unless Nexudus turned out stricter both are 1: `factor`, the part of the limits in use, and
    `stretch`, how many times as far apart calls are as the limits ask. `shared`: whether it is
    accounted with the other processes; otherwise this one has a share of its own.
    """

    windows: tuple[Spending, ...]
    paused_s: float
    factor: float
    stretch: float
    shared: bool


class Budget(Protocol):
    """The budget of every space, for one process."""

    async def spend(self, space: str, urgency: Urgency, *, write: bool, within_s: float) -> Grant:
        """Returns when one call may be sent, which is to follow at once and to be told.

        Raises Overloaded, with `retry_after_s`, if that is not so within `within_s`: at once where
        that can be known beforehand.
        """
        ...

    async def throttled(self, space: str, retry_after_s: float, grant: Grant) -> None:
        """Nexudus refused a call: no process calls for that long, and all are slower afterwards."""
        ...

    def is_short(self, space: str) -> bool:
        """Whether so little is left that nothing is to be asked twice."""
        ...

    def standing(self, space: str) -> Standing:
        """For operators and metrics."""
        ...

    async def start(self) -> None:
        """Begin to share with the other processes."""
        ...

    async def aclose(self) -> None:
        """Whoever waits gets Overloaded; the others hear that this process is gone."""
        ...
