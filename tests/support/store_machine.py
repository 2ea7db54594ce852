"""Any order of fetches, saves, invalidations and evictions, beside a model that keeps it all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)
from redis.asyncio import Redis

from bff.cache.keys import Container, Scope
from bff.cache.remote import PROOF_FIELD, RemoteStore
from bff.cache.store import Loaded, Put
from tests.support.cache_process import KEYSPACE, SPACE

T = TypeVar("T")

TOKEN = Container(SPACE, Scope.TOKEN, "d1")
COWORKER = Container(SPACE, Scope.COWORKER, "1")
GENERATIONS = ("r:profiles", "r:related", "u:1", "c:1", "c:2")
DROPS = (*GENERATIONS, "k:d1", "k:d2", "p:d1")
PLACES = ((TOKEN, "list"), (TOKEN, PROOF_FIELD), (COWORKER, "en"), (COWORKER, "fr"))
BASE = KEYSPACE.base(SPACE)


@dataclass(frozen=True, slots=True)
class Fetch:
    """One that began: the store's stamp, and the moment by the model."""

    stamp: int
    began: int


@dataclass(frozen=True, slots=True)
class Kept:
    sealed: bytes
    tags: tuple[str, ...]
    born: int


async def set_clock(client: Redis, last: int | str) -> None:
    """Write the clock of the space by hand, as if nothing had been forgotten."""
    fields: dict[str | bytes | bytearray | memoryview | int | float, Any]
    fields = {"last": last, "bumped": last, "told": last}
    await client.hset(f"{BASE}clock", mapping=fields)


class StoreMachine(RuleBasedStateMachine):
    """The model counts moments; each invalidation is one, and what concerns it is looked up."""

    fetches = Bundle("fetches")

    def __init__(self, connect: Callable[[], Redis]) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.client = connect()
        self.store = RemoteStore(self.client, KEYSPACE, process="p", timeout_s=10)
        self.run(self.client.flushall())
        self.moment = 0
        self.counter = 0
        self.clock = False
        self.ahead = False
        self.floor = 0
        self.generations: dict[str, int] = {}
        self.fences: dict[Container, int] = {}
        self.kept: dict[tuple[Container, str], Kept] = {}
        self.stamps: list[int] = []

    def run(self, work: Awaitable[T]) -> T:
        async def result() -> T:
            return await work

        return self.runner.run(result())

    def teardown(self) -> None:
        self.run(self.store.aclose())
        self.runner.close()

    @initialize(target=fetches)
    def first(self) -> Fetch:
        return self.fetch()

    @rule(target=fetches)
    def begin(self) -> Fetch:
        return self.fetch()

    def fetch(self) -> Fetch:
        return Fetch(self.load().stamp, self.moment)

    @rule(
        fetch=fetches,
        place=st.sampled_from(PLACES),
        tags=st.sets(st.sampled_from(GENERATIONS), min_size=1, max_size=3),
    )
    def save(self, fetch: Fetch, place: tuple[Container, str], tags: set[str]) -> None:
        container, field = place
        self.counter += 1
        put = Put(field, tuple(sorted(tags)), b"%d" % self.counter)
        saved = self.run(self.store.save(container, [put], stamp=fetch.stamp, ttl_s=600))
        assert saved == self.may_save(fetch, container, tags)
        if saved:
            self.kept[place] = Kept(put.sealed, put.tags, fetch.began)

    def may_save(self, fetch: Fetch, container: Container, tags: set[str]) -> bool:
        """Nothing that concerns it since it began, and all that was is known."""
        if not self.clock or self.fences.get(container, -1) > fetch.began:
            return False
        return self.untouched(tags, fetch.began)

    @rule(tags=st.sets(st.sampled_from(DROPS), min_size=1, max_size=3))
    def invalidate(self, tags: set[str]) -> None:
        done = self.run(self.store.invalidate(SPACE, frozenset(tags)))
        assert all(done.stamp > stamp for stamp in self.stamps)
        self.stamps.append(done.stamp)
        self.moment += 1
        if not self.clock:
            self.floor = self.moment
        self.clock = True
        self.generations |= dict.fromkeys(tags & set(GENERATIONS), self.moment)
        for tag, container in (("k:d1", TOKEN), ("p:d1", TOKEN), ("c:1", COWORKER)):
            if tag in tags:
                self.fences[container] = self.moment
                for place in PLACES:
                    if place[0] == container and (tag != "p:d1" or place[1] == PROOF_FIELD):
                        self.kept.pop(place, None)

    @precondition(lambda self: self.clock)
    @rule()
    def another_version_invalidates(self) -> None:
        """It knows of stamps, and not of generations in the clock: what it dropped is not told."""
        stamp = self.run(self.store.load(SPACE, ())).stamp
        fields = {"last": stamp, "bumped": stamp}
        self.run(self.client.hset(f"{BASE}clock", mapping=fields))  # type: ignore[arg-type]
        self.stamps.append(stamp)
        self.moment += 1
        self.floor = self.moment

    @precondition(lambda self: not self.ahead)
    @rule()
    def evict_the_clock(self) -> None:
        """Not while it is ahead of the time of day, which is all that a new one can begin at."""
        self.run(self.client.delete(f"{BASE}clock"))
        self.clock = False

    @rule(target=fetches)
    def wall_clock_was_ahead(self) -> Any:
        """As if invalidations had been stamped by a wall clock that has since stepped back."""
        if not self.clock:
            return multiple()  # nothing was stamped
        ahead = self.run(self.store.load(SPACE, ())).stamp + 3_600_000_000
        self.run(self.client.hset(f"{BASE}clock", "last", str(ahead)))
        self.ahead = True
        self.moment += 1
        return self.fetch()

    @invariant()
    def what_is_loaded_is_what_may_be(self) -> None:
        loaded = self.load()
        for place, raw in zip(PLACES, loaded.values, strict=True):
            kept = self.kept.get(place)
            if kept is None or not self.untouched(set(kept.tags), kept.born):
                assert raw is None
            else:
                assert raw is not None
                assert (raw.sealed, raw.tags) == (kept.sealed, kept.tags)

    def untouched(self, tags: set[str], since: int) -> bool:
        return since >= self.floor and all(self.generations.get(tag, 0) <= since for tag in tags)

    def load(self) -> Loaded:
        if not self.clock:
            # A clock that begins anew tells of nothing that was before.
            self.clock = True
            self.moment += 1
            self.floor = self.moment
        loaded = self.run(self.store.load(SPACE, PLACES))
        assert all(loaded.stamp > stamp for stamp in self.stamps)
        return loaded
