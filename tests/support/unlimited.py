"""Admission for tests that are about something else, and a budget that they can look into."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from bff.errors import Overloaded
from bff.nexudus.admission import Admission, AdmissionPolicy
from bff.nexudus.budget.contract import Grant, Priority, Standing, Urgency
from bff.nexudus.client import NexudusClient
from bff.nexudus.intent import FORWARDED, Intent
from bff.nexudus.passthrough import Passage
from bff.nexudus.retry import RetryPolicy
from bff.spaces import Space


@dataclass(slots=True)
class Unlimited:
    """A budget that never runs out, unless a test says so. `spent`: space, priority, is a write.

    `untils`: until when the next grants last; those given are in `grants`, those that come back
    are told of to `on_returned`.
    While `open` is cleared every call waits; `shed` refuses them; pauses are only noted.
    """

    short: bool = False
    shed: bool = False
    open: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: int = 0
    spent: list[tuple[str, Priority, bool]] = field(default_factory=list)
    within: list[float] = field(default_factory=list)
    pauses: list[tuple[str, float]] = field(default_factory=list)
    untils: list[float] = field(default_factory=list)
    grants: list[Grant] = field(default_factory=list)
    on_returned: Callable[[float], None] | None = None
    blamed: list[Grant] = field(default_factory=list)
    paused_s: float = 0.0

    def __post_init__(self) -> None:
        self.open.set()

    async def spend(self, space: str, urgency: Urgency, *, write: bool, within_s: float) -> Grant:
        self.within.append(within_s)
        if self.shed:
            raise Overloaded("spent", retry_after_s=7)
        self.waiting += 1
        try:
            await self.open.wait()
        finally:
            self.waiting -= 1
        self.spent.append((space, urgency.priority, write))
        self.grants.append(Grant(self.untils.pop(0) if self.untils else math.inf, write))
        self.grants[-1].on_returned = self.on_returned
        return self.grants[-1]

    async def throttled(self, space: str, retry_after_s: float, grant: Grant) -> None:
        self.blamed.append(grant)
        self.pauses.append((space, retry_after_s))

    def is_short(self, space: str) -> bool:
        del space
        return self.short

    def standing(self, space: str) -> Standing:
        del space
        return Standing((), self.paused_s, 1.0, 1.0, shared=False)

    async def start(self) -> None:
        """Shared with nobody."""

    async def aclose(self) -> None:
        """Nobody to wake."""


def free(client: NexudusClient, space: Space, method: str = "GET") -> Passage:
    """The way to Nexudus without limits, breaker or repetition worth the name."""
    policy = AdmissionPolicy(retry=RetryPolicy(0))
    admission = Admission(Unlimited(), policy, client.clock, random.Random(1).random)
    until = client.clock.monotonic() + 60
    intent = Intent(space.name, FORWARDED, Urgency(Priority.FORWARDED), until, method)
    return Passage(client, space, lambda _call: admission.tries(intent))
