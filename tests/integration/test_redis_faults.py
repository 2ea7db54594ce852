"""Redis is an accelerator: whatever becomes of it, members are served, rightly and in time.

Two whole gateways over a real redis-server that is harmed in every way on the list. `ALLOWANCE_S`
is what a request may be slowed by; the margin is the machine's, which runs all of it at once. What
others keep it busy with is not measured.
"""

from __future__ import annotations

import asyncio
import gc
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from bff.cache import patience
from bff.cache.bus import LEASE_S
from bff.cache.connect import connect
from bff.errors import StoreUnavailable
from tests.support import fair_time
from tests.support.fault_proxy import SOUND, FaultProxy, Line, Way, fault_proxy
from tests.support.gateway import BOOTSTRAP, EDIT, PROFILES, Member, Stage, related, stage
from tests.support.redis_server import RedisServer

ALLOWANCE_S = 0.05
MARGIN_S = 0.1
BACK_WITHIN_S = 1.0
BEHIND = {"store probe", "store, behind", "loads", "budget heartbeat", "reporter", "sharing watch"}


@dataclass(slots=True)
class Waits:
    """Which tasks waited for commands, and how often so long in vain as one may."""

    tasks: set[str] = field(default_factory=set)
    in_vain: int = 0

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        wait = patience.wait

        async def seen(command: asyncio.Future[Any], timeout_s: float = math.inf) -> None:
            task, pace = asyncio.current_task(), patience.pace()
            began = pace.now()
            name = "" if task is None else task.get_name()
            self.tasks.add(name)
            try:
                await wait(command, timeout_s)
            except StoreUnavailable:
                long = pace.now() - began > ALLOWANCE_S / 2
                self.in_vain += long and name not in BEHIND
                raise

        monkeypatch.setattr(patience, "wait", seen)


@dataclass(slots=True)
class Site:
    """A Redis, the line to it, and the gateways behind that."""

    redis: RedisServer
    line: FaultProxy
    stage: Stage
    waits: Waits
    slowest_s: float = 0.0

    async def ask(self, target: str, member: Member, *, via: int = 0) -> httpx.Response:
        """A request, which is answered, in time, with what Nexudus answers by now."""
        answer = await self._timed(self.stage.get(target, member, via=via))
        if target == BOOTSTRAP:
            assert member.canary in answer.text
        else:
            assert answer.json() == (await self.stage.upstream(target, member)).json()
        return answer

    async def write(self, company: str) -> None:
        await self._timed(
            self.stage.send(
                "PATCH",
                EDIT,
                self.stage.alice,
                headers={"content-type": "application/json"},
                content=b'{"CompanyName":"%s"}' % company.encode(),
            )
        )

    async def _timed(self, request: Awaitable[httpx.Response]) -> httpx.Response:
        began, in_vain = fair_time.now(), self.waits.in_vain
        answer = await request
        self.slowest_s = max(self.slowest_s, fair_time.now() - began)
        assert answer.status_code == 200
        assert self.waits.in_vain - in_vain <= 1, "it waits once in vain, not once per command"
        return answer

    def restarted(self) -> float:
        """The slowest request so far; measured anew from here on."""
        slowest_s, self.slowest_s = self.slowest_s, 0.0
        self.waits.tasks.clear()
        return slowest_s

    async def a_session(self, via: int = 0) -> None:
        """Of members whom this process knows, and of some whom it has to ask the store about."""
        for known in (self.stage.alice, self.stage.bob):
            for member in (known, self.stage.tenant.another(known)):
                await self.ask(BOOTSTRAP, member, via=via)
                await self.ask(PROFILES, member, via=via)
                await self.ask(related(known.coworker_id), member, via=via)

    async def usable(self, via: int = 0) -> bool:
        return await self.stage.metric("bff_store_available", via=via) == 1

    async def is_shared(self) -> bool:
        """Whether what one process fetched is found in Redis by the other."""
        member = self.stage.tenant.another(self.stage.alice)
        await self.ask(PROFILES, member, via=0)
        await self.stage.stored()
        answer = await self.ask(PROFILES, member, via=1)
        return "detail=l2" in answer.headers["cache-status"]

    async def is_told(self) -> bool:
        """Whether the process that did not take the write shows it."""
        answer = await self.stage.get(PROFILES, self.stage.alice, via=1)
        return "After Ltd" in answer.text


