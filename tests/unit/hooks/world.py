"""What surrounds the webhook receiver in its tests: a memory, work to do, a clock, a report."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bff.hooks import Affected, DeliveryLimits, Effects, WebhookReceiver

FIXTURES: Final = Path(__file__).parents[2] / "fixtures" / "nexudus"
SECRET: Final = b"fixture-shared-secret"
OTHER_SECRET: Final = b"the secret of another space"
SECRETS: Final = {"north": SECRET, "south": OTHER_SECRET, "mute": b""}
BODY: Final = (FIXTURES / "webhook_coworker_update.json").read_bytes()
JANE: Final = Affected(frozenset({7001}), frozenset({101}))
LIMITS: Final = DeliveryLimits(waiting=2, together=2, ids=8, retry_delays_s=(0.2, 1.0))
PATIENCE_S: Final = 30.0


def sign(body: bytes, secret: bytes = SECRET) -> list[tuple[bytes, bytes]]:
    signature = hmac.new(secret, body, hashlib.sha256).hexdigest().upper()
    return [(b"host", b"bff"), (b"x-nexudus-hook-signature", signature.encode())]


async def at_once() -> None:
    """An invalidation that has nothing to wait for."""


@dataclass
class World:
    """Everything around the receiver, with what reached it."""

    remembered: set[tuple[str, str]] = field(default_factory=set)
    invalidated: list[tuple[str, Affected]] = field(default_factory=list)
    reported: list[tuple[str, Affected, Exception]] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    noted: int = 0
    look: Callable[[], Awaitable[None]] = at_once
    note: Callable[[], Awaitable[None]] = at_once
    work: Callable[[], Awaitable[None]] = at_once

    async def applied(self, space_name: str, digests: frozenset[str]) -> frozenset[str]:
        await self.look()
        return frozenset(each for each in digests if (space_name, each) in self.remembered)

    async def remember(self, space_name: str, digests: frozenset[str]) -> None:
        self.noted += 1
        await self.note()
        self.remembered |= {(space_name, each) for each in digests}

    async def invalidate(self, space_name: str, affected: Affected) -> None:
        self.invalidated.append((space_name, affected))
        await self.work()

    def report(self, space_name: str, affected: Affected, error: Exception) -> None:
        self.reported.append((space_name, affected, error))

    def wall(self) -> float:
        return 0.0

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, delay_s: float) -> None:
        self.slept.append(delay_s)

    def receiver(
        self, limits: DeliveryLimits = LIMITS, answered_within_s: float = PATIENCE_S
    ) -> WebhookReceiver:
        effects = Effects(self.applied, self.remember, self.invalidate, self.report)
        return WebhookReceiver(SECRETS, effects, self, limits, answered_within_s)


@dataclass
class Gate:
    """Work that begins, and goes on once it may."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self) -> None:
        self.begun.set()
        await self.opened.wait()


def failing(*errors: Exception) -> Callable[[], Awaitable[None]]:
    """Fails with each error in turn, then works."""
    left = list(errors)

    async def attempt() -> None:
        if left:
            raise left.pop(0)

    return attempt
