"""How long one request waits for the shared store, over all of its commands together.

A request is slowed by a store that fails once, not once per command: each wait takes from what is
left. Only the store's time is counted (`Pace`): a burst that keeps this process busy for longer
must not be sent to Nexudus instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from bff.errors import StoreUnavailable

TICK_S = 0.005
BUSY = 0.1
"""Part of a tick that counts however busy this process is, so that no wait is without end."""
TURNS = 10
"""Of the event loop, after the time is up, for an answer that has arrived but was not read yet."""
HURRY = 0.1
"""Part of the time that is waited for a store that was silent and has not answered since."""
_LEAST_S = 0.001
"""So that a wait of nearly nothing is not repeated without end."""


class Unanswered(StoreUnavailable):
    """The store was waited for as long as it may take."""


class OutOfPatience(StoreUnavailable):
    """The request has no time left for the store. That is no failure of the store.

    `command`: what was sent and is not answered yet, to be answered within `due_s`.
    """

    def __init__(self, command: asyncio.Future[Any] | None = None, due_s: float = 0.0) -> None:
        super().__init__("no time left to wait for the store")
        self.command = command
        self.due_s = due_s


class Time(Protocol):
    """Seconds that pass while somebody waits, from `begin` to `end`; both say what time it is."""

    def now(self) -> float: ...

    def begin(self) -> float: ...

    def end(self) -> float: ...

    async def until(self, due_s: float, command: asyncio.Future[Any]) -> None: ...


class Pace:
    """Time in which one event loop had nothing to do.

    What its thread works, and what a tick comes late for that or for others on the machine, does
    not count, or hardly.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop_time, self._call_later = loop.time, loop.call_later
        self._now = 0.0
        self._latest = 0.0
        self._ticked = (0.0, 0.0)
        self._waits = 0
        self._timer: asyncio.TimerHandle | None = None
        self._due: dict[Callable[[object], None], float] = {}

    def now(self) -> float:
        # Work later in a tick takes away from what counted of it: time stands still, then.
        since_s = self._since_tick() if self._waits else 0.0
        self._latest = max(self._latest, self._now + since_s)
        return self._latest

    def begin(self) -> float:
        if not self._waits:
            self._start_tick()
        self._waits += 1
        return self.now()

    def end(self) -> float:
        if self._waits == 1:
            self._now += self._since_tick()
            assert self._timer is not None
            self._timer.cancel()
        self._waits -= 1
        return self.now()

    async def until(self, due_s: float, command: asyncio.Future[Any]) -> None:
        """Within a wait: returns once a command has ended, or in the first tick after `due_s`.

        The command is not cancelled with its caller: others may wait for it as well. A timer for
        each of them would cost more than to look at them all in each tick.
        """
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def wake(_: object) -> None:
            if not waiter.done():
                waiter.set_result(None)

        command.add_done_callback(wake)
        self._due[wake] = due_s
        try:
            await waiter
        finally:
            del self._due[wake]
            command.remove_done_callback(wake)

    def _since_tick(self) -> float:
        at, worked = self._ticked
        return max(0.0, min(TICK_S, self._loop_time() - at) - (time.thread_time() - worked))

    def _start_tick(self) -> None:
        self._ticked = (self._loop_time(), time.thread_time())
        self._timer = self._call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        self._now += max(BUSY * TICK_S, self._since_tick())
        self._start_tick()
        now = self.now()
        for wake, due_s in self._due.items():
            if due_s <= now:
                wake(None)


_paces: WeakKeyDictionary[asyncio.AbstractEventLoop, Pace] = WeakKeyDictionary()


def pace() -> Pace:
    """That of the running loop."""
    loop = asyncio.get_running_loop()
    found = _paces.get(loop)
    if found is None:
        found = _paces[loop] = Pace(loop)
    return found


