"""The shared store: a span for each command that is sent."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from bff.cache.keys import Container
from bff.cache.store import Invalidated, Loaded, Put, Release, Store
from bff.observe.tracing import Kind, Span, Tracer


class TracedStore:
    """A `Store` around another; `redis.<operation>` spans, without keys and values.

    Loads that go out together are one, in the trace of the first who asked.
    """

    def __init__(self, inner: Store, tracer: Tracer) -> None:
        self._inner = inner
        self._tracer = tracer

    async def load(
        self, space: str, wants: Sequence[tuple[Container, str]], known: int = 0
    ) -> Loaded:
        with self._span("load", space) as span:
            loaded = await self._inner.load(space, wants, known)
            found = sum(value is not None for value in loaded.values)
            span.tell({"bff.documents.asked": len(wants), "bff.documents.found": found})
            return loaded

    async def save(
        self,
        container: Container,
        puts: Sequence[Put],
        *,
        stamp: int,
        ttl_s: float,
        release: Release | None = None,
    ) -> bool:
        with self._span("save", container.space) as span:
            saved = await self._inner.save(
                container, puts, stamp=stamp, ttl_s=ttl_s, release=release
            )
            size = sum(len(put.sealed) for put in puts)
            span.tell({"bff.outcome": "saved" if saved else "overtaken", "bff.bytes": size})
            return saved

    async def invalidate(self, space: str, tags: frozenset[str]) -> Invalidated:
        with self._span("invalidate", space) as span:
            dropped = await self._inner.invalidate(space, tags)
            span.tell({"bff.tags": len(tags), "bff.peers": len(dropped.peers)})
            return dropped

    async def remember(self, space: str, name: str, ttl_s: float) -> bool:
        with self._span("remember", space):
            return await self._inner.remember(space, name, ttl_s)

    async def flag(self, space: str, name: str) -> str | None:
        with self._span("flag", space):
            return await self._inner.flag(space, name)

    async def set_flag(self, space: str, name: str, value: str | None) -> None:
        with self._span("set_flag", space):
            await self._inner.set_flag(space, name, value)

    async def run(
        self, space: str, script: str, names: Sequence[str], args: Sequence[str | bytes | int]
    ) -> list[Any]:
        with self._span("run", space):
            return await self._inner.run(space, script, names, args)

    async def ping(self) -> None:
        """No span: whoever is served does not wait for it."""
        await self._inner.ping()

    async def aclose(self) -> None:
        await self._inner.aclose()

    def _span(self, operation: str, space: str) -> AbstractContextManager[Span]:
        attributes = {"db.system.name": "redis", "db.operation.name": operation, "bff.space": space}
        return self._tracer.step(f"redis.{operation}", attributes, Kind.CLIENT)
