"""Nexudus' documented throttle, for the whole sandbox as one client (FACTS 8).

Windows slide and count admitted requests only: the strictest reading of the documented numbers,
so whoever stays inside it stays inside any other. The documented reason phrase ("You must wait
before accessing this url again.") cannot be sent: ASGI leaves it to the server.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from starlette.types import Send

from bff.clock import Clock
from bff.sandbox.forms import strict

WRITES = frozenset({"POST", "PUT", "DELETE"})  # PATCH is not in the documented list

HEADERS = (
    (b"cache-control", b"no-cache"),
    (b"pragma", b"no-cache"),
    (b"expires", b"-1"),
    (b"retry-after", b"1"),
    (b"content-length", b"0"),
)


@strict
@dataclass(frozen=True, slots=True)
class Limit:
    """At most `calls` admitted requests in any `window_s` seconds."""

    calls: int
    window_s: float
    writes_only: bool = False


DOCUMENTED_LIMITS = (
    Limit(1, 0.1),
    Limit(120, 60),
    Limit(5_000, 3_600),
    Limit(200_000, 86_400),
    Limit(60, 60, writes_only=True),
    Limit(5_000, 86_400, writes_only=True),
)


@dataclass(slots=True)
class _Window:
    """What one limit has admitted within its time, oldest first."""

    limit: Limit
    admitted: deque[float] = field(default_factory=deque)
    peak: int = 0
    refused: int = 0

    def is_full(self, now: float) -> bool:
        return self._used(now) >= self.limit.calls

    def admit(self, now: float) -> None:
        self.admitted.append(now)
        self.peak = max(self.peak, len(self.admitted))

    def report(self, now: float) -> dict[str, object]:
        return {
            "calls": self.limit.calls,
            "window_s": self.limit.window_s,
            "writes_only": self.limit.writes_only,
            "used": self._used(now),
            "peak": self.peak,
            "refused": self.refused,
        }

    def _used(self, now: float) -> int:
        while self.admitted and self.admitted[0] <= now - self.limit.window_s:
            self.admitted.popleft()
        return len(self.admitted)


class Throttle:
    """Admits or refuses each request; `enabled` may be turned at any time."""

    def __init__(
        self, clock: Clock, *, enabled: bool, limits: tuple[Limit, ...] = DOCUMENTED_LIMITS
    ) -> None:
        self._clock = clock
        self._windows: tuple[_Window, ...] = ()
        self.enabled = enabled
        self.refused = 0
        self.limit(limits)

    def limit(self, limits: Iterable[Limit]) -> None:
        """From now on, these limits; what was admitted so far is forgotten."""
        self._windows = tuple(_Window(limit) for limit in limits)
        self.refused = 0

    def admit(self, method: str) -> bool:
        """Whether the request may run; only an admitted one is counted."""
        if not self.enabled:
            return True
        now = self._clock.monotonic()
        applying = [
            window for window in self._windows if method in WRITES or not window.limit.writes_only
        ]
        full = [window for window in applying if window.is_full(now)]
        if full:
            self.refused += 1
            for window in full:
                window.refused += 1
            return False
        for window in applying:
            window.admit(now)
        return True

    def reset(self) -> None:
        """Forget every request admitted so far."""
        self.limit([window.limit for window in self._windows])

    def report(self) -> list[dict[str, object]]:
        """Each window as JSON: `used` now, `peak` of it, and how many requests it `refused`."""
        now = self._clock.monotonic()
        return [window.report(now) for window in self._windows]


async def refuse(send: Send) -> None:
    """The documented answer: 409, five headers, no body."""
    await send({"type": "http.response.start", "status": 409, "headers": list(HEADERS)})
    await send({"type": "http.response.body", "body": b""})
