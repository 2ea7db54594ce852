"""The apps: how a session starts and what follows, straight to Nexudus or through the gateway.

Requests are repeated as the portal's data layer does (FACTS 8, 10): three times, after 1, 2 and
4 s, or after `Retry-After` where that is longer; 401 and 404 never. Then the member sees an error,
loads the page again after a while, and in the end gives up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Protocol

import orjson
from starlette.types import ASGIApp

from bff.clock import Clock
from bff.nexudus.headers import Header
from bff.resources import PROFILES, RELATED, active_profile
from tests.simulate.calling import Door, Reply, call
from tests.simulate.tally import NEVER, Tally
from tests.simulate.trace import Device, Visit

HOST: Final = b"members.example.com"
RETRIES: Final = 3
PAGES: Final = 4
"""How often a page is loaded for one session start, before the member gives up."""
RELOAD_S: Final = (10.0, 60.0)
_FINAL: Final = frozenset({200, 304, 401, 404})
_SWITCH: Final = f"{PROFILES.path}/current?coworkerId="


@dataclass(slots=True)
class Seat:
    """What a device holds: its token, and from its last session the active profile and the ETag."""

    token: str
    remembered: int | None
    rng: Random
    validator: bytes = b""

    @property
    def headers(self) -> list[Header]:
        return [(b"host", HOST), (b"authorization", b"Bearer " + self.token.encode())]


@dataclass(frozen=True, slots=True)
class Begun:
    """A session that stands; `complete`: its related part as well."""

    complete: bool


class Failed:
    """No session: the page shows an error."""


class Way(Protocol):
    """How the apps reach Nexudus."""

    async def session(self, seat: Seat) -> Begun | Failed:
        """What a page needs to begin."""
        ...

    async def get(self, seat: Seat, target: str) -> Reply:
        """A read, repeated until it ends one way or the other."""
        ...

    async def put(self, seat: Seat, target: str) -> Reply:
        """A write, likewise."""
        ...


class Repeating:
    """The portal's data layer. Counts what is waited for, and what comes of it."""

    def __init__(self, clock: Clock, tally: Tally) -> None:
        self._clock = clock
        self._tally = tally

    async def reply(self, send: Callable[[], Awaitable[Reply]]) -> Reply:
        """The answer of `send`, the last one if none is final."""
        tries = 0
        while True:
            with self._tally.queue.one():
                reply = await send()
            self._tally.statuses[reply.status] += 1
            self._tally.bytes_down += len(reply.body)
            if reply.status in _FINAL or tries == RETRIES:
                return reply
            asked_s = int(reply.header(b"retry-after") or b"0")
            await self._clock.sleep(max(2.0**tries, asked_s))
            tries += 1


class Direct:
    """Today's portal: both lists, one after the other, from Nexudus itself."""

    def __init__(self, door: Door, repeating: Repeating) -> None:
        self._door = door
        self._repeating = repeating

    async def session(self, seat: Seat) -> Begun | Failed:
        profiles = await self.get(seat, PROFILES.path)
        if profiles.status != 200:
            return Failed()
        active = active_profile(orjson.loads(profiles.body))
        if active is None:
            return Begun(complete=True)
        related = await self.get(seat, RELATED.path_for(str(active)))
        return Begun(complete=related.status in (200, 404))

    async def get(self, seat: Seat, target: str) -> Reply:
        return await self._send(seat, "GET", target)

    async def put(self, seat: Seat, target: str) -> Reply:
        return await self._send(seat, "PUT", target)

    async def _send(self, seat: Seat, method: str, target: str) -> Reply:
        path = target.encode()
        return await self._repeating.reply(lambda: self._door.call(method, path, seat.headers))


class Through:
    """A portal that asks the gateway: one bootstrap. `hint`: whether it says whom it remembers.

    The processes behind the balancer are asked in turn.
    """

    def __init__(self, apps: Sequence[ASGIApp], repeating: Repeating, *, hint: bool) -> None:
        self._apps = apps
        self._repeating = repeating
        self._hint = hint
        self._turn = 0

    async def session(self, seat: Seat) -> Begun | Failed:
        hinted = self._hint and seat.remembered is not None
        query = f"?coworkerId={seat.remembered}" if hinted else ""
        validator = [(b"if-none-match", seat.validator)] if seat.validator else []
        reply = await self._send(seat, "GET", f"/session/bootstrap{query}", validator)
        if reply.status == 304:
            return Begun(complete=True)
        if reply.status != 200:
            return Failed()
        seat.validator = reply.header(b"etag")
        seat.remembered = orjson.loads(reply.body)["Bootstrap"]["CoworkerId"]
        return Begun(complete=reply.header(b"bff-complete") != b"false")

    async def get(self, seat: Seat, target: str) -> Reply:
        return await self._send(seat, "GET", target)

    async def put(self, seat: Seat, target: str) -> Reply:
        return await self._send(seat, "PUT", target)

    async def _send(
        self, seat: Seat, method: str, target: str, more: Sequence[Header] = ()
    ) -> Reply:
        path = target.encode()

        async def send() -> Reply:
            self._turn += 1
            app = self._apps[self._turn % len(self._apps)]
            return await call(app, method, path, [*seat.headers, *more])

        return await self._repeating.reply(send)


class Visitor:
    """Plays the visits of devices: when the trace says so, or later, never earlier."""

    def __init__(self, way: Way, clock: Clock, tally: Tally, opens_s: float) -> None:
        self._way = way
        self._clock = clock
        self._tally = tally
        self._opens_s = opens_s

    async def play(self, device: Device, seat: Seat) -> None:
        """All visits; a visit that is late because of the one before it begins at its end."""
        for number, visit in enumerate(device.visits):
            await self._until(self._opens_s + visit.at_s)
            if await self._started(seat, first=number == 0):
                await self._browse(seat, visit)

    async def _started(self, seat: Seat, *, first: bool) -> bool:
        began = self._clock.monotonic()
        with self._tally.waiting.one():
            for page in range(PAGES):
                session = await self._way.session(seat)
                if isinstance(session, Begun):
                    waited_s = self._clock.monotonic() - began
                    self._tally.started(waited_s, first=first, complete=session.complete)
                    return True
                self._tally.error_pages += 1
                if page + 1 < PAGES:
                    await self._clock.sleep(seat.rng.uniform(*RELOAD_S))
        self._tally.started(NEVER, first=first, complete=False)
        return False

    async def _browse(self, seat: Seat, visit: Visit) -> None:
        stands = self._clock.monotonic()
        for card in visit.cards:
            await self._until(stands + card.after_s)
            reply = await self._way.get(seat, RELATED.path_for(str(card.coworker_id)))
            self._tally.opened(shown=reply.status == 200)
        if visit.switch_to is not None:
            reply = await self._way.put(seat, f"{_SWITCH}{visit.switch_to}")
            self._tally.switched(done=reply.status == 200)
            await self._started(seat, first=False)

    async def _until(self, moment: float) -> None:
        delay_s = moment - self._clock.monotonic()
        if delay_s > 0:
            await self._clock.sleep(delay_s)


async def play_all(visitor: Visitor, devices: Sequence[tuple[Device, Seat]]) -> None:
    """Every device at once; ends with the last visit."""
    async with asyncio.TaskGroup() as group:
        for device, seat in devices:
            group.create_task(visitor.play(device, seat))