class Allowance:
    """Seconds that may be waited. Waits at the same time count once."""

    __slots__ = ("_left_s", "_since", "_waits", "is_over", "time")

    def __init__(self, timeout_s: float, clock: Time) -> None:
        self.time = clock
        self._left_s = timeout_s
        self._since = 0.0
        self._waits = 0
        self.is_over = False
        """Whether the request has ended: what goes on behind it is nobody's wait."""

    def left_s(self) -> float:
        """Seconds that may still be waited; 0 when none."""
        spent_s = self.time.now() - self._since if self._waits else 0.0
        return max(0.0, self._left_s - spent_s)

    def begin(self) -> float:
        """A wait begins."""
        now = self.time.begin()
        if not self._waits:
            self._since = now
        self._waits += 1
        return now

    def end(self) -> float:
        """It has ended."""
        now = self.time.end()
        self._waits -= 1
        if not self._waits:
            self._left_s = max(0.0, self._left_s - (now - self._since))
        return now

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """Around a wait."""
        self.begin()
        try:
            yield
        finally:
            self.end()

    @contextlib.asynccontextmanager
    async def timeout(self) -> AsyncIterator[None]:
        """Around something within a counted wait; TimeoutError once nothing is left."""
        loop = asyncio.get_running_loop()
        alarm: asyncio.TimerHandle | None = None
        async with asyncio.timeout(None) as limit:
            # Given itself: if it held itself, all of the request would wait to be collected.
            def look(again: Callable[..., None]) -> None:
                nonlocal alarm
                left_s = self.left_s()
                if left_s > 0:
                    alarm = loop.call_later(max(left_s, _LEAST_S), again, again)
                else:
                    limit.reschedule(loop.time())

            look(look)
            try:
                yield
            finally:
                if alarm is not None:
                    alarm.cancel()

    def exhaust(self) -> None:
        """Somebody waited in vain."""
        self._left_s = 0.0

    def close(self) -> None:
        """The request has been answered."""
        self.is_over = True


_current: ContextVar[Allowance | None] = ContextVar("store_patience", default=None)
_part: ContextVar[float] = ContextVar("store_part", default=1.0)


class limited:  # noqa: N801 - a context manager, called as those of contextlib are
    """Around a request: what is done here, and in tasks begun here, waits `timeout_s` in all.

    Within another one nothing changes. Once it ends, tasks that go on wait as outside of any.
    """

    __slots__ = ("_allowance", "_before", "_clock", "_timeout_s")

    def __init__(self, timeout_s: float, clock: Time | None = None) -> None:
        self._timeout_s = timeout_s
        self._clock = clock
        self._allowance: Allowance | None = None

    def __enter__(self) -> None:
        if current() is None:
            self._allowance = Allowance(self._timeout_s, self._clock or pace())
            self._before = _current.set(self._allowance)

    def __exit__(self, *_: object) -> None:
        if self._allowance is not None:
            self._allowance.close()
            _current.reset(self._before)


@contextlib.contextmanager
def unlimited() -> Iterator[None]:
    """Around what nobody waits for, though it is begun within a request."""
    before = _current.set(None)
    try:
        yield
    finally:
        _current.reset(before)


@contextlib.contextmanager
def hurried() -> Iterator[None]:
    """Around a command to a store that is perhaps away: it is hardly waited for."""
    before = _part.set(HURRY)
    try:
        yield
    finally:
        _part.reset(before)


def current() -> Allowance | None:
    """What is left of this request's patience; None outside of one."""
    allowance = _current.get()
    return None if allowance is None or allowance.is_over else allowance


def is_spent() -> bool:
    """Whether the answer to a command sent now would not be waited for."""
    allowance = current()
    return allowance is not None and allowance.left_s() <= 0


def exhaust() -> None:
    """Somebody waited in vain for what this request wants, so it waits for nothing more."""
    if (allowance := current()) is not None:
        allowance.exhaust()


async def wait(command: asyncio.Future[Any], timeout_s: float = math.inf) -> None:
    """Returns once a command has ended; it runs on if not.

    Raises Unanswered after `timeout_s`, OutOfPatience where this request waits less. Who waited in
    vain has no patience left.
    """
    allowance = current()
    own_s = math.inf if allowance is None else allowance.left_s()
    if own_s <= 0:
        raise OutOfPatience(command, timeout_s)
    clock = pace() if allowance is None else allowance.time
    waits = clock if allowance is None else allowance
    began = waits.begin()
    try:
        if not command.done():
            # What takes too long ends before this request gives it up, so the guard knows of it
            # before the request goes on, and is waited for by others.
            await clock.until(began + min(timeout_s * _part.get(), own_s + TICK_S), command)
        for _ in range(TURNS):
            if command.done():
                return
            await asyncio.sleep(0)
    finally:
        due_s = began + timeout_s - waits.end()
    if allowance is not None:
        allowance.exhaust()
    if due_s > 0 and (allowance is not None or _part.get() < 1):
        raise OutOfPatience(command, due_s)
    raise Unanswered(f"no answer within {timeout_s * 1000:.0f} ms")
