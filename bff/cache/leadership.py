"""One flight across processes: of those that want the same document, one calls Nexudus.

Whoever leads holds a lock with a lease, which is renewed while the flight goes on. The others are
woken when it ends, over the bus, and look in the store; whoever finds nothing there claims anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import orjson

from bff.cache import patience
from bff.cache.bus import RedisBus
from bff.cache.endings import Ending, Nothing, Stored, Unshared, decode, encode
from bff.cache.keys import Address
from bff.cache.lead import USUAL, Lead, Lock, Tenure, Told
from bff.cache.remote import script
from bff.cache.store import Refused, Release, Scripts
from bff.cache.tasks import end
from bff.cache.waits import ANYBODY, Wait, Waits
from bff.clock import Clock
from bff.errors import StoreUnavailable

DEAF_S = 0.1
"""Longest wait while it may not be heard that a flight has ended."""
CLOSING_S = 0.2
"""How long an orderly end tries to tell the others."""
LOST, AWAITED = 0, 2
"""Answers of `renew.lua`."""


class Leadership(Protocol):
    """Who makes the call of a key."""

    async def claim(
        self, lock: Lock, *, within_s: float, urgent: bool = True, after: Told | None = None
    ) -> Lead | Told:
        """Lead, or be told that another flight of the key has ended; never raises for the store.

        Waits `within_s` at most. `urgent`: somebody waits for this flight. `after`: what this
        flight was told last, and has looked for since.
        """
        ...

    @property
    def seizes(self) -> bool:
        """Whether there is anything to be had by `seize`."""
        ...

    async def seize(
        self, lock: Lock, stored: Sequence[Address], *, beside: str | None = None
    ) -> Lead | None:
        """Lead at once, without a look before; `lead.lock.stamp` is for its call.

        None where another flight leads, or has, or where anything is kept under `stored`, good or
        not: it is to be looked for. `beside`: the key of a flight that this process has to lead for
        it, which may be asked for just before in the same turn of the loop: both are then one
        command. Never raises for the store.
        """
        ...

    async def aclose(self) -> None:
        """Give up what is led and end."""
        ...


class LocalLeadership:
    """For the embedded store: there is no other process."""

    async def claim(
        self, lock: Lock, *, within_s: float, urgent: bool = True, after: Told | None = None
    ) -> Lead | Told:
        return Lead(lock, "", urgent=urgent)

    @property
    def seizes(self) -> bool:
        return False

    async def seize(
        self, lock: Lock, stored: Sequence[Address], *, beside: str | None = None
    ) -> Lead | None:
        return None

    async def aclose(self) -> None:
        """Nothing to give up."""


class RedisLeadership:
    """Locks in the store of each space; `bus` is where this process is told of endings."""

    def __init__(self, store: Scripts, bus: RedisBus, clock: Clock, tenure: Tenure = USUAL) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._tenure = tenure
        self._lease_ms = int(tenure.lease_s * 1000)
        self._scripts = {name: script(name) for name in ("claim", "seize", "renew")}
        self._scripts["release"] = script("unlock", "release")
        self._numbers = itertools.count()
        self._waits = Waits()
        self._leads: dict[str, Lead] = {}
        self._releases: set[asyncio.Task[None]] = set()
        self._renewal: asyncio.Task[None] | None = None
        self._closed = False
        bus.on_flight = self._heard
        bus.on_deaf = self._deaf

    async def claim(
        self, lock: Lock, *, within_s: float, urgent: bool = True, after: Told | None = None
    ) -> Lead | Told:
        lead = Lead(lock, self._owner(), urgent=urgent)
        unshared = after is not None and isinstance(after.ending, Unshared)
        if lock.stamp is None or unshared or self._closed:
            return lead
        with self._waits.wait(lock.space, lock.key) as wait:
            match await self._ask(lead, lock.stamp, after):
                case [b"wait", bytes(holder), int(left_ms)] if holder.isascii():
                    # The lease has ended once it is past its last millisecond.
                    patience_s = min(within_s, max(0, left_ms) / 1000 + 0.001)
                    return await self._told(lead, wait, holder.decode(), patience_s)
                case [b"landed", bytes(holder)] if holder.isascii():
                    return Told(Stored(), holder.decode())
                case _:  # of another name, too: that is no owner, but what belongs elsewhere
                    return self._lead(lead)

    @property
    def seizes(self) -> bool:
        return self._bus.trusted and not self._closed

    async def seize(
        self, lock: Lock, stored: Sequence[Address], *, beside: str | None = None
    ) -> Lead | None:
        lead = Lead(lock, self._owner(), urgent=True)
        other = _name(lock) if beside is None else _named(beside)
        names = [_name(lock), "clock", _gone(lead), other]
        names += [each.container.label for each in stored]
        args: list[str | bytes | int] = [lead.owner, self._lease_ms, self._bus.inbox]
        args.append("" if beside is None else self._bus.inbox)
        match await self._sent(lead, "seize", names, [*args, *(each.field for each in stored)]):
            case [bytes(stamp)]:
                lead.lock = replace(lock, stamp=int(stamp))
                return self._lead(lead)
            case _ if lead.unheard:
                self._ended(lead)
        return None

    async def aclose(self) -> None:
        """Flights that still go on are given up: others need not wait for their leases."""
        for lead in list(self._leads.values()):
            self._ended(lead)
        self._closed = True
        if self._renewal is not None:
            await end([self._renewal])
        if self._releases:
            await asyncio.wait(self._releases, timeout=CLOSING_S)
            await end(self._releases)

    async def _ask(self, lead: Lead, stamp: int, after: Told | None) -> list[object]:
        lock = lead.lock
        overtaken = _message(lock, {"owner": ANYBODY, **encode(Nothing())})
        args: list[str | bytes | int] = [lead.owner, stamp, self._lease_ms, self._bus.inbox]
        args += [int(lead.urgent), after.stored_by if after else "", overtaken]
        args.append(_message(lock, {"hurry": True}))
        names = [_name(lock), "clock", f"f:{lock.label}", _gone(lead)]
        return await self._sent(lead, "claim", names, args)

    async def _sent(
        self, lead: Lead, name: str, names: Sequence[str], args: Sequence[str | bytes | int]
    ) -> list[object]:
        """The answer to a script that may take the lock; empty where there was none."""
        try:
            return await self._store.run(lead.lock.space, self._scripts[name], names, args)
        except Refused:
            return []
        except StoreUnavailable:
            # Perhaps it answers nobody but did it: then the lock is renewed and released as well.
            # Perhaps it is yet to do it, even after the release.
            lead.unheard = True
            return []
        except asyncio.CancelledError:
            lead.unheard = True
            self._ended(lead)
            raise

    async def _told(self, lead: Lead, wait: Wait, holder: str, patience_s: float) -> Told:
        if not self._bus.trusted:
            patience_s = min(patience_s, DEAF_S)
        elif not lead.urgent:  # that may change: then whoever leads is to learn of it soon
            patience_s = min(patience_s, self._tenure.renew_s)
        try:
            async with asyncio.timeout(patience_s):
                ending = await wait.ended(holder)
        except TimeoutError:
            ending = Nothing()
        return Told(ending, holder if isinstance(ending, Stored) else "")

    def _owner(self) -> str:
        return f"{self._bus.inbox}#{next(self._numbers)}"

    def _lead(self, lead: Lead) -> Lead:
        if self._closed:
            return lead
        lead.on_end = self._ended
        self._leads[lead.owner] = lead
        if not lead.unheard:
            lead.farewell = self._farewell(lead, Stored())
        if self._renewal is None or self._renewal.done():
            with patience.unlimited():
                self._renewal = asyncio.create_task(self._renew(), name="flight leases")
        return lead

    def _ended(self, lead: Lead) -> None:
        """Its own callers do not wait until the others have been told."""
        self._leads.pop(lead.owner, None)
        lead.on_end = lambda _lead: None
        if not self._closed and not lead.released:
            with patience.unlimited():
                task = asyncio.create_task(self._release(lead), name="flight release")
            self._releases.add(task)
            task.add_done_callback(self._releases.discard)

    def _farewell(self, lead: Lead, ending: Ending) -> Release:
        message = _message(lead.lock, {"owner": lead.owner, **encode(ending)})
        known_ms = self._lease_ms if isinstance(ending, Stored) else 0
        return Release(_name(lead.lock), lead.owner, message, known_ms)

    async def _release(self, lead: Lead) -> None:
        last = self._farewell(lead, lead.ending)
        names = [last.lock, _gone(lead)]
        args: list[str | bytes | int] = [last.owner, last.message, last.known_ms]
        args.append(self._lease_ms if lead.unheard else 0)
        with contextlib.suppress(StoreUnavailable):  # then the lease ends by itself
            await self._store.run(lead.lock.space, self._scripts["release"], names, args)

    async def _renew(self) -> None:
        """One call for all flights of a space that go on."""
        while self._leads:
            await self._clock.sleep(self._tenure.renew_s)
            for space in {lead.lock.space for lead in self._leads.values()}:
                leads = [lead for lead in self._leads.values() if lead.lock.space == space]
                names = [_name(lead.lock) for lead in leads]
                args: list[str | bytes | int] = [self._lease_ms]
                args += [lead.owner for lead in leads]
                with contextlib.suppress(StoreUnavailable):
                    states = await self._store.run(space, self._scripts["renew"], names, args)
                    self._renewed(leads, states)

    def _renewed(self, leads: list[Lead], states: list[object]) -> None:
        for lead, state in zip(leads, states, strict=False):
            if state == LOST:
                self._leads.pop(lead.owner, None)
            elif state == AWAITED:
                lead.hurry()

    def _heard(self, members: dict[str, object]) -> None:
        match members:
            case {"space": str(space), "lock": str(key), "owner": str(owner)}:
                self._waits.tell(space, key, owner, decode(members))
            case {"space": str(space), "lock": str(key), "hurry": True}:
                for lead in list(self._leads.values()):
                    if (lead.lock.space, lead.lock.key) == (space, key):
                        lead.hurry()
            case _:
                pass

    def _deaf(self) -> None:
        """Endings may have been missed: whoever waits looks again."""
        self._waits.tell_all(Nothing())


def _name(lock: Lock) -> str:
    return _named(lock.key)


def _named(key: str) -> str:
    return f"lock:{key}"


def _gone(lead: Lead) -> str:
    return f"gone:{lead.owner}"


def _message(lock: Lock, members: dict[str, object]) -> bytes:
    return orjson.dumps({"flight": {"space": lock.space, "lock": lock.key, **members}})
