"""One flight per key: concurrent misses share one piece of work.

The flight belongs to the registry, not to the caller that started it: a cancelled caller never
cancels it. A caller that arrives after an invalidation never joins a flight begun before it.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import structlog

from bff.cache import tags as tagging
from bff.cache.tasks import end
from bff.errors import Overloaded

T = TypeVar("T")

log = structlog.get_logger("bff.cache")

MOST_WAITERS = 5_000
CLOSING_S = 0.2
"""How long an orderly end waits for what goes on though its callers have been told."""


def _nothing() -> None:
    return None


def _nobody(_: object) -> None:
    return None


@dataclass(slots=True)
class Course:
    """How far a flight is; written by its work.

    `begun`: what it brings may be from before an invalidation that follows. `joined` is called
    whenever somebody begins to wait for it. `tell`: for the work, to give its callers the result
    before it has ended; nobody joins it from then on, and what it returns is for nobody.
    """

    begun: bool = False
    joined: Callable[[], None] = _nothing
    tell: Callable[[object], None] = _nobody


@dataclass(slots=True)
class _Flight:
    """`result`: what its callers wait for; there at the end of `task` at the latest.

    `awaited_since`: when somebody first waited for it; None where nobody has.
    """

    space: str
    tags: frozenset[str]
    task: asyncio.Task[object]
    result: asyncio.Future[object]
    course: Course
    since: float
    awaited_since: float | None = None


@dataclass(frozen=True, slots=True)
class Landed(Generic[T]):
    """A flight's result, and whether this caller joined one that was already under way."""

    value: T
    joined: bool


class Flights:
    """The flights of one process: of each space, at most `most_waiters` callers wait for them.

    `clock`: monotonic seconds.
    """

    def __init__(
        self, most_waiters: int = MOST_WAITERS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most_waiters
        self._clock = clock
        self._waiters: Counter[str] = Counter()
        self._behind: Counter[str] = Counter()
        self._joinable: dict[str, _Flight] = {}
        self._tasks: set[asyncio.Task[object]] = set()
        self._told: set[asyncio.Task[object]] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def waiters(self) -> int:
        """Callers that wait for any of them."""
        return self._waiters.total()

    @property
    def storing(self) -> int:
        """Flights that go on though their callers have been told."""
        return len(self._told)

    @property
    def behind(self) -> int:
        """Flights started behind their callers' backs that are under way."""
        return self._behind.total()

    def behind_of(self, space: str) -> int:
        """Those of one space."""
        return self._behind[space]

    def is_under_way(self, key: str) -> bool:
        """Whether a caller would join a flight."""
        return key in self._joinable

    def age_s(self, key: str) -> float:
        """For how long the flight that a caller would join has been under way; 0 without one."""
        flight = self._joinable.get(key)
        return 0.0 if flight is None else self._clock() - flight.since

    def awaited_s(self, key: str) -> float:
        """For how long callers have waited for it; 0 without one, or for one that nobody has."""
        flight = self._joinable.get(key)
        since = None if flight is None else flight.awaited_since
        return 0.0 if since is None else self._clock() - since

    async def run(
        self,
        key: str,
        space: str,
        tags: Iterable[str],
        work: Callable[[], Awaitable[T]],
        course: Course | None = None,
    ) -> Landed[T]:
        """Join the flight of `key` or start it; its failure is raised in every caller.

        `tags`: what is known beforehand to drop the result; `course`: that of `work`. Raises
        Overloaded where too many wait.
        """
        if self._waiters[space] >= self._most:
            raise Overloaded("Too many requests wait for Nexudus.", retry_after_s=1)
        flight = self._joinable.get(key)
        joined = flight is not None
        if flight is None:
            flight = self._start(key, space, frozenset(tags), work, course or Course(begun=True))
        else:
            flight.course.joined()
        if flight.awaited_since is None:
            flight.awaited_since = self._clock()
        self._waiters[space] += 1
        try:
            return Landed(cast(T, await asyncio.shield(flight.result)), joined)
        finally:
            self._waiters[space] -= 1

    def start(
        self,
        key: str,
        space: str,
        tags: Iterable[str],
        work: Callable[[], Awaitable[object]],
        course: Course | None = None,
    ) -> bool:
        """Start the flight of `key` behind the caller's back; False if one is under way."""
        if key in self._joinable or self._closed:
            return False
        flight = self._start(key, space, frozenset(tags), work, course or Course(begun=True))
        self._behind[space] += 1
        flight.task.add_done_callback(lambda _: self._behind.subtract((space,)))
        return True

    def detach(self, space: str, tags: frozenset[str]) -> None:
        """Let no later caller join a flight whose result `tags` may concern.

        What a flight will turn out to depend on is not known before it lands, so a dropped
        generation detaches all flights of the space; a dropped token detaches that token's. One
        that has not begun stays: what it brings will be from after the invalidation.
        """
        everything = any(tagging.is_generation(tag) for tag in tags)
        for key, flight in list(self._joinable.items()):
            concerned = everything or not tags.isdisjoint(flight.tags)
            if flight.space == space and flight.course.begun and concerned:
                del self._joinable[key]

    def detach_all(self) -> None:
        """Let no later caller join any flight that is under way."""
        self._joinable.clear()

    async def aclose(self) -> None:
        """Cancel what is under way and wait until it has ended.

        What its callers have been told of is about to be stored, and has a moment for that.
        """
        self._closed = True
        if self._told:
            await asyncio.wait(self._told, timeout=CLOSING_S)
        await end(self._tasks)

    def _start(
        self,
        key: str,
        space: str,
        tags: frozenset[str],
        work: Callable[[], Awaitable[T]],
        course: Course,
    ) -> _Flight:
        if self._closed:
            raise RuntimeError("flights are closed")
        coroutine = cast(Coroutine[Any, Any, object], work())
        task: asyncio.Task[object] = asyncio.create_task(coroutine, name=f"flight {key}")
        result: asyncio.Future[object] = task.get_loop().create_future()
        flight = _Flight(space, tags, task, result, course, self._clock())
        self._joinable[key] = flight
        self._tasks.add(task)

        def told(value: object) -> None:
            if self._joinable.get(key) is flight:
                del self._joinable[key]
            result.set_result(value)
            self._told.add(task)
            task.set_name(f"flight {key}, told")

        def landed(done: asyncio.Task[object]) -> None:
            self._tasks.discard(done)
            self._told.discard(done)
            if self._joinable.get(key) is flight:
                del self._joinable[key]
            course.tell = _nobody  # or each flight would hold itself, and its result
            _settle(result, done)

        course.tell = told
        task.add_done_callback(landed)
        return flight


def _settle(result: asyncio.Future[object], done: asyncio.Task[object]) -> None:
    """Give the callers of a flight its end, unless they have been told before."""
    try:
        value = done.result()
    except asyncio.CancelledError:
        result.cancel()
    except Exception as failure:
        if result.done():
            log.exception("flight_failed_late")
            return
        result.set_exception(failure)
        result.exception()  # every caller may be gone; the failure is then nobody's
    else:
        if not result.done():
            result.set_result(value)
