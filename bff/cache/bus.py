"""Invalidations reach every process at once, and a process that may miss one knows it.

Each process subscribes to the bus of every space and sends itself a heartbeat over the same
connection. While heartbeats come back within the lease its in-process tier is `trusted`: it would
have heard of any invalidation. Whoever invalidates waits until all live peers have said that they
applied it, so that a read anywhere after the answer to a write is never older than the write.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.cluster import RedisCluster

from bff.cache.messages import ONLY_NODE, Ack, Beat, Dropped, Listener, OfFlight, read
from bff.cache.remote import LIVE_MS, RemoteStore, script
from bff.cache.tasks import end
from bff.clock import Clock

HEARTBEAT_S = 0.5
LEASE_S = 2.0
FORGET_MS = 10_000
MAX_WAITERS = 4096

log = structlog.get_logger("bff.bus")


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between heartbeats, and for which one that came back is believed."""

    heartbeat_s: float = HEARTBEAT_S
    lease_s: float = LEASE_S

    def __post_init__(self) -> None:
        if self.lease_s * 1000 >= LIVE_MS:
            raise ValueError("a process must stop trusting before its peers stop waiting for it")


class Bus(Protocol):
    """How this process hears of invalidations made elsewhere."""

    trusted_until: float
    """Monotonic seconds before which it is, as far as is known now. Read by any thread."""

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
    trusted_until = math.inf

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


