"""What a process knows of itself and of Nexudus, for its record: nothing is asked for it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from bff.cache.bus import Bus
from bff.cache.guarded import GuardedStore
from bff.clock import Clock
from bff.nexudus.admission import Admission
from bff.nexudus.states import States
from bff.ops.figures import Window
from bff.ops.fleet.record import Details, SpaceSeen

CLOSED: Final = "closed"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a process is. `started_at`: UTC seconds."""

    host: str
    pid: int
    version: str
    started_at: float

    @classmethod
    def here(cls, version: str, clock: Clock) -> Self:
        """Of this process, which starts now."""
        return cls(socket.gethostname(), os.getpid(), version, clock.wall())


@dataclass(frozen=True, slots=True)
class Watched:
    """Of the gateway, those that know something. `per_token`: whether a space's related lists are
    kept for each token.
    """

    store: GuardedStore
    bus: Bus
    admission: Admission
    per_token: Callable[[str], bool]


class Particulars:
    """Of the process `identity`, which serves `spaces`."""

    def __init__(
        self, identity: Identity, watched: Watched, spaces: Sequence[str], clock: Clock
    ) -> None:
        self._identity = identity
        self._watched = watched
        self._spaces = tuple(spaces)
        self._states = States(watched.admission, spaces)
        self._clock = clock
        self._not_closed_since: dict[str, float] = {}

    def details(self) -> Details:
        """As of now."""
        identity, watched = self._identity, self._watched
        states = self._states.states()
        return Details(
            host=identity.host,
            pid=identity.pid,
            version=identity.version,
            started_at=identity.started_at,
            store=watched.store.available,
            bus=watched.bus.trusted,
            spaces=tuple(self._seen(space, states[space]) for space in self._spaces),
        )

    def _seen(self, space: str, state: str) -> SpaceSeen:
        breaker = self._watched.admission.standing(space).state
        budget = self._watched.admission.budget.standing(space)
        return SpaceSeen(
            space=space,
            state=state,
            breaker=breaker,
            breaker_s=self._for_s(space, breaker),
            paused_s=budget.paused_s,
            per_token=self._watched.per_token(space),
            windows=tuple(
                Window(
                    space,
                    f"writes {each.limit}" if each.writes_only else str(each.limit),
                    each.used,
                    each.limit.calls,
                )
                for each in budget.windows
            ),
        )

    def _for_s(self, space: str, breaker: str) -> float:
        """Seconds since the breaker was last seen closed, or 0."""
        if breaker == CLOSED:
            self._not_closed_since.pop(space, None)
            return 0.0
        now = self._clock.monotonic()
        return now - self._not_closed_since.setdefault(space, now)
