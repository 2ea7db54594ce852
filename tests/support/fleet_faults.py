"""What can be made to happen to a fleet: each fault lasts as long as its block."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Final

from tests.e2e.commands import free_port
from tests.support.fault_proxy import Line
from tests.support.fleet import Fleet
from tests.support.fleet_client import CUT, App
from tests.support.fleet_load import FORWARDED, Load
from tests.support.gateway import until
from tests.support.redis_server import HOST

Happening = Callable[[Load], AbstractAsyncContextManager[str | None]]
"""Makes something happen to the fleet of a load; yields a note on it, if there is one."""

_SLOW_MS: Final = 700


class FaultyRun(AssertionError):
    """Something around the answers was not as it must be."""


def network(name: str, line: Line, *, reset: bool = False) -> Happening:
    """A proxy's line is like this; with `reset`, the connections there are end at once."""

    @asynccontextmanager
    async def happening(load: Load) -> AsyncIterator[None]:
        proxies = load.fleet.proxies
        await proxies.become(name, line)
        if reset:
            await proxies.reset(name)
        try:
            yield
        finally:
            await proxies.become(name)

    return happening


def effects(*wanted: Mapping[str, object]) -> Happening:
    """The simulated Nexudus meets all calls with these."""

    @asynccontextmanager
    async def happening(load: Load) -> AsyncIterator[None]:
        await load.fleet.nexudus.fail(*wanted)
        try:
            yield
        finally:
            await load.fleet.nexudus.recover()

    return happening


@asynccontextmanager
async def redis_killed(load: Load) -> AsyncIterator[None]:
    """Gone, then back and empty."""
    server = load.fleet.redis
    server.kill()
    try:
        yield
    finally:
        await asyncio.to_thread(server.start)


@asynccontextmanager
async def redis_restarted(load: Load) -> AsyncIterator[None]:
    """Empty in an instant."""
    await asyncio.to_thread(load.fleet.redis.restart)
    yield


@asynccontextmanager
async def redis_paused(load: Load) -> AsyncIterator[None]:
    """SIGSTOP, SIGCONT."""
    load.fleet.redis.pause()
    try:
        yield
    finally:
        load.fleet.redis.resume()


def redis_limited(policy: str, maxmemory: str) -> Happening:
    """Its memory is this small; nothing is evicted unless the policy says so."""

    @asynccontextmanager
    async def happening(load: Load) -> AsyncIterator[None]:
        server = load.fleet.redis
        server.config("maxmemory-policy", policy)
        server.config("maxmemory", maxmemory)
        try:
            yield
        finally:
            server.config("maxmemory", "0")
            server.config("maxmemory-policy", "noeviction")

    return happening


@asynccontextmanager
async def redis_follows(load: Load) -> AsyncIterator[None]:
    """A replica, whose primary is nowhere, takes no writes."""
    load.fleet.tell_redis("REPLICAOF", HOST, str(free_port()))
    try:
        yield
    finally:
        load.fleet.tell_redis("REPLICAOF", "NO", "ONE")


@asynccontextmanager
async def worker_killed(load: Load) -> AsyncIterator[None]:
    """SIGKILL; another one takes its place. Linux only."""
    gateway = load.fleet.gateways[0]
    before = gateway.workers()
    os.kill(before[0], signal.SIGKILL)
    yield
    after = gateway.workers()
    if len(after) != len(before) or before[0] in after:
        raise FaultyRun(f"workers {before} became {after}")


@asynccontextmanager
async def gateway_restarted(load: Load) -> AsyncIterator[str]:
    """SIGTERM while calls are under way, all of which are answered; then a new start."""
    fleet, gateway = load.fleet, load.fleet.gateways[1]
    await fleet.nexudus.fail({"kind": "latency", "ms": _SLOW_MS}, path_prefix=FORWARDED)
    apps = [App(fleet, session.token) for session in load.sessions[:3]]
    calls = [asyncio.create_task(app.send(gateway.number, FORWARDED)) for app in apps]

    async def all_wait() -> bool:
        ended = sum(call.done() for call in calls)
        return await _under_way(fleet) + ended >= len(calls)

    try:
        await until(all_wait)
        code = await gateway.end()
        statuses = [reply.status for reply in await asyncio.gather(*calls)]
    finally:
        for app in apps:
            app.leave()
        await fleet.nexudus.recover()
    yield f"exit code {code}, under way: {statuses}"
    await gateway.start()
    if code != 0 or CUT in statuses:
        raise FaultyRun(f"exit code {code}, answers to what was under way: {statuses}")


async def _under_way(fleet: Fleet) -> int:
    log = await fleet.nexudus.control("GET", "calls")
    return int(log["in_flight"])


def both(first: Happening, second: Happening) -> Happening:
    """At the same time."""

    @asynccontextmanager
    async def happening(load: Load) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(first(load))
            await stack.enter_async_context(second(load))
            yield

    return happening
