"""The breaker of one space at work: it lets calls through, and hears what became of them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar, assert_never

from bff.clock import Clock
from bff.errors import UpstreamDown
from bff.nexudus import breaker
from bff.nexudus.blame import Asked, Blame
from bff.nexudus.breaker import BreakerPolicy, Closed, HalfOpen, Open

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BreakerStanding:
    """For operators: `closed`, `open` or `half_open`, and the seconds until a call may go."""

    state: str
    wait_s: float


@dataclass(frozen=True, slots=True)
class Pass:
    """A call that was let through. `is_probe`: everybody else waits for what becomes of it.

    `sound`: whether its failure would be Nexudus', whatever it asked for.
    """

    epoch: int
    is_probe: bool
    sound: bool = True


class Gate:
    """`turned(state)` is called with the new state's name whenever the breaker changes."""

    def __init__(
        self,
        policy: BreakerPolicy,
        clock: Clock,
        chance: Callable[[], float],
        turned: Callable[[str], None],
    ) -> None:
        self.blame: Final = Blame(policy.window_s)
        self._policy = policy
        self._clock = clock
        self._chance = chance
        self._turned = turned
        self._state: breaker.State = Closed()
        self._waiting: dict[asyncio.Timeout, None] = {}

    def admits(self, asked: Asked | None) -> bool:
        """Whether a call would be let through now; None: one of the gateway's own."""
        if asked is not None and asked.arriving and not isinstance(self._state, Closed):
            return False  # its sender could keep everybody waiting
        sound = self.blame.is_sound(asked)
        return breaker.admits(self._state, self._clock.monotonic(), sound=sound)

    @property
    def standing(self) -> BreakerStanding:
        """The state, as it is now."""
        return BreakerStanding(
            _name(self._state), breaker.wait_s(self._state, self._clock.monotonic())
        )

    def enter(self, asked: Asked | None) -> Pass:
        """Let one call through; what becomes of it is to be told. Raises UpstreamDown."""
        if not self.admits(asked):
            raise self._refusal()
        sound = self.blame.is_sound(asked)
        self._happened(breaker.Began(sound))
        return Pass(self._state.epoch, isinstance(self._state, HalfOpen), sound)

    async def while_closed(self, wait: Awaitable[T]) -> T:
        """Wait for something on the way to Nexudus; UpstreamDown once the breaker opens."""
        limit = asyncio.timeout(None)
        try:
            async with limit:
                self._waiting[limit] = None
                try:
                    return await wait
                finally:
                    del self._waiting[limit]
        except TimeoutError:
            if not limit.expired():
                raise
            raise self._refusal() from None

    def succeeded(self, entered: Pass) -> None:
        """Nexudus answered."""
        self._happened(breaker.Succeeded(entered.epoch))

    def failed(self, entered: Pass) -> None:
        """It did not, or with a 5xx."""
        self._happened(breaker.Failed(entered.epoch, self._chance()))

    def given_up(self, entered: Pass) -> None:
        """The call ended without saying anything about Nexudus."""
        self._happened(breaker.GivenUp(entered.epoch))

    def _happened(self, event: breaker.Event) -> None:
        before = self._state
        self._state = breaker.after(before, event, self._clock.monotonic(), self._policy)
        if type(before) is not type(self._state):
            if isinstance(before, Closed):
                self._eject()
            if isinstance(self._state, Closed):
                self.blame.recovered()
            self._turned(_name(self._state))

    def _eject(self) -> None:
        """Whoever still waits would wait, and spend, for nothing."""
        for limit in tuple(self._waiting):
            limit.reschedule(asyncio.get_running_loop().time())

    def _refusal(self) -> UpstreamDown:
        wait_s = breaker.wait_s(self._state, self._clock.monotonic())
        return UpstreamDown(
            "Nexudus keeps failing, so it is not asked for the moment.",
            retry_after_s=max(1, math.ceil(wait_s)),
        )


def _name(state: breaker.State) -> str:
    match state:
        case Closed():
            return "closed"
        case Open():
            return "open"
        case HalfOpen():
            return "half_open"
        case _:
            assert_never(state)
