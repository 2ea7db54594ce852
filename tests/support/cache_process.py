"""The cache of one process, whole, and a few of them around one Redis."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from redis.asyncio import Redis

from bff.cache import tags
from bff.cache.bus import Bus, LocalBus, Pace, RedisBus
from bff.cache.connect import connect
from bff.cache.entry import Entry, Proof
from bff.cache.envelope import Sealer
from bff.cache.flight import Flights
from bff.cache.guarded import GuardedStore
from bff.cache.invalidation import Invalidator, Reach
from bff.cache.keys import Address, Container, KeySpace, Scope
from bff.cache.memory import Memory
from bff.cache.remote import RemoteStore
from bff.cache.secrets import Keyring
from bff.cache.store import Store
from bff.cache.tiered import Fill, Kept, Ticket, TieredCache, Want
from bff.clock import Clock, SystemClock

SPACE = "acme"
SECRET = b"a secret of the tests, 32 characters"
KEYSPACE = KeySpace("bff")


@dataclass(frozen=True, slots=True)
class Process:
    """What one gateway process holds; `reports` are (space, cause, reach) of its invalidations."""

    store: RemoteStore
    guarded: GuardedStore
    memory: Memory
    flights: Flights
    invalidator: Invalidator
    cache: TieredCache
    bus: Bus
    reports: list[tuple[str, str, Reach]]

    async def put(self, want: Want, value: Entry | Proof, *document_tags: str) -> bool:
        """A fetch that begins and ends at once."""
        return await self.fill(await self.cache.begin(SPACE), want, value, *document_tags)

    async def fill(
        self, ticket: Ticket, want: Want, value: Entry | Proof, *document_tags: str
    ) -> bool:
        kept = await self.cache.keep(ticket, [Fill(want, value, document_tags)], 60.0)
        return kept is not Kept.NOWHERE

    async def get(self, want: Want) -> Entry | Proof | None:
        found = (await self.cache.find(SPACE, [want])).values[0]
        return None if found is None else found.value


@dataclass(frozen=True, slots=True)
class Setting:
    """How a process is made; `inner` stands between the guard and the remote store."""

    clock: Clock = field(default_factory=SystemClock)
    secrets: tuple[bytes, ...] = (SECRET,)
    spaces: Sequence[str] = (SPACE,)
    max_age_s: float = 60.0
    timeout_s: float = 5.0
    pace: Pace | None = None
    inner: Callable[[RemoteStore], Store] = lambda remote: remote


def assemble(client: Redis, name: str, setting: Setting, listen: Redis | None = None) -> Process:
    """Wired as the application does it; with `listen`, over a real bus that is not yet started."""
    remote = RemoteStore(client, KEYSPACE, process=name, timeout_s=setting.timeout_s)
    guarded = GuardedStore(setting.inner(remote), setting.clock)
    memory, flights, reports = Memory(8_000_000), Flights(), list[tuple[str, str, Reach]]()
    invalidator = Invalidator(guarded, memory, flights, lambda *report: reports.append(report))
    sealer = Sealer(Keyring(setting.secrets), os.urandom)
    cache = TieredCache(guarded, memory, sealer, setting.clock, setting.max_age_s)
    bus: Bus = LocalBus()
    if listen is not None:
        listener = invalidator.listener()
        pace = setting.pace or Pace()
        bus = RedisBus(listen, remote, setting.spaces, listener, setting.clock, pace)
    cache.bus = invalidator.bus = bus
    return Process(remote, guarded, memory, flights, invalidator, cache, bus, reports)


@asynccontextmanager
async def process(
    url: str, name: str, setting: Setting | None = None, *, listen_url: str | None = None
) -> AsyncIterator[Process]:
    """A process over a real Redis, from its start to its orderly end."""
    setting = setting or Setting()
    made = assemble(connect(url), name, setting, connect(listen_url or url))
    await made.bus.start()
    try:
        yield made
    finally:
        await made.flights.aclose()
        await made.bus.aclose()
        await made.guarded.aclose()


@asynccontextmanager
async def alone(url: str, name: str, setting: Setting | None = None) -> AsyncIterator[Process]:
    """A process that believes itself the only one: it does not listen."""
    made = assemble(connect(url), name, setting or Setting())
    try:
        yield made
    finally:
        await made.flights.aclose()
        await made.guarded.aclose()


async def until(condition: Callable[[], bool], within_s: float = 30.0) -> None:
    """Returns as soon as `condition` holds; TimeoutError if it never does."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.002)


async def trusting(*processes: Process) -> None:
    """Returns once all of them hear of invalidations."""
    await until(lambda: all(one.bus.trusted for one in processes))


def entry(body: bytes = b'{"Id":1}', *document_tags: str, fetched_at: float = 1e6) -> Entry:
    return Entry(200, body, fetched_at, document_tags)


def related(coworker: int = 7, variant: str = "") -> Want:
    """A shared list."""
    container = Container(SPACE, Scope.COWORKER, str(coworker))
    return Want(Address(container, "related", str(coworker), variant), (), None)


def profiles(token: str, secrets: tuple[bytes, ...] = (SECRET,)) -> Want:
    """The list of one token."""
    return private(token, "profiles", secrets)


def proof(token: str, secrets: tuple[bytes, ...] = (SECRET,)) -> Want:
    return private(token, tags.PROOF_RESOURCE, secrets)


def private(token: str, resource: str, secrets: tuple[bytes, ...] = (SECRET,)) -> Want:
    first, *older = (
        Address(Container(SPACE, Scope.TOKEN, digest), resource, "", "")
        for digest in Keyring(secrets).digests(SPACE, token)
    )
    return Want(first, tuple(older), token)


def digest_of(token: str) -> str:
    return Keyring((SECRET,)).digests(SPACE, token)[0]


async def everything_in(redis: Redis) -> list[bytes]:
    """Every key of a store, and every byte under it."""
    found: list[bytes] = []
    async for key in redis.scan_iter():
        kind = await redis.type(key)
        parts: list[object] = [key]
        if kind == b"hash":
            parts += [part for pair in (await redis.hgetall(key)).items() for part in pair]
        elif kind == b"zset":
            parts += await redis.zrange(key, 0, -1)
        else:
            parts.append(await redis.get(key))
        for part in parts:
            assert isinstance(part, bytes)
            found.append(part)
    return found