Act = Callable[[Site], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """`used`: Redis goes on to be asked, for it answers; what can be had of it is."""

    begin: Act
    end: Act
    used: bool = False


def on_server(act: Callable[[RedisServer], None]) -> Act:
    async def done(site: Site) -> None:
        act(site.redis)

    return done


def on_line(line: Line, *, reset: bool = False) -> Act:
    async def done(site: Site) -> None:
        await site.line.become(line)
        if reset:
            await site.line.reset()

    return done


def on_redis(*commands: str) -> Act:
    async def done(site: Site) -> None:
        async with connect(site.redis.url) as redis:
            for command in commands:
                await redis.execute_command(*command.split())  # type: ignore[no-untyped-call]

    return done


async def _crowded(site: Site) -> None:
    """Room for nearly nothing more, and others who want it as well."""
    async with connect(site.redis.url) as redis:
        used = int((await redis.info("memory"))["used_memory"])
        await redis.config_set("maxmemory-policy", "allkeys-lru")
        await redis.config_set("maxmemory", used + 60_000)
        for number in range(200):
            await redis.set(f"others:{number}", b"x" * 5_000)


HUNG = Line(Way(hung=True), Way(hung=True))
FULL = ("CONFIG SET maxmemory-policy noeviction", "CONFIG SET maxmemory 1")
FAULTS = {
    "refused": Fault(on_line(Line(refused=True), reset=True), on_line(SOUND)),
    "hung": Fault(on_server(RedisServer.pause), on_server(RedisServer.resume)),
    "hung-line-then-reset": Fault(on_line(HUNG), on_line(SOUND, reset=True)),
    "slow-by-500ms": Fault(on_line(Line(down=Way(delay_s=0.5))), on_line(SOUND)),
    "killed-then-empty": Fault(on_server(RedisServer.kill), on_server(RedisServer.start)),
    "cut-mid-answer": Fault(on_line(Line(down=Way(cut_after=40))), on_line(SOUND)),
    "read-only-replica": Fault(on_redis("REPLICAOF 127.0.0.1 1"), on_redis("REPLICAOF NO ONE")),
    "out-of-memory": Fault(on_redis(*FULL), on_redis("CONFIG SET maxmemory 0"), used=True),
    "evicting": Fault(_crowded, on_redis("CONFIG SET maxmemory 0"), used=True),
}


@pytest.fixture
def no_pauses() -> Iterator[None]:
    """A full collection takes this many objects longer than what is measured."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
async def site(
    own_redis: RedisServer, no_pauses: None, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Site]:
    waits = Waits()
    waits.watch(monkeypatch)
    env = {"BFF_REDIS_TIMEOUT_MS": f"{ALLOWANCE_S * 1000:.0f}"}
    async with fault_proxy(own_redis.port) as line:
        url = f"redis://127.0.0.1:{line.port}/0"
        async with stage(url, gateways=2, env=env, settles=False) as opened:
            yield Site(own_redis, line, opened, waits)


@pytest.mark.parametrize("name", FAULTS)
async def test_pitfall_23_no_member_notices_a_redis_that_is(name: str, site: Site) -> None:
    fault = FAULTS[name]
    for via in (0, 1):
        await site.a_session(via)
    sound_s = site.restarted()

    await fault.begin(site)
    for _ in range(2):
        await site.a_session()
    await site.write("Before Ltd")
    assert site.slowest_s < sound_s + ALLOWANCE_S + MARGIN_S

    # By now it is known to be away, and nobody waits for it any more.
    site.restarted()
    assert await site.usable() == fault.used
    for _ in range(2):
        await site.a_session()
    await site.write("After Ltd")
    await site.a_session()
    assert await site.usable() == fault.used
    if fault.used:
        assert await site.stage.metric("bff_invalidations", "write", "pending") == 0
    else:
        assert site.waits.tasks <= BEHIND
        assert site.slowest_s < sound_s + MARGIN_S

    await fault.end(site)
    returned = fair_time.now()
    while not await site.is_shared():
        assert fair_time.now() - returned < BACK_WITHIN_S
    await site.a_session()
    while not await site.is_told():  # of what was written meanwhile, at the latest with its lease
        assert fair_time.now() - returned < LEASE_S + MARGIN_S
    await site.a_session(via=1)


async def test_pitfall_21_a_burst_on_a_cold_process_is_served_by_redis_and_not_by_nexudus(
    redis_url: str,
) -> None:
    """What the process itself takes for so many is no reason to give Redis up."""
    env = {"BFF_REDIS_TIMEOUT_MS": f"{ALLOWANCE_S * 1000:.0f}"}
    async with stage(redis_url, gateways=2, env=env) as s:
        crowd = s.crowd(150)
        await s.prove(*crowd)
        s.tenant.forget_visits()
        answers = await asyncio.gather(*(s.get(PROFILES, member, via=1) for member in crowd))
        assert all("detail=l2" in answer.headers["cache-status"] for answer in answers)
        assert s.tenant.visits() == []
