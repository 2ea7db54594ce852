"""The shared tier over Redis. Also the embedded one: the same commands on an in-process server.

Every check and its effect are one script, so that no other process comes between them.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Sequence
from contextlib import asynccontextmanager
from importlib import resources
from typing import TYPE_CHECKING, Any, cast

import orjson
from redis.exceptions import RedisError

from bff.cache import tags as tagging
from bff.cache.keys import Container, KeySpace, escape
from bff.cache.store import Invalidated, Loaded, Put, Raw, header
from bff.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

FENCE_MS = 120_000
"""How long an invalidation is remembered for fetches under way; far above any deadline."""
LIVE_MS = 3_000
"""A process whose last heartbeat is older holds no copies that it would serve."""
PROOF_FIELD = escape(tagging.PROOF_RESOURCE) + "||"


def script(name: str) -> str:
    """Text of one of the Lua scripts beside this module."""
    return (resources.files("bff.cache") / "scripts" / f"{name}.lua").read_text()


class RemoteStore:
    """A `Store` on a redis-py asyncio client. `process` names this process to its peers."""

    def __init__(
        self, client: Redis, keyspace: KeySpace, *, process: str, timeout_s: float = 0.05
    ) -> None:
        self.client = client
        self.keyspace = keyspace
        self.process = process
        self._timeout_s = timeout_s
        self._load = client.register_script(script("load"))
        self._save = client.register_script(script("save"))
        self._invalidate = client.register_script(script("invalidate"))

    def bus_channel(self, space: str) -> str:
        """Where invalidations of a space are published."""
        return self.keyspace.base(space) + "bus"

    def registry(self, space: str) -> str:
        """Sorted set of the live processes of a space, by last heartbeat (ms)."""
        return self.keyspace.base(space) + "processes"

    async def load(self, space: str, wants: Sequence[tuple[Container, str]]) -> Loaded:
        base = self.keyspace.base(space)
        keys = [base + "clock", *(self.keyspace.container(c) for c, _ in wants)]
        args = [base + "g:", *(field for _, field in wants)]
        async with self._translated():
            reply = cast("list[bytes | None]", await self._load(keys=keys, args=args))
        stamp = reply[0]
        if stamp is None:
            raise StoreUnavailable("the store answered without a stamp")
        return Loaded(int(stamp), tuple(_parse(value) for value in reply[1:]))

    async def save(
        self, container: Container, puts: Sequence[Put], *, stamp: int, ttl_s: float
    ) -> bool:
        base = self.keyspace.base(container.space)
        tags = sorted({tag for put in puts for tag in put.tags})
        keys = [
            base + "clock",
            self.keyspace.container(container),
            f"{base}f:{container.label}",
        ]
        args: list[str | bytes | int] = [base + "g:", stamp, int(ttl_s * 1000), " ".join(tags)]
        for put in puts:
            args += [put.field, header(stamp, put.tags) + put.sealed]
        async with self._translated():
            return bool(await self._save(keys=keys, args=args))

    async def invalidate(self, space: str, tags: frozenset[str]) -> Invalidated:
        base = self.keyspace.base(space)
        message_id = uuid.uuid4().hex
        message = orjson.dumps(
            {"id": message_id, "from": self.process, "space": space, "tags": sorted(tags)}
        )
        keys = [base + "clock", self.registry(space)]
        args: list[str | bytes | int] = [base, FENCE_MS, self.bus_channel(space), message]
        args += [LIVE_MS, PROOF_FIELD, *sorted(tags)]
        async with self._translated():
            reply = cast("list[bytes]", await self._invalidate(keys=keys, args=args))
        peers = frozenset(name.decode() for name in reply[1:]) - {self.process}
        return Invalidated(int(reply[0]), message_id, peers)

    async def remember(self, space: str, name: str, ttl_s: float) -> bool:
        key = f"{self.keyspace.base(space)}once:{escape(name)}"
        async with self._translated():
            return bool(await self.client.set(key, b"1", nx=True, px=int(ttl_s * 1000)))

    async def flag(self, space: str, name: str) -> str | None:
        async with self._translated():
            value = await self.client.get(f"{self.keyspace.base(space)}flag:{escape(name)}")
        return value.decode() if isinstance(value, bytes) else None

    async def set_flag(self, space: str, name: str, value: str | None) -> None:
        key = f"{self.keyspace.base(space)}flag:{escape(name)}"
        async with self._translated():
            if value is None:
                await self.client.delete(key)
            else:
                await self.client.set(key, value)

    async def ping(self) -> None:
        async with self._translated():
            await cast("Awaitable[Any]", self.client.ping())

    async def aclose(self) -> None:
        await self.client.aclose()

    @asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        """The one seam between redis-py's failures and ours."""
        try:
            async with asyncio.timeout(self._timeout_s):
                yield
        except TimeoutError:
            raise StoreUnavailable(f"no answer within {self._timeout_s * 1000:.0f} ms") from None
        except (RedisError, OSError) as error:
            raise StoreUnavailable(type(error).__name__) from error


def _parse(value: bytes | None) -> Raw | None:
    if value is None:
        return None
    end = value.index(b"\n") + 1
    head = value[:end]
    return Raw(head, tuple(head[:-1].decode().split(" ")[1:]), value[end:])
