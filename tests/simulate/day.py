"""One variant through one day: sandbox, gateways and apps in one event loop, in virtual time."""

from __future__ import annotations

import contextlib
import functools
import gc
import itertools
import logging
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from types import SimpleNamespace
from typing import Any, Final
from uuid import UUID

import structlog
from starlette.applications import Starlette

import bff.app
from bff.app import Seams
from bff.cache.bus import Pace, RedisBus
from bff.cache.flight import Flights, Landed
from bff.cache.leadership import LocalLeadership
from bff.sandbox.app import Sandbox, create_app, sandbox_of
from bff.sandbox.options import SandboxOptions
from bff.settings import load
from tests.simulate.calling import Door, DoorTransport
from tests.simulate.portal import Direct, Repeating, Seat, Through, Visitor, Way, play_all
from tests.simulate.shelf import Shelf
from tests.simulate.tally import Tally
from tests.simulate.trace import OPENS_S, Device, Person, Plan, trace_of
from tests.simulate.variants import Variant
from tests.simulate.virtual_time import VirtualClock, machine_time_replaced, play

MIDNIGHT: Final = 1_799_625_600.0
"""Monday, 11 January 2027, in UTC."""
EVE_S: Final = 8 * 3_600.0
"""How long before midnight virtual time begins: the day before, 16:00."""
OPENS_AT_S: Final = EVE_S + OPENS_S
SETTLE_S: Final = 5.0
"""For the processes to hear of each other, before the first member comes."""
_NAMED: Final = 10_000
"""The sandbox's named members, each with a peculiarity, have lower ids."""
PROCESSES: Final = 2
PACE: Final = Pace(heartbeat_s=1.2, lease_s=2.8)
"""Fewer heartbeats than in production: they are most of what an idle hour costs to simulate."""
LATENCY_MS: Final = "lognormal:120:0.5"
SPACE: Final = "nexudushq"
SECRET: Final = "a-secret-of-forty-characters-for-the-day"


@dataclass(frozen=True, slots=True)
class Scale:
    """How many members come, and when."""

    members: int = 2_000
    plan: Plan = field(default_factory=Plan)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a day came to. `calls` and `refused` are Nexudus', by minute after the trace opens.

    `again`: as in `Door`.
    """

    variant: Variant
    tally: Tally
    calls: Counter[int]
    refused: Counter[int]
    redis_commands: int
    again: int


def day_of(scale: Scale, variant: Variant) -> Outcome:
    """Plays the day; the same scale and variant give the same outcome."""
    logged, collecting = structlog.get_config(), gc.isenabled()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    gc.disable()  # a day fits in memory, and every collection would look at all of it
    try:
        return play(_day(scale, variant))
    finally:
        structlog.configure(**logged)
        if collecting:
            gc.enable()


def devices_of(scale: Scale) -> tuple[Device, ...]:
    """The trace that every variant plays."""
    sandbox = sandbox_of(_sandbox(scale, VirtualClock(MIDNIGHT)))
    return _trace(sandbox, scale, _people(sandbox, scale.members))


async def _day(scale: Scale, variant: Variant) -> Outcome:
    clock = VirtualClock(MIDNIGHT - EVE_S)
    app = _sandbox(scale, clock)
    door, tally = Door(app, clock), Tally()
    shelf = Shelf(present=variant.store)
    sandbox = sandbox_of(app)
    people = _people(sandbox, scale.members)
    devices = _trace(sandbox, scale, people)
    seats = [_seat(sandbox, device, scale.plan.seed) for device in devices]
    with machine_time_replaced(clock), _substituted(variant, shelf):
        if variant.warm:
            await _eve(sandbox, door, clock, people)
        await clock.sleep(OPENS_AT_S - SETTLE_S - clock.monotonic())
        shelf.commands = door.again = 0
        async with _way(variant, door, clock, tally) as way:
            visitor = Visitor(way, clock, tally, OPENS_AT_S)
            await play_all(visitor, list(zip(devices, seats, strict=True)))
    calls, refused = _since(door.calls), _since(door.refused)
    return Outcome(variant, tally, calls, refused, shelf.commands, door.again)


def _sandbox(scale: Scale, clock: VirtualClock) -> Starlette:
    seed = scale.plan.seed
    return create_app(
        SandboxOptions(
            space=SPACE,
            seed=seed,
            members=scale.members + scale.members // 10 + 10,  # some of them are suspended
            latency_ms=LATENCY_MS,
            clock=clock,
            entropy=Random(f"{seed}:tokens").randbytes,
        )
    )


def _people(sandbox: Sandbox, members: int) -> list[Person]:
    """Who comes."""
    world = sandbox.world
    people: list[Person] = []
    for member in world.members():
        active = [each for each in member.coworker_ids if world.coworker(each).active]
        if member.active and member.current_id is not None and member.user_id > _NAMED:
            others = (each for each in active if each != member.current_id)
            people.append(Person(member.user_id, (member.current_id, *others)))
    return people[:members]


def _trace(sandbox: Sandbox, scale: Scale, people: Sequence[Person]) -> tuple[Device, ...]:
    published = [each.id for each in sandbox.world.coworkers() if each.published]
    Random(f"{scale.plan.seed}:popularity").shuffle(published)
    return trace_of(scale.plan, people, published)


def _seat(sandbox: Sandbox, device: Device, seed: int) -> Seat:
    token = sandbox.tokens.mint(device.user_id)
    return Seat(token, device.remembered, Random(f"{seed}:{device.user_id}:{device.number}"))


@contextlib.asynccontextmanager
async def _way(
    variant: Variant, door: Door, clock: VirtualClock, tally: Tally
) -> AsyncIterator[Way]:
    repeating = Repeating(clock, tally)
    if not variant.gateway:
        await clock.sleep(SETTLE_S)
        yield Direct(door, repeating)
        return
    async with contextlib.AsyncExitStack() as stack:
        apps = []
        for number in range(PROCESSES):
            apps.append(
                await stack.enter_async_context(_gateway(variant.settings, door, clock, number))
            )
        await clock.sleep(SETTLE_S)
        yield Through(apps, repeating, hint=variant.hint)


@contextlib.asynccontextmanager
async def _gateway(
    settings: Iterable[tuple[str, str]], door: Door, clock: VirtualClock, number: int
) -> AsyncIterator[Starlette]:
    """One process' worth of gateway, as production wires it."""
    environ = {
        "BFF_UPSTREAM": SPACE,
        "BFF_REDIS_URL": "redis://redis.example.com",
        "BFF_SECRET": SECRET,
        **dict(settings),
    }
    seams = Seams(transport=DoorTransport(door), clock=clock, chance=Random(number))
    app = bff.app.build(load(environ), seams)
    async with app.router.lifespan_context(app):
        yield app


