"""Nexudus' documented throttle, for the whole sandbox as one client (FACTS 8).

Windows slide and count admitted requests only: the strictest reading of the documented numbers,
so whoever stays inside it stays inside any other. The documented reason phrase ("You must wait
before accessing this url again.") cannot be sent: ASGI leaves it to the server.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from starlette.types import Send

from bff.clock import Clock

WRITES = frozenset({"POST", "PUT", "DELETE"})  # PATCH is not in the documented list

HEADERS = (
    (b"cache-control", b"no-cache"),
    (b"pragma", b"no-cache"),
    (b"expires", b"-1"),
    (b"retry-after", b"1"),
    (b"content-length", b"0"),
)


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


class Throttle:
    """Admits or refuses each request; `enabled` may be turned at any time."""

    def __init__(
        self, clock: Clock, *, enabled: bool, limits: tuple[Limit, ...] = DOCUMENTED_LIMITS
    ) -> None:
        self._clock = clock
        self._windows = tuple((limit, deque[float]()) for limit in limits)
        self.enabled = enabled
        self.refused = 0

    def admit(self, method: str) -> bool:
        """Whether the request may run; only an admitted one is counted."""
        if not self.enabled:
            return True
        now = self._clock.monotonic()
        applying = [
            (limit, admitted)
            for limit, admitted in self._windows
            if method in WRITES or not limit.writes_only
        ]
        for limit, admitted in applying:
            while admitted and admitted[0] <= now - limit.window_s:
                admitted.popleft()
        if any(len(admitted) >= limit.calls for limit, admitted in applying):
            self.refused += 1
            return False
        for _, admitted in applying:
            admitted.append(now)
        return True

    def reset(self) -> None:
        """Forget every request admitted so far."""
        for _, admitted in self._windows:
            admitted.clear()
        self.refused = 0


async def refuse(send: Send) -> None:
    """The documented answer: 409, five headers, no body."""
    await send({"type": "http.response.start", "status": 409, "headers": list(HEADERS)})
    await send({"type": "http.response.body", "body": b""})
