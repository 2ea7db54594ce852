"""What surrounds the webhook receiver in its tests: a memory, work to do, a clock, a report."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bff.hooks import Affected, ReceiverLimits, WebhookReceiver

FIXTURES: Final = Path(__file__).parents[2] / "fixtures" / "nexudus"
SECRET: Final = b"fixture-shared-secret"
OTHER_SECRET: Final = b"the secret of another space"
SECRETS: Final = {"north": SECRET, "south": OTHER_SECRET, "mute": b""}
BODY: Final = (FIXTURES / "webhook_coworker_update.json").read_bytes()
JANE: Final = Affected(frozenset({7001}), frozenset({101}))
LIMITS: Final = ReceiverLimits(running=2, attempt_timeout_s=5.0, retry_delays_s=(0.2, 1.0))


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
    remember: Callable[[], Awaitable[None]] = at_once
    work: Callable[[], Awaitable[None]] = at_once

    async def once(self, space_name: str, digest: str) -> bool:
        await self.remember()
        first = (space_name, digest) not in self.remembered
        self.remembered.add((space_name, digest))
        return first

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

    def receiver(self, limits: ReceiverLimits = LIMITS) -> WebhookReceiver:
        return WebhookReceiver(
            SECRETS,
            once=self.once,
            invalidate=self.invalidate,
            report=self.report,
            clock=self,
            limits=limits,
        )


def failing(*errors: Exception) -> Callable[[], Awaitable[None]]:
    """Fails with each error in turn, then works."""
    left = list(errors)

    async def attempt() -> None:
        if left:
            raise left.pop(0)

    return attempt
