"""Redis as an accelerator: after a few failures nobody waits for it until it answers again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import structlog

from bff.cache.keys import Container
from bff.cache.store import Invalidated, Loaded, Put, Store
from bff.cache.tasks import end
from bff.clock import Clock
from bff.errors import StoreUnavailable

log = structlog.get_logger("bff.cache")

T = TypeVar("T")

FAILURES_TO_OPEN = 3
PROBE_S = 0.25
CONCURRENT = 32
"""Calls under way at once. What more there is waits its turn here: the time that a burst of calls
spends on this process's own event loop must not count as the store's."""


class GuardedStore:
    """A `Store` that fails at once while the one behind it is known to be away.

    `on_recovery` is awaited after a probe succeeded and before anybody uses the store again:
    invalidations that could not be delivered go first. If it fails, the store stays away.
    """

    def __init__(self, inner: Store, clock: Clock) -> None:
        self.inner = inner
        self._clock = clock
        self._turns = asyncio.Semaphore(CONCURRENT)
        self._failures = 0
        self._probe: asyncio.Task[None] | None = None
        self._closed = False
        self.on_recovery: Callable[[], Awaitable[None]] | None = None

    @property
    def available(self) -> bool:
        """Whether calls go through."""
        return self._probe is None

    async def load(self, space: str, wants: Sequence[tuple[Container, str]]) -> Loaded:
        return await self._call(lambda: self.inner.load(space, wants))

    async def save(
        self, container: Container, puts: Sequence[Put], *, stamp: int, ttl_s: float
    ) -> bool:
        return await self._call(lambda: self.inner.save(container, puts, stamp=stamp, ttl_s=ttl_s))

    async def invalidate(self, space: str, tags: frozenset[str]) -> Invalidated:
        return await self._call(lambda: self.inner.invalidate(space, tags))

    async def remember(self, space: str, name: str, ttl_s: float) -> bool:
        return await self._call(lambda: self.inner.remember(space, name, ttl_s))

    async def flag(self, space: str, name: str) -> str | None:
        return await self._call(lambda: self.inner.flag(space, name))

    async def set_flag(self, space: str, name: str, value: str | None) -> None:
        await self._call(lambda: self.inner.set_flag(space, name, value))

    async def run(
        self, space: str, script: str, names: Sequence[str], args: Sequence[str | bytes | int]
    ) -> list[Any]:
        return await self._call(lambda: self.inner.run(space, script, names, args))

    async def ping(self) -> None:
        await self._call(self.inner.ping)

    async def aclose(self) -> None:
        self._closed = True
        if self._probe is not None:
            await end([self._probe])
        await self.inner.aclose()

    def keep_away(self) -> None:
        """Treat the store as away until a probe and `on_recovery` succeed."""
        if self._probe is None and not self._closed:
            self._probe = asyncio.create_task(self._recover(), name="store probe")

    async def _call(self, operation: Callable[[], Awaitable[T]]) -> T:
        self._refuse_while_away()
        async with self._turns:
            self._refuse_while_away()
            try:
                result = await operation()
            except StoreUnavailable:
                self._failures += 1
                if self._failures >= FAILURES_TO_OPEN:
                    self.keep_away()
                raise
        self._failures = 0
        return result

    def _refuse_while_away(self) -> None:
        if self._probe is not None:
            raise StoreUnavailable("the store is away")

    async def _recover(self) -> None:
        while True:
            await self._clock.sleep(PROBE_S)
            try:
                await self.inner.ping()
                if self.on_recovery is not None:
                    await self.on_recovery()
            except StoreUnavailable:
                continue
            except Exception:
                # A probe that ends by anything but success would keep the store away for ever.
                log.exception("store_probe_failed")
                continue
            self._failures = 0
            self._probe = None
            return
