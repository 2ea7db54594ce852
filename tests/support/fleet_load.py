"""Members that use their apps all the while, every answer checked."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from tests.support.fleet import GATEWAYS, Fleet
from tests.support.fleet_checks import Ask, Ground, Kind, Session, check, check_forwarded
from tests.support.fleet_client import App, Reply
from tests.support.fleet_figures import Figures
from tests.support.fleet_members import Dropping, Member, Switching, Writing, chosen, minted
from tests.support.fleet_weather import Trouble, Weather
from tests.support.gateway import BOOTSTRAP, PROFILES, SWITCH, related

FORWARDED: Final = f"{PROFILES}/current/benefits"

SINGLE: Final = 5
SEVERAL: Final = 2
"""Members with one profile, and with two to switch between; those have two tokens."""
_PAUSE_S: Final = (0.05, 0.2)
_RARE_PAUSE_S: Final = (1.0, 2.5)
_SWITCH_PAUSE_S: Final = (1.0, 2.0)
_MARGIN_S: Final = 0.5
_LOOKED_UP_S: Final = 40.0

MIX: Final = {
    "full": 24,
    "mobile": 20,
    "validated": 22,
    "hinted": 12,
    "hinted wrongly": 2,
    "profiles": 12,
    "related": 8,
}


@dataclass(slots=True)
class Load:
    """Everybody who asks. `writes`: of anybody, with the time in which they may drop anything."""

    fleet: Fleet
    members: list[Member]
    sessions: list[Session]
    figures: Figures
    weather: Weather
    random: random.Random
    switches: int = 0
    writes: list[Writing] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self) -> None:
        """Members begin to ask, and go on until `stop`."""
        for session in self.sessions:
            self._tasks.append(asyncio.create_task(self._use(session)))
        self._tasks.append(asyncio.create_task(self._forwarded(self.sessions[0])))
        self._tasks.append(asyncio.create_task(self._garbage(self.sessions[1])))
        self._tasks.append(asyncio.create_task(self._revoked()))
        self._tasks.append(asyncio.create_task(self._switching()))

    async def stop(self) -> None:
        """Nobody asks any more; a failure of the load itself is raised."""
        for task in self._tasks:
            task.cancel()
        for outcome in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome
        self._tasks.clear()

    async def warm(self) -> None:
        """Everybody has been answered once."""

        async def first(session: Session) -> None:
            with self._app(session) as app:
                await self._ask(app, self._ask_of(session, "full"))

        await asyncio.gather(*map(first, self.sessions))

    def failed(self) -> None:
        """Raises what ended a member's task, if anything did."""
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()

    async def _use(self, session: Session) -> None:
        with self._app(session) as app:
            while True:
                await asyncio.sleep(self.random.uniform(*_PAUSE_S))
                (name,) = self.random.choices([*MIX], [*MIX.values()])
                await self._ask(app, self._ask_of(session, name))

    async def _forwarded(self, session: Session) -> None:
        with self._app(session) as app:
            while True:
                await asyncio.sleep(self.random.uniform(*_RARE_PAUSE_S))
                await self._ask(app, Ask(session, Kind.FORWARDED, FORWARDED))

    async def _garbage(self, session: Session) -> None:
        while True:
            await asyncio.sleep(2 * self.random.uniform(*_RARE_PAUSE_S))
            token = f"garbage-{self.random.getrandbits(64):x}"
            stranger = Session(session.member, token, session.home)
            with self._app(stranger) as app:
                await self._ask(app, Ask(stranger, Kind.GARBAGE, BOOTSTRAP))

    async def _revoked(self) -> None:
        """A token that is used, ends, and is used on."""
        while True:
            member = self.random.choice(self.members)
            (token,) = await minted(self.fleet.nexudus, member.user_id)
            session = Session(member, token, self.random.randrange(GATEWAYS))
            with self._app(session) as app:
                for _ in range(3):
                    await self._ask(app, self._ask_of(session, "full"))
                await self.fleet.nexudus.control("DELETE", f"tokens?token={token}")
                session.revoked_at = monotonic()
                while session.refused_at is None:
                    await asyncio.sleep(self.random.uniform(*_RARE_PAUSE_S))
                    await self._ask(app, Ask(session, Kind.REVOKED, BOOTSTRAP))
                for gateway in range(GATEWAYS):
                    await self._ask(app, Ask(session, Kind.REVOKED, BOOTSTRAP), gateway)

    async def _switching(self) -> None:
        """The active profile is switched on one gateway, and seen on the other at once."""
        while True:
            await asyncio.sleep(self.random.uniform(*_SWITCH_PAUSE_S))
            member = self.random.choice([each for each in self.members if each.switchable])
            sessions = [each for each in self.sessions if each.member is member]
            if Trouble.NEXUDUS in self.weather.during(monotonic(), monotonic()):
                continue  # what is lost on the way there may arrive at any time
            writer, reader = self.random.sample(sessions, 2)
            await self._switch(member, writer)
            with self._app(reader) as app:
                for gateway in range(GATEWAYS):
                    await self._ask(app, self._ask_of(reader, "full"), gateway)

    async def _switch(self, member: Member, writer: Session) -> None:
        active = await self._active(member)
        switching = Switching(next(each for each in member.profiles if each != active), monotonic())
        member.history.append(switching)
        droppings = self._droppings(member)
        writing = Writing(switching.began)
        self.writes.append(writing)
        with self._app(writer) as app:
            phase = self.figures.phase
            target = f"{SWITCH}?coworkerId={switching.to}"
            reply = await app.send(self._gateway(writer.home), target, method="PUT")
        self.switches += 1
        ground = self._ground(reply)
        self.figures.add(phase, "switch", reply, check_forwarded(reply, ground))
        failing = Trouble.NEXUDUS in ground.troubles
        # Who wrote may be found out, and dropped, later (ADR 5).
        writing.until = reply.ended + (_LOOKED_UP_S if failing else 0.0)
        for dropping in droppings:
            dropping.until = writing.until
        if failing:
            return  # it may still arrive: both are right, until the next one
        if await self._active(member) != switching.to:
            member.history.remove(switching)
            return
        switching.settled = reply.ended
        if reply.status != 200 or ground.troubles:
            # ADR 3: who cannot be told uses what it fetched since for that long at most.
            switching.settled += self.fleet.terms.l1_max_age_s + _MARGIN_S

    def _droppings(self, writer: Member) -> list[Dropping]:
        """What a write that is about to be made drops, of everybody's documents."""
        begun = []
        for member in self.members:
            if names := member.dropped_with(writer):
                begun.append(Dropping(names))
                member.droppings.append(begun[-1])
        return begun

    async def _active(self, member: Member) -> int:
        rows = await self.fleet.nexudus.control("GET", "members")
        return next(int(r["current_id"]) for r in rows if r["user_id"] == member.user_id)

    def _ask_of(self, session: Session, name: str) -> Ask:
        member = session.member
        active = member.history[-1].to if member.history else member.active
        other = next((each for each in member.profiles if each != active), active)
        known = session.latest.get(BOOTSTRAP, '"none"')
        asks = {
            "full": Ask(session, Kind.BOOTSTRAP, BOOTSTRAP, about=active),
            "mobile": Ask(session, Kind.MOBILE, f"{BOOTSTRAP}?_shape=@mobile", about=active),
            "validated": Ask(session, Kind.BOOTSTRAP, BOOTSTRAP, validator=known, about=active),
            "hinted": Ask(
                session, Kind.BOOTSTRAP, f"{BOOTSTRAP}?coworkerId={active}", about=active
            ),
            "hinted wrongly": Ask(
                session, Kind.BOOTSTRAP, f"{BOOTSTRAP}?coworkerId={other}", about=active
            ),
            "profiles": Ask(session, Kind.PROFILES, PROFILES, about=active),
            "related": Ask(session, Kind.RELATED, related(active), active, about=active),
        }
        return asks[name]

    async def _ask(self, app: App, ask: Ask, gateway: int | None = None) -> Reply:
        phase = self.figures.phase
        headers = {"if-none-match": ask.validator} if ask.validator else {}
        via = self._gateway(ask.session.home if gateway is None else gateway)
        in_order = Trouble.PROCESS not in self.weather.during(monotonic(), monotonic())
        reply = await app.send(via, ask.target, headers=headers, whole=in_order)
        faults = check(ask, reply, self._ground(reply))
        self.figures.add(phase, ask.kind.value, reply, faults)
        return reply

    def _ground(self, reply: Reply) -> Ground:
        calm = self.weather.calm_since(Trouble.REDIS, reply.began)
        return Ground(self.weather.during(reply.began, reply.ended), calm, self.fleet.terms)

    def _gateway(self, wanted: int) -> int:
        """As a balancer would choose: another one where that one is known to be down."""
        if self.fleet.gateways[wanted].up:
            return wanted
        return next((g.number for g in self.fleet.gateways if g.up), wanted)

    @contextlib.contextmanager
    def _app(self, session: Session) -> Iterator[App]:
        app = App(self.fleet, session.token)
        try:
            yield app
        finally:
            app.leave()


@asynccontextmanager
async def loaded(fleet: Fleet, seed: int) -> AsyncIterator[Load]:
    """Members who have all been answered once, and keep asking until the end."""
    draw = random.Random(seed)
    await fleet.nexudus.throttle(fleet.terms, enabled=False)
    members = await chosen(fleet, SINGLE, SEVERAL)
    sessions = []
    for number, member in enumerate(members):
        for nth, token in enumerate(
            await minted(fleet.nexudus, member.user_id, 2 if member.switchable else 1)
        ):
            sessions.append(Session(member, token, (number + nth) % GATEWAYS))
    await fleet.nexudus.throttle(fleet.terms, enabled=fleet.terms.budget)
    await fleet.nexudus.control("DELETE", "calls")
    load = Load(fleet, members, sessions, Figures(), Weather(), draw)
    load.figures.begin("warming up")
    await load.warm()
    load.start()
    try:
        yield load
    finally:
        await load.stop()