async def _eve(sandbox: Sandbox, door: Door, clock: VirtualClock, people: Sequence[Person]) -> None:
    """The day before: every member was there once, in no hurry."""
    sandbox.throttle.enabled = False
    async with _gateway([("BFF_BUDGET", "off")], door, clock, PROCESSES) as app:
        await clock.sleep(SETTLE_S)
        way = Through([app], Repeating(clock, Tally()), hint=False)
        for person in people:
            token = sandbox.tokens.mint(person.user_id)
            await way.session(Seat(token, None, Random(person.user_id)))
    sandbox.throttle.enabled = True


@contextlib.contextmanager
def _substituted(variant: Variant, shelf: Shelf) -> Iterator[None]:
    """For what `Seams` has no place: clients of Redis, names, and flights that nobody joins."""
    places: dict[str, object] = {
        "connect": shelf.client,
        "connect_for_messages": shelf.client,
        "RedisBus": functools.partial(RedisBus, pace=PACE),
        # Of the processes' names: their order decides who goes first where both wait.
        "uuid": SimpleNamespace(uuid4=functools.partial(_uuid, Random(0))),
        "os": SimpleNamespace(getpid=lambda: 1, urandom=os.urandom),
    }
    if not variant.coalescing:
        places["Flights"] = _Apart
        places["RedisLeadership"] = lambda *_: LocalLeadership()
    before = {name: getattr(bff.app, name) for name in places}
    vars(bff.app).update(places)
    try:
        yield
    finally:
        vars(bff.app).update(before)


def _uuid(rng: Random) -> UUID:
    return UUID(int=rng.getrandbits(128))


class _Apart(Flights):
    """Every flight is its caller's own."""

    _numbers = itertools.count()

    async def run(self, key: str, *args: Any, **options: Any) -> Landed[Any]:
        return await super().run(f"{key}|{next(self._numbers)}", *args, **options)

    def start(self, key: str, *args: Any, **options: Any) -> bool:
        return super().start(f"{key}|{next(self._numbers)}", *args, **options)


def _since(by_minute: Counter[int]) -> Counter[int]:
    opened = int(OPENS_AT_S // 60)
    return Counter({minute - opened: n for minute, n in by_minute.items() if minute >= opened})
