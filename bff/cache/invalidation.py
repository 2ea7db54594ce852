"""Dropping what is no longer true: here, in the shared tier, in every other process.

An invalidation that the store could not take is kept and delivered before the store is used again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import structlog

from bff.cache import tags as tagging
from bff.cache.bus import Bus
from bff.cache.flight import Flights
from bff.cache.guarded import GuardedStore
from bff.cache.memory import Memory
from bff.cache.messages import Listener
from bff.cache.store import Invalidated
from bff.errors import StoreUnavailable

log = structlog.get_logger("bff.cache")

Dropped = tuple[str, frozenset[str]]
"""A space and the tags dropped in it."""

AGAIN_S = 1.0
"""Between attempts to deliver what takes the store from nobody meanwhile."""
MAX_PENDING = 10_000
BATCH = 500
AT_ONCE = 256
"""Most tags that one command drops: nobody else is answered by Redis meanwhile, and one that takes
longer than it is waited for would be repeated for ever."""
EVERYTHING = frozenset(("r:profiles", "r:related", "r:proof"))
"""The tags of all documents of a space; a test compares them with the declared resources."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far an invalidation got before its caller went on.

    `everywhere`: every process is past it. `stored`: the shared tier took it. `took_s`: until then.
    """

    stored: bool
    everywhere: bool
    took_s: float = field(default=0.0, compare=False)


class Invalidator:
    """The one door through which anything is dropped; `observe(space, cause, reach)` hears it."""

    def __init__(
        self,
        store: GuardedStore,
        memory: Memory,
        flights: Flights,
        observe: Callable[[str, str, Reach], None] = lambda _space, _cause, _reach: None,
    ) -> None:
        self._store = store
        self._memory = memory
        self._flights = flights
        self.observe = observe
        self._pending: dict[Dropped, None] = {}
        self._delivering = False
        self.bus: Bus | None = None
        self.on_applied: Callable[[str, frozenset[str]], None] = lambda _space, _tags: None
        store.on_recovery = self.deliver_pending
        store.on_forgotten = self.forgotten

    @property
    def pending(self) -> int:
        """Invalidations that wait for the store to return."""
        return len(self._pending)

    def listener(self) -> Listener:
        """What a bus calls."""
        store = self._store
        return Listener(self.apply, self.lost, store.verify, store.passed, store.returned)

    def apply(self, space: str, tags: frozenset[str]) -> None:
        """Drop in this process only; what the bus calls for others' invalidations."""
        self._drop(space, tags)
        self.on_applied(space, tags)

    def lost(self) -> None:
        """Others' invalidations may have been missed: nothing held here is trusted any more."""
        self._memory.forget()
        self._flights.detach_all()

    def forgotten(self, space: str) -> None:
        """The store lost invalidations of a space, and nobody knows which: all of it goes, before
        the store is used again."""
        self._keep(space, EVERYTHING)

    async def invalidate(self, space: str, tags: frozenset[str], cause: str) -> Reach:
        """Drop everything that carries one of `tags`; returns once no process serves it."""
        began = self._store.clock.monotonic()
        self.apply(space, tags)
        try:
            done = [await self._store.invalidate(space, part) for part in _parts(tags)]
        except asyncio.CancelledError:
            self._keep(space, tags)  # whether the store took it, nobody will learn
            raise
        except StoreUnavailable as error:
            self._keep(space, tags)
            log.warning("invalidation_pending", space=space, cause=cause, reason=str(error))
            reach = Reach(stored=False, everywhere=False)
        else:
            # A fetch that began between the first drop and the store's is fenced by the second.
            self._drop(space, tags)
            forgot = (space, EVERYTHING) in self._pending
            everywhere = await self._acknowledged(done)
            if forgot:
                everywhere &= await self._mended(space)
            took_s = self._store.clock.monotonic() - began
            reach = Reach(stored=True, everywhere=everywhere, took_s=took_s)
        self.observe(space, cause, reach)
        return reach

    async def _acknowledged(self, done: Iterable[Invalidated]) -> bool:
        """One that hangs is waited for once: what follows was published before that wait, too."""
        assert self.bus is not None
        for each in done:
            if not await self.bus.acknowledged(each.message_id, each.peers):
                return False
        return True

    async def _mended(self, space: str) -> bool:
        """What this one showed to be of the past goes before it is answered: elsewhere it may be
        read by processes that know nothing of it. It is kept all the same, and delivered again.
        """
        try:
            return await self._acknowledged([await self._store.deliver(space, EVERYTHING)])
        except StoreUnavailable:
            return False

    async def deliver_pending(self) -> None:
        """Deliver what was kept, though the store is away; raises StoreUnavailable.

        Many at a time: those that come meanwhile are delivered too, before the store is used.
        """
        while self._pending:
            batch = list(self._pending)[:BATCH]
            for each in batch:
                del self._pending[each]
            parts = [(space, part) for space, tags in _by_space(batch) for part in _parts(tags)]
            delivered = 0
            try:
                while delivered < len(parts):
                    await self._store.deliver(*parts[delivered])
                    delivered += 1
            except BaseException:
                self._pending |= dict.fromkeys(parts[delivered:] if delivered else batch)
                raise

    async def _deliver_behind(self) -> None:
        """Until nothing is pending. While the store is away, its recovery comes before this."""
        try:
            while self._pending:
                await self._store.clock.sleep(AGAIN_S)
                if self._store.available:
                    with contextlib.suppress(StoreUnavailable):
                        await self.deliver_pending()
        finally:
            self._delivering = False

    def _drop(self, space: str, tags: frozenset[str]) -> None:
        self._memory.drop(space, tags)
        self._flights.detach(space, tags)

    def _keep(self, space: str, tags: frozenset[str]) -> None:
        self._pending[(space, tags)] = None
        if len(self._pending) > MAX_PENDING:
            self._forget_one()
        # Anybody can have tokens refused: that alone must not take the store from members. What
        # is kept of a refused token is dropped later, or asked about once it is not fresh.
        if not _of_refused_tokens(tags):
            self._store.keep_away("it did not take an invalidation")
        elif not self._delivering:
            self._delivering = True
            self._store.behind(self._deliver_behind())
        # What was read from the store while it was asked is from before.
        self._drop(space, tags)

    def _forget_one(self) -> None:
        """Refused tokens first, oldest first; when only writes are left, all of them become one."""
        for space, tags in self._pending:
            if _of_refused_tokens(tags):
                del self._pending[(space, tags)]
                return
        self._pending = _merged(self._pending)


def _of_refused_tokens(tags: frozenset[str]) -> bool:
    return all(tag.startswith(tagging.OF_TOKENS) for tag in tags)


def _parts(tags: frozenset[str]) -> Iterator[frozenset[str]]:
    if len(tags) <= AT_ONCE:
        yield tags
        return
    ordered = sorted(tags)
    for first in range(0, len(ordered), AT_ONCE):
        yield frozenset(ordered[first : first + AT_ONCE])


def _by_space(pending: Iterable[Dropped]) -> Iterable[Dropped]:
    found: dict[str, frozenset[str]] = {}
    for space, tags in pending:
        found[space] = found.get(space, frozenset()) | tags
    return found.items()


def _merged(pending: Iterable[Dropped]) -> dict[Dropped, None]:
    """Too many to remember one by one: all documents of their spaces go instead."""
    merged: dict[str, frozenset[str]] = {}
    for space, tags in pending:
        news = {tag for tag in tags if not tag.startswith(tagging.DROPPING)}
        merged[space] = merged.get(space, EVERYTHING) | news
    return dict.fromkeys(merged.items())
