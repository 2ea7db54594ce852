"""A few processes around one Redis that read one document as the gateway does, and its source."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace

from bff.cache.bus import Pace, RedisBus
from bff.cache.endings import Failed, Stored
from bff.cache.entry import Entry
from bff.cache.flight import Flights
from bff.cache.lead import Lead, Lock, Tenure, Told
from bff.cache.leadership import RedisLeadership
from bff.cache.tasks import end
from bff.cache.tiered import Ticket, Want
from bff.clock import SystemClock
from tests.support.cache_process import SPACE, Process, Setting, entry, process, related, trusting
from tests.support.manual_time import settled

WANT = related(7)
TAGS = ("c:7", "r:related")
SETTING = Setting(pace=Pace(heartbeat_s=0.1, lease_s=1.0), timeout_s=1.0)
LONG = Tenure(lease_s=30.0, renew_s=5.0)
"""Whoever goes on within a test's time was woken, not timed out."""
SHORT = Tenure(lease_s=0.5, renew_s=0.15)


def now() -> float:
    return SystemClock().monotonic()


@dataclass(slots=True)
class Upstream:
    """What is called: answers the number of the call, `delay_s` later or when `gate` opens."""

    delay_s: float = 0.0
    gate: asyncio.Event | None = None
    error: Exception | None = None
    calls: int = 0

    async def call(self) -> Entry:
        self.calls += 1
        number = self.calls
        if self.gate is not None:
            await self.gate.wait()
        else:
            await asyncio.sleep(self.delay_s)
        if self.error is not None:
            raise self.error
        return entry(b"%d" % number, *TAGS)


@dataclass(frozen=True, slots=True)
class Member:
    """One process and its part in the leadership."""

    process: Process
    leadership: RedisLeadership
    told: list[Told] = field(default_factory=list)

    @property
    def flights(self) -> Flights:
        return self.process.flights

    async def lock(self, want: Want = WANT) -> Lock:
        """After a look that found nothing."""
        stamp = (await self.process.cache.find(SPACE, [want])).ticket.stamp
        return Lock(SPACE, want.key, want.address.container.label, stamp)

    async def lead(self, *, urgent: bool = True, want: Want = WANT) -> Lead:
        turn = await self.claim(urgent=urgent, want=want)
        assert isinstance(turn, Lead)
        return turn

    async def claim(
        self, *, urgent: bool = True, within_s: float = 20.0, want: Want = WANT
    ) -> Lead | Told:
        lock = await self.lock(want)
        return await self.leadership.claim(lock, within_s=within_s, urgent=urgent)

    async def seize(self, want: Want = WANT) -> Lead | None:
        lock = Lock(SPACE, want.key, want.address.container.label, None)
        return await self.leadership.seize(lock, [want.address])

    async def read(self, upstream: Upstream, want: Want = WANT, *, within_s: float = 20.0) -> Entry:
        """From the cache, or in one flight with whoever else reads it.

        Looks again when it has waited `within_s` for another's flight.
        """

        async def land() -> Entry:
            return await self._land(upstream, want, within_s)

        landed = await self.flights.run(want.key, SPACE, (want.address.container.label,), land)
        return landed.value

    async def _land(self, upstream: Upstream, want: Want, within_s: float) -> Entry:
        after: Told | None = None
        while True:
            findings = await self.process.cache.find(SPACE, [want])
            found = findings.values[0]
            if found is not None:
                assert isinstance(found.value, Entry)
                return found.value
            lock = Lock(SPACE, want.key, want.address.container.label, findings.ticket.stamp)
            turn = await self.leadership.claim(lock, within_s=within_s, after=after)
            if isinstance(turn, Lead):
                return await self._fetch(turn, upstream, findings.ticket, want)
            self.told.append(turn)
            if isinstance(turn.ending, Failed):
                raise turn.ending.as_error()
            after = turn

    async def _fetch(self, lead: Lead, upstream: Upstream, ticket: Ticket, want: Want) -> Entry:
        with lead:
            fetched = await upstream.call()
            if await self.process.fill(ticket, want, fetched, *TAGS):
                lead.ending = Stored()
            return fetched


async def lock_of(one: Member) -> dict[bytes | str, bytes | str]:
    return await one.process.store.client.hgetall(lock_name(one))


async def leave_of_lease(one: Member, left_s: float) -> None:
    """As if everything but `left_s` of the lease had passed."""
    assert await one.process.store.client.pexpire(lock_name(one), int(left_s * 1000))


async def renewed(one: Member, left_s: float) -> None:
    """Returns once the lease has more left than that."""
    async with asyncio.timeout(20):
        while await one.process.store.client.pttl(lock_name(one)) <= left_s * 1000:  # noqa: ASYNC110
            await asyncio.sleep(0.002)


def lock_name(one: Member) -> str:
    return one.process.store.keyspace.base(SPACE) + f"lock:{WANT.key}"


async def waiting(one: Member, *, urgent: bool = True) -> asyncio.Task[Lead | Told]:
    """A claim that has to wait, and is registered to be woken."""
    before = len(await lock_of(one))
    task = asyncio.create_task(one.claim(urgent=urgent))
    async with asyncio.timeout(20):
        while len(await lock_of(one)) == before and not task.done():  # noqa: ASYNC110
            await asyncio.sleep(0.002)
    assert not task.done()
    return task


async def registered(one: Member) -> None:
    """Returns once whoever holds the lock is to wake this process at its end."""
    assert isinstance(one.process.bus, RedisBus)
    mark = b"w:" + one.process.bus.inbox.encode()
    async with asyncio.timeout(20):
        while mark not in await lock_of(one):  # noqa: ASYNC110
            await asyncio.sleep(0.002)


async def heard(one: Member) -> None:
    """Returns once a process has heard, and done, all that it was told up to now."""
    bus, said = one.process.bus, asyncio.Event()
    assert isinstance(bus, RedisBus)
    usual = bus.on_flight
    bus.on_flight = lambda members: said.set() if "mark" in members else usual(members)
    await one.process.store.client.publish(bus.inbox, b'{"flight":{"mark":true}}')
    async with asyncio.timeout(20):
        await said.wait()
    bus.on_flight = usual
    await settled()


async def die(one: Member) -> None:
    """As a process that is killed: it renews no more and never releases."""
    one.leadership._closed = True
    assert one.leadership._renewal is not None
    await end([one.leadership._renewal])


@asynccontextmanager
async def member(
    url: str,
    name: str,
    tenure: Tenure = LONG,
    *,
    setting: Setting = SETTING,
    listen_url: str | None = None,
) -> AsyncIterator[Member]:
    async with process(url, name, setting, listen_url=listen_url) as made:
        assert isinstance(made.bus, RedisBus)
        leadership = RedisLeadership(made.guarded, made.bus, SystemClock(), tenure)
        try:
            yield Member(made, leadership)
        finally:
            await made.flights.aclose()
            await leadership.aclose()


@asynccontextmanager
async def crowd(
    url: str,
    size: int,
    tenure: Tenure = LONG,
    *,
    setting: Callable[[Setting], Setting] = replace,
) -> AsyncIterator[list[Member]]:
    """`size` processes, listening."""
    async with AsyncExitStack() as stack:
        members = [
            await stack.enter_async_context(
                member(url, f"m{number}", tenure, setting=setting(SETTING))
            )
            for number in range(size)
        ]
        await trusting(*(each.process for each in members))
        yield members
