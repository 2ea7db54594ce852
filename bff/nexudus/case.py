"""One call that the breaker let through: what becomes of it, told once."""

from __future__ import annotations

from typing import Final

from bff.clock import Clock
from bff.nexudus.blame import Asked
from bff.nexudus.gate import Gate, Pass


class Case:
    """`asked`: what a forwarded call asks for, None for one of the gateway's own.

    Told a second time, nothing happens. `counts`: whether a failure does, unless it is a probe's.
    """

    def __init__(
        self, gate: Gate, entered: Pass, asked: Asked | None, clock: Clock, *, counts: bool
    ) -> None:
        self.has_failed = False
        self.entered: Final = entered
        self._gate = gate
        self._asked = asked
        self._clock = clock
        self._counts = counts or entered.is_probe
        self._open = True
        if entered.is_probe and asked is not None:
            # On trial: what hangs or is given up again and again must not stay the first choice.
            gate.blame.failed(asked, clock.monotonic())

    def succeeded(self, since: float | None) -> None:
        """Nexudus answered a call begun at `since`, monotonic seconds; None: by throttling it."""
        if self._closed():
            self._gate.succeeded(self.entered)
            if since is not None:
                self._gate.blame.answered(self._asked, since, self._clock.monotonic())

    def failed(self) -> None:
        """Nexudus did."""
        if self._closed():
            self._fail()

    def failed_on_path(self) -> None:
        """In a way that what was asked for may bring about: each route counts once."""
        if not self._closed():
            return
        if self._asked is not None:
            news = self._gate.blame.failed(self._asked, self._clock.monotonic())
            if not news and not (self.entered.is_probe and self.entered.sound):
                self._gate.given_up(self.entered)
                return
        self._fail()

    def given_up(self) -> None:
        """It ended without saying anything about Nexudus."""
        if self._closed():
            self._gate.given_up(self.entered)

    def is_general(self) -> bool:
        """Whether the call was throttled as any other would have been."""
        blame = self._gate.blame
        return self._asked is None or blame.throttled(self._asked, self._clock.monotonic())

    def _fail(self) -> None:
        self.has_failed = True
        if self._counts:
            self._gate.failed(self.entered)

    def _closed(self) -> bool:
        """Whether it was open until now."""
        was_open, self._open = self._open, False
        return was_open
