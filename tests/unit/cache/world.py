"""What surrounds the cache in its tests: a store that can fail, a bus that can lapse."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from bff.cache.keys import Container
from bff.cache.store import Invalidated, Loaded, Put, Refused, Release, Store
from bff.errors import StoreUnavailable

T = TypeVar("T")


class FaultyStore:
    """Passes calls on to a real store, but for those named in `failing` or `refusing`.

    A call named in `held` waits for `release` after the real store has answered.
    """

    def __init__(self, real: Store) -> None:
        self._real = real
        self.failing: set[str] = set()
        self.refusing: set[str] = set()
        self.held: set[str] = set()
        self.release = asyncio.Event()
        self.calls: list[str] = []

    def fail_all(self) -> None:
        self.failing = {"load", "save", "invalidate", "remember", "flag", "set_flag", "ping"}

    async def _call(self, name: str, call: Callable[[], Awaitable[T]]) -> T:
        self.calls.append(name)
        if name in self.failing:
            raise StoreUnavailable(f"{name} fails")
        if name in self.refusing:
            raise Refused(f"{name} is refused")
        answer = await call()
        if name in self.held:
            await self.release.wait()
        return answer

    async def load(
        self, space: str, wants: Sequence[tuple[Container, str]], known: int = 0
    ) -> Loaded:
        return await self._call("load", lambda: self._real.load(space, wants, known))

    async def save(
        self,
        container: Container,
        puts: Sequence[Put],
        *,
        stamp: int,
        ttl_s: float,
        release: Release | None = None,
    ) -> bool:
        return await self._call(
            "save",
            lambda: self._real.save(container, puts, stamp=stamp, ttl_s=ttl_s, release=release),
        )

    async def invalidate(self, space: str, tags: frozenset[str]) -> Invalidated:
        return await self._call("invalidate", lambda: self._real.invalidate(space, tags))

    async def remember(self, space: str, name: str, ttl_s: float) -> bool:
        return await self._call("remember", lambda: self._real.remember(space, name, ttl_s))

    async def flag(self, space: str, name: str) -> str | None:
        return await self._call("flag", lambda: self._real.flag(space, name))

    async def set_flag(self, space: str, name: str, value: str | None) -> None:
        await self._call("set_flag", lambda: self._real.set_flag(space, name, value))

    async def run(
        self, space: str, script: str, names: Sequence[str], args: Sequence[str | bytes | int]
    ) -> list[Any]:
        return await self._call("run", lambda: self._real.run(space, script, names, args))

    async def ping(self) -> None:
        await self._call("ping", self._real.ping)

    async def aclose(self) -> None:
        await self._real.aclose()


class StubBus:
    """Trusted when the test says so; `heard` decides what peers answer."""

    def __init__(self) -> None:
        self.trusted = True
        self.trusted_until = math.inf
        self.heard = True
        self.asked: list[tuple[str, frozenset[str]]] = []

    async def acknowledged(self, message_id: str, peers: frozenset[str]) -> bool:
        self.asked.append((message_id, peers))
        return self.heard

    async def start(self) -> None:
        """Nothing to listen to."""

    async def aclose(self) -> None:
        """Nothing to stop."""