class RedisBus:
    """The bus over Redis pub/sub; `client` is a connection pool of its own, to listen with.

    `inbox`: the channel of this process alone. `on_flight` is told what peers say of flights,
    `on_deaf` that some of it may have been missed, `on_turned` whether peers are heard from now on,
    and why not.
    """

    def __init__(
        self,
        client: Redis,
        store: RemoteStore,
        spaces: Sequence[str],
        listener: Listener,
        clock: Clock,
        pace: Pace = Pace(),
    ) -> None:
        self._client = client
        self._store = store
        self._spaces = tuple(spaces)
        self._listener = listener
        self._clock = clock
        self._pace = pace
        self._leases: dict[str, float] = {ONLY_NODE: -math.inf}
        self.trusted_until = -math.inf
        self._waiters: dict[str, _Waiter] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._was_trusted = False
        self._standing = asyncio.Event()
        self._registering = asyncio.Lock()
        self._failing: dict[str, str] = {}
        self._heartbeat = store.client.register_script(script("heartbeat"))
        self.inbox = store.keyspace.inbox(store.process)
        self.on_flight: Callable[[dict[str, object]], None] = lambda _members: None
        self.on_deaf: Callable[[], None] = lambda: None
        self.on_turned: Callable[[bool, str], None] = lambda _heard, _reason: None

    @property
    def trusted(self) -> bool:
        live = self._clock.monotonic() < self.trusted_until
        if self._was_trusted and not live:
            self._distrust("no heartbeat came back")
        return live

    async def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._listen(), name="bus listener"),
            asyncio.create_task(self._beat(), name="bus heartbeat"),
        ]

    async def aclose(self) -> None:
        await end(self._tasks)
        self._end_leases()
        await self._unregister()
        await self._client.aclose()

    async def acknowledged(self, message_id: str, peers: frozenset[str]) -> bool:
        waiter = self._waiters.setdefault(message_id, _Waiter())
        try:
            # A peer that stays silent for a whole lease has stopped trusting its copies by itself.
            async with asyncio.timeout(self._pace.lease_s):
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
        """Only what was trusted is dropped: a process that stays alone keeps its own copies."""
        self._end_leases()
        if self._was_trusted:
            self._was_trusted = False
            log.warning("bus_silent", reason=reason)
            self.on_turned(False, reason)
            self._listener.lost()
            self.on_deaf()

    def _end_leases(self) -> None:
        self._leases = dict.fromkeys(self._leases, -math.inf)
        self.trusted_until = -math.inf

    def _note(self, what: str, reason: str) -> None:
        """Says what fails and why, once until the reason is another; empty: it works."""
        if reason and self._failing.get(what) != reason:
            log.warning("bus_failing", what=what, reason=reason)
        self._failing[what] = reason

    async def _beat(self) -> None:
        while True:
            # Peers wait for the answer of whoever is registered: only a listener registers.
            await self._standing.wait()
            reason = ""
            try:
                async with asyncio.timeout(self._pace.lease_s), self._registering:
                    if self._standing.is_set():
                        await self._register()
            except Exception as error:
                reason = type(error).__name__
            self._note("heartbeat", reason)
            _ = self.trusted  # notices an expired lease even when nobody asks
            await self._clock.sleep(self._pace.heartbeat_s)

    async def _register(self) -> None:
        """In every space first, then the heartbeats: whoever trusts is known to all its peers."""
        nodes = await self._nodes()
        if nodes.keys() != self._leases.keys():
            self._leases = {node: self._leases.get(node, -math.inf) for node in nodes}
            self.trusted_until = min(self._leases.values())
        args: list[str | bytes | int] = [self._store.process, FORGET_MS]
        for space in self._spaces:
            if space not in nodes.values():
                await self._heartbeat([self._store.registry(space)], args)
        for node, space in nodes.items():
            message = Beat(self._clock.monotonic(), node).encode()
            await self._heartbeat([self._store.registry(space)], [*args, self.inbox, message])

    async def _nodes(self) -> dict[str, str]:
        """Each node, and one space of it: its heartbeat goes the way of that node's messages."""
        client: object = self._store.client
        if not isinstance(client, RedisCluster):
            return {ONLY_NODE: self._spaces[0]}
        await client.initialize()
        found: dict[str, str] = {}
        for space in self._spaces:
            node = client.get_node_from_key(self._store.registry(space))
            found.setdefault(ONLY_NODE if node is None else node.name, space)
        return found

    async def _unregister(self) -> None:
        """Peers wait for whoever is registered: one that listens no more says so if it can."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(self._pace.heartbeat_s), self._registering:
                for space in self._spaces:
                    await self._store.client.zrem(self._store.registry(space), self._store.process)

    async def _listen(self) -> None:
        while True:
            reason = "silent"
            try:
                async with self._client.pubsub() as subscription:
                    async with asyncio.timeout(self._pace.lease_s):
                        channels = [self._store.bus_channel(space) for space in self._spaces]
                        await subscription.subscribe(*channels, self.inbox)
                    await self._hear(subscription, {*channels, self.inbox})
            except Exception as error:
                reason = type(error).__name__
            self._note("listening", reason)
            self._distrust(reason)
            if self._standing.is_set():
                self._standing.clear()
                await self._unregister()
            await self._clock.sleep(self._pace.heartbeat_s / 5)

    async def _hear(self, subscription: PubSub, unconfirmed: set[str]) -> None:
        """Until the connection breaks, or has been silent for two leases (a half-open one)."""
        heard = self._clock.monotonic()
        while self._clock.monotonic() - heard < 2 * self._pace.lease_s:
            message = await subscription.get_message(timeout=self._pace.lease_s)
            if message is None:
                continue
            heard = self._clock.monotonic()
            if message["type"] == "message":
                await self._receive(message["data"])
                continue
            unconfirmed.discard(message["channel"].decode())
            if not unconfirmed:
                # What was published before now was not heard, so what was kept, or asked for,
                # before now is not trusted. A subscription that stands again counts as a new one.
                self._listener.lost()
                self._listener.stands()
                self._standing.set()
                self._note("listening", "")

    async def _receive(self, data: bytes) -> None:
        match read(data):
            case Beat(sent, node):
                self._believe(sent, node)
            case Ack(message_id, peer):
                self._acknowledge(message_id, peer)
            case OfFlight(members):
                self.on_flight(members)
            case Dropped() as dropped:
                await self._dropped(dropped)
            case None:
                # Perhaps an invalidation, by a process of another version: then of anything.
                log.warning("bus_message_unknown", bytes=len(data))
                self._listener.lost()

    async def _dropped(self, dropped: Dropped) -> None:
        if dropped.sender == self._store.process:
            return
        self._listener.apply(dropped.space, dropped.tags)
        if dropped.step is not None and self._listener.passed(dropped.space, dropped.step):
            # Whoever dropped it goes on when this is answered: not before the rest is dropped too.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pace.lease_s / 2):  # its own heartbeats wait here
                    await self._listener.mended()
        await self._reply(dropped.sender, dropped.message_id)

    def _believe(self, sent: float, node: str) -> None:
        now = self._clock.monotonic()
        if node in self._leases and sent <= now < sent + self._pace.lease_s:
            self._leases[node] = max(self._leases[node], sent + self._pace.lease_s)
            self.trusted_until = min(self._leases.values())
            if self.trusted and not self._was_trusted:
                self._was_trusted = True
                log.info("bus_heard")
                self.on_turned(True, "")

    def _acknowledge(self, message_id: str, peer: str) -> None:
        waiter = self._waiters.get(message_id)
        if waiter is None:  # before its waiter, or after it gave up
            waiter = self._waiters[message_id] = _Waiter()
            if len(self._waiters) > MAX_WAITERS:
                del self._waiters[next(iter(self._waiters))]
        waiter.received.add(peer)
        waiter.changed.set()

    async def _reply(self, peer: str, message_id: str) -> None:
        reply = Ack(message_id, self._store.process).encode()
        try:
            async with asyncio.timeout(self._pace.lease_s):
                await self._store.client.publish(self._store.keyspace.inbox(peer), reply)
        except Exception as error:
            # The peer then waits for a lease; what it dropped is dropped here all the same.
            log.warning("invalidation_unanswered", reason=type(error).__name__)
