"""Invalidations reach every process at once, and a process that may miss one knows it.

Each process subscribes to the bus of every space and sends itself a heartbeat over the same
connection. While heartbeats come back within the lease its in-process tier is `trusted`: it would
have heard of any invalidation. Whoever invalidates waits until all live peers have said that they
applied it, so that a read anywhere after the answer to a write is never older than the write.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import orjson
import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from bff.cache.remote import LIVE_MS, RemoteStore, script
from bff.clock import Clock

HEARTBEAT_S = 0.5
LEASE_S = 2.0
FORGET_MS = 10_000
MAX_WAITERS = 4096
assert LEASE_S * 1000 < LIVE_MS, "a process must stop trusting before its peers stop waiting"

log = structlog.get_logger("bff.bus")


class Bus(Protocol):
    """How this process hears of invalidations made elsewhere."""

    @property
    def trusted(self) -> bool:
        """Whether every invalidation so far has been heard."""
        ...

    async def acknowledged(self, message_id: str, peers: frozenset[str]) -> bool:
        """Wait until `peers` applied a message or can no longer hold copies; False if some hung."""
        ...

    async def start(self) -> None:
        """Begin to listen."""
        ...

    async def aclose(self) -> None:
        """Stop listening."""
        ...


class LocalBus:
    """For the embedded store: there is no other process."""

    trusted = True

    async def acknowledged(self, message_id: str, peers: frozenset[str]) -> bool:
        return True

    async def start(self) -> None:
        """Nothing to listen to."""

    async def aclose(self) -> None:
        """Nothing to stop."""


@dataclass(slots=True)
class _Waiter:
    received: set[str] = field(default_factory=set)
    changed: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class Listener:
    """What the bus calls: `apply(space, tags)` for a message, `lost()` when it may have missed."""

    apply: Callable[[str, frozenset[str]], None]
    lost: Callable[[], None]


class RedisBus:
    """The bus over Redis pub/sub; `client` is a connection pool of its own."""

    def __init__(
        self,
        client: Redis,
        store: RemoteStore,
        spaces: Sequence[str],
        listener: Listener,
        clock: Clock,
    ) -> None:
        self._client = client
        self._store = store
        self._spaces = tuple(spaces)
        self._listener = listener
        self._clock = clock
        self._lease_until = float("-inf")
        self._waiters: dict[str, _Waiter] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._was_trusted = False
        self._heartbeat = client.register_script(script("heartbeat"))
        # In the slot of the first space, so that the heartbeat is one script on a cluster too.
        self._own_channel = self._channel_of(store.process)

    def _channel_of(self, process: str) -> str:
        return f"{self._store.keyspace.base(self._spaces[0])}to:{process}"

    @property
    def trusted(self) -> bool:
        live = self._clock.monotonic() < self._lease_until
        if self._was_trusted and not live:
            self._distrust("no heartbeat came back")
        return live

    async def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._listen(), name="bus listener"),
            asyncio.create_task(self._beat(), name="bus heartbeat"),
        ]

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._lease_until = float("-inf")
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(0.5):
                for space in self._spaces:
                    await self._client.zrem(self._store.registry(space), self._store.process)
        await self._client.aclose()

    async def acknowledged(self, message_id: str, peers: frozenset[str]) -> bool:
        waiter = self._waiters.setdefault(message_id, _Waiter())
        try:
            # A peer that stays silent for a whole lease has stopped trusting its copies by itself.
            async with asyncio.timeout(LEASE_S):
                while not peers <= waiter.received:
                    waiter.changed.clear()
                    await waiter.changed.wait()
        except TimeoutError:
            log.warning("invalidation_unacknowledged", peers=len(peers - waiter.received))
            return False
        finally:
            self._waiters.pop(message_id, None)
        return True

    def _distrust(self, reason: str) -> None:
        self._lease_until = float("-inf")
        if self._was_trusted:
            self._was_trusted = False
            log.warning("bus_lost", reason=reason)
        self._listener.lost()

    async def _beat(self) -> None:
        process = self._store.process
        while True:
            sent = self._clock.monotonic()
            message = orjson.dumps({"beat": sent})
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(LEASE_S):
                    for space in self._spaces[1:]:
                        await self._heartbeat(
                            keys=[self._store.registry(space)],
                            args=[process, self._own_channel, b"{}", FORGET_MS],
                        )
                    await self._heartbeat(
                        keys=[self._store.registry(self._spaces[0])],
                        args=[process, self._own_channel, message, FORGET_MS],
                    )
            _ = self.trusted  # notices an expired lease even when nobody asks
            await self._clock.sleep(HEARTBEAT_S)

    async def _listen(self) -> None:
        while True:
            try:
                async with self._client.pubsub(ignore_subscribe_messages=True) as subscription:
                    channels = [self._store.bus_channel(space) for space in self._spaces]
                    await subscription.subscribe(*channels, self._own_channel)
                    # What was published before the subscription stood was not heard.
                    self._distrust("subscribing")
                    await self._hear(subscription)
            except (RedisError, OSError) as error:
                self._distrust(type(error).__name__)
            await self._clock.sleep(HEARTBEAT_S / 5)

    async def _hear(self, subscription: PubSub) -> None:
        """Until the connection breaks, or has been silent for two leases (a half-open one)."""
        heard = self._clock.monotonic()
        while self._clock.monotonic() - heard < 2 * LEASE_S:
            message = await subscription.get_message(timeout=LEASE_S)
            if message is not None:
                heard = self._clock.monotonic()
                await self._receive(message["data"])

    async def _receive(self, data: bytes) -> None:
        message = orjson.loads(data)
        if "beat" in message:
            lease = message["beat"] + LEASE_S
            if lease > self._clock.monotonic():
                self._lease_until = max(self._lease_until, lease)
                self._was_trusted = True
        elif "ack" in message:
            waiter = self._waiters.get(message["ack"])
            if waiter is None:  # before its waiter, or after it gave up
                waiter = self._waiters[message["ack"]] = _Waiter()
                if len(self._waiters) > MAX_WAITERS:
                    del self._waiters[next(iter(self._waiters))]
            waiter.received.add(message["from"])
            waiter.changed.set()
        elif "tags" in message and message["from"] != self._store.process:
            self._listener.apply(message["space"], frozenset(message["tags"]))
            reply = orjson.dumps({"ack": message["id"], "from": self._store.process})
            await self._client.publish(self._channel_of(message["from"]), reply)
