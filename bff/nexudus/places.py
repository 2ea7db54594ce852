"""Who gets a connection to Nexudus where many want one: nobody takes them all, nobody sits on one.

Dynamic thresholds (Choudhury and Hahne, 1998): a party is limited by what it leaves free, so that
there is always something left for one that has nothing yet, however many parties there are.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import anyio

from bff.clock import Clock

LESSER_SHARE: Final = 1 / 3
STANDSTILL_S: Final = 10.0
"""A call that has waited for its client for so long makes room for others."""


class Party(NamedTuple):
    """Whose calls compete with one another: those of a space that are alike.

    `known`: with credentials. `arriving`: whose body is still to come, as slowly as its sender may.
    A tuple, since it is looked up a dozen times for each call.
    """

    space: str
    known: bool = True
    arriving: bool = False


def may_take(held: int, free: int, share: float) -> bool:
    """Whether a party that holds so many places takes one of those that are free.

    It may hold `share` times as many as it leaves free, and one in any case.
    """
    return free > 0 and (held == 0 or held < free * share)


class Places:
    """`most` of them. `shared`: several spaces are served, and none may hold more than it leaves.

    Calls without credentials, or whose body is arriving, may hold a third of what they leave,
    always: a quarter of all.
    """

    def __init__(self, most: int, clock: Clock, *, shared: bool) -> None:
        self._clock = clock
        self._share = 1.0 if shared else math.inf
        self._free = most
        self._held: Counter[Party] = Counter()
        self._taken: set[Place] = set()
        self._waiting: dict[Party, deque[asyncio.Future[None]]] = {}

    def place(self, party: Party) -> Place:
        """To be taken."""
        return Place(self, party, self._clock)

    async def take(self, place: Place, within_s: float = math.inf) -> None:
        """Returns once the place is had, or raises TimeoutError.

        Where it would have to be waited for, a call that stands still is made to lose its own: of
        the party that holds most, the one that does so longest.
        """
        party = place.party
        if self._has_to_wait(party):
            self._reclaim()
        if self._has_to_wait(party):
            with anyio.fail_after(within_s):
                await self._turn(party)
        else:
            self._count(party, 1)
        self._taken.add(place)

    def give_back(self, place: Place) -> None:
        """The place is free for others."""
        self._taken.discard(place)
        self._count(place.party, -1)
        self._call_up()

    def _has_to_wait(self, party: Party) -> bool:
        return party in self._waiting or not self._may_take(party)

    def _may_take(self, party: Party) -> bool:
        share = self._share if party.known and not party.arriving else LESSER_SHARE
        return may_take(self._held[party], self._free, share)

    def _count(self, party: Party, change: int) -> None:
        self._free -= change
        self._held[party] += change
        if not self._held[party]:
            del self._held[party]

    async def _turn(self, party: Party) -> None:
        """Returns when a place has been counted as the party's."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(party, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it came at the same moment
                self._count(party, -1)
                self._call_up()
            raise
        finally:
            self._forget(party, turn)

    def _call_up(self) -> None:
        """Those who hold least first."""
        while ready := [party for party in self._waiting if self._may_take(party)]:
            party = min(ready, key=self._held.__getitem__)
            turn = self._waiting[party][0]
            self._forget(party, turn)
            if not turn.done():
                self._count(party, 1)
                turn.set_result(None)

    def _forget(self, party: Party, turn: asyncio.Future[None]) -> None:
        queue = self._waiting.get(party, deque())
        with contextlib.suppress(ValueError):
            queue.remove(turn)
        if not queue:
            self._waiting.pop(party, None)

    def _reclaim(self) -> None:
        still = [place for place in self._taken if place.stands_s >= STANDSTILL_S]
        if still:
            max(still, key=lambda place: (self._held[place.party], place.stands_s)).lose()


class Place:
    """One call's. `on_lost` is called at most once, and has to end in `give_back`."""

    def __init__(self, places: Places, party: Party, clock: Clock) -> None:
        self.party: Final = party
        self.on_lost: Callable[[], None] = lambda: None
        self._places = places
        self._clock = clock
        self._since = math.inf

    async def take(self, within_s: float = math.inf) -> None:
        """See `Places.take`."""
        await self._places.take(self, within_s)

    def give_back(self) -> None:
        """What was taken."""
        self._places.give_back(self)

    @contextlib.contextmanager
    def standing(self) -> Iterator[None]:
        """Around what waits for the client, whether it reads or sends."""
        self._since = self._clock.monotonic()
        try:
            yield
        finally:
            self._since = math.inf

    @property
    def stands_s(self) -> float:
        """Seconds for which the client has been waited for; minus infinity while it is not."""
        return self._clock.monotonic() - self._since

    def lose(self) -> None:
        """The place is needed elsewhere."""
        self._since = math.inf
        self.on_lost()
