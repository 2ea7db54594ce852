"""One flight per key: concurrent misses share one piece of work.

The flight belongs to the registry, not to the caller that started it: a cancelled caller never
cancels it. A caller that arrives after an invalidation never joins a flight begun before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from bff.cache import tags as tagging
from bff.cache.tasks import end
from bff.errors import Overloaded

T = TypeVar("T")

MOST_WAITERS = 5_000


@dataclass(frozen=True, slots=True)
class _Flight:
    space: str
    tags: frozenset[str]
    task: asyncio.Task[object]
    joined: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Landed(Generic[T]):
    """A flight's result, and whether this caller joined one that was already under way."""

    value: T
    joined: bool


def _nothing() -> None:
    return None


class Flights:
    """The flights of one process. `waiters` counts callers that wait on any of them.

    At most `most_waiters` may.
    """

    def __init__(self, most_waiters: int = MOST_WAITERS) -> None:
        self.waiters = 0
        self._most = most_waiters
        self._joinable: dict[str, _Flight] = {}
        self._tasks: set[asyncio.Task[object]] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._tasks)

    async def run(
        self, key: str, space: str, tags: Iterable[str], work: Callable[[], Awaitable[T]]
    ) -> Landed[T]:
        """Join the flight of `key` or start it; its failure is raised in every caller.

        `tags`: what is known beforehand to drop the result. Raises Overloaded where too many wait.
        """
        if self.waiters >= self._most:
            raise Overloaded("Too many requests wait for Nexudus.", retry_after_s=1)
        flight = self._joinable.get(key)
        joined = flight is not None
        if flight is None:
            flight = self._start(key, space, frozenset(tags), work)
        else:
            flight.joined()
        self.waiters += 1
        try:
            return Landed(cast(T, await asyncio.shield(flight.task)), joined)
        finally:
            self.waiters -= 1

    def start(
        self,
        key: str,
        space: str,
        tags: Iterable[str],
        work: Callable[[], Awaitable[object]],
        joined: Callable[[], None] = _nothing,
    ) -> bool:
        """Start the flight of `key` behind the caller's back; False if one is under way.

        `joined` is called whenever somebody begins to wait for it.
        """
        if key in self._joinable or self._closed:
            return False
        self._start(key, space, frozenset(tags), work, joined)
        return True

    def detach(self, space: str, tags: frozenset[str]) -> None:
        """Let no later caller join a flight whose result `tags` may concern.

        What a flight will turn out to depend on is not known before it lands, so a dropped
        generation detaches all flights of the space; a dropped token detaches that token's.
        """
        everything = any(tagging.is_generation(tag) for tag in tags)
        for key, flight in list(self._joinable.items()):
            if flight.space == space and (everything or not tags.isdisjoint(flight.tags)):
                del self._joinable[key]

    def detach_all(self) -> None:
        """Let no later caller join any flight that is under way."""
        self._joinable.clear()

    async def aclose(self) -> None:
        """Cancel what is under way and wait until it has ended."""
        self._closed = True
        await end(self._tasks)

    def _start(
        self,
        key: str,
        space: str,
        tags: frozenset[str],
        work: Callable[[], Awaitable[T]],
        joined: Callable[[], None] = _nothing,
    ) -> _Flight:
        if self._closed:
            raise RuntimeError("flights are closed")
        coroutine = cast(Coroutine[Any, Any, object], work())
        task: asyncio.Task[object] = asyncio.create_task(coroutine, name=f"flight {key}")
        flight = _Flight(space, tags, task, joined)
        self._joinable[key] = flight
        self._tasks.add(task)

        def landed(done: asyncio.Task[object]) -> None:
            self._tasks.discard(done)
            if self._joinable.get(key) is flight:
                del self._joinable[key]
            if not done.cancelled():
                done.exception()  # every caller may be gone; the failure is then nobody's

        task.add_done_callback(landed)
        return flight
