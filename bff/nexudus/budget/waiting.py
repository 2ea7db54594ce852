"""Who waits for a call of one space, in order."""

from __future__ import annotations

import asyncio
import math
from bisect import bisect_left, insort
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Final

from bff.clock import Clock
from bff.nexudus.budget.contract import Grant, Priority, Urgency

Kind = tuple[Priority, bool]
"""A priority, and whether writes."""

KINDS: Final[tuple[Kind, ...]] = tuple(product(Priority, (False, True)))
MEMBERS_IN_A_ROW: Final = 3
"""So many go before another, where others are to have a turn now and then."""
_TAKE_TURNS: Final = (Priority.STRANGER, Priority.FORWARDED)


async def nap(clock: Clock, delay_s: float, changed: asyncio.Event) -> None:
    """Returns after `delay_s`, or once something `changed`."""
    sleeping = asyncio.ensure_future(clock.sleep(delay_s))
    woken = asyncio.ensure_future(changed.wait())
    try:
        await asyncio.wait((sleeping, woken), return_when=asyncio.FIRST_COMPLETED)
    finally:
        sleeping.cancel()
        woken.cancel()


def not_for(grant: Grant) -> frozenset[Kind]:
    """Who cannot use it: a read's is none for a write, nor for a stranger one that was not counted
    as a stranger's."""
    uncounted = () if grant.priority is Priority.STRANGER else (Priority.STRANGER,)
    return frozenset(
        each for each in KINDS if each[0] in uncounted or (each[1] and not grant.write)
    )


def passed_by(priority: Priority, *, in_turn: bool = False) -> tuple[Priority, ...]:
    """Those that go first, unless their own part is used up while there is room for this one, or it
    is its turn (`in_turn`)."""
    strangers = (Priority.STRANGER,) if priority > Priority.STRANGER else ()
    return (Priority.INTERACTIVE, *strangers) if in_turn and priority in _TAKE_TURNS else strangers


Place = tuple[Priority, float, int]
"""Where somebody stands: smaller is further ahead."""


@dataclass(slots=True, eq=False)
class Caller:
    """One that waits until `deadline` (monotonic seconds); its `turn` ends that."""

    urgency: Urgency
    write: bool
    deadline: float
    arrival: int
    turn: asyncio.Future[Grant] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    counted: Priority = Priority.BACKGROUND

    @property
    def waits(self) -> bool:
        """Whether it does still."""
        return not self.turn.done()

    @property
    def place(self) -> Place:
        """By priority, then by the time of the member's request, then by arrival."""
        return self.counted, self.urgency.since, self.arrival


class Waiting:
    """Callers in their order. Reads and writes wait apart: limits differ."""

    def __init__(self) -> None:
        self._arrivals = 0
        self._in_a_row = 0
        self._callers: dict[int, Caller] = {}
        self._going: set[Caller] = set()
        self._lines: dict[bool, list[Place]] = {False: [], True: []}

    def __len__(self) -> int:
        return len(self._callers)

    def __iter__(self) -> Iterator[Caller]:
        return iter(tuple(self._callers.values()))

    @property
    def nobody_first(self) -> bool:
        """Whether one that arrives would be before all: nobody waits, nor has yet to take the turn
        that it was given."""
        return not self._callers and not self._going

    def join(self, urgency: Urgency, write: bool, deadline: float) -> Caller:
        """Behind those of its priority whose requests began before."""
        self._arrivals += 1
        caller = Caller(urgency, write, deadline, self._arrivals, counted=urgency.priority)
        self._callers[caller.arrival] = caller
        insort(self._lines[write], caller.place)
        return caller

    def rose(self, caller: Caller) -> None:
        """Its priority did: before all that are below."""
        if caller.arrival in self._callers:
            self._remove(caller)
            caller.counted = caller.urgency.priority
            insort(self._lines[caller.write], caller.place)

    def leave(self, caller: Caller) -> None:
        """It waits no more; may be repeated."""
        self._going.discard(caller)
        if self._callers.pop(caller.arrival, None) is not None:
            self._remove(caller)

    def went(self, caller: Caller) -> None:
        """It waits no more, for it was its turn; one that had gone before took none."""
        self.leave(caller)
        if caller.waits:
            self._going.add(caller)
            self._in_a_row = self._in_a_row + 1 if caller.counted is Priority.INTERACTIVE else 0

    def next(self, passing: Collection[Kind] = (), *, in_turn: bool) -> Caller | None:
        """Who is, these passed over: the head, unless it is another's turn.

        `in_turn`: others than members are not to wait for as long as members come. Theirs is one
        turn of four: that of the stranger, or call that is passed through, that came first.
        """
        if in_turn and self._in_a_row >= MEMBERS_IN_A_ROW:
            heads = [
                self.head({*passing, *(kind for kind in KINDS if kind[0] is not priority)})
                for priority in _TAKE_TURNS
            ]
            others = [head for head in heads if head is not None]
            if others:
                return min(others, key=lambda other: other.arrival)
        return self.head(passing)

    def head(self, passing: Collection[Kind] = ()) -> Caller | None:
        """The first by priority, these passed over."""
        places = []
        for write, line in self._lines.items():
            first = 0
            while first < len(line) and (line[first][0], write) in passing:
                first = self._before(write, (line[first][0] + 1, -math.inf, 0))
            if first < len(line):
                places.append(line[first])
        return self._callers[min(places)[2]] if places else None

    def last(self, priority: Priority, write: bool) -> Caller | None:
        """The last of the reads, or of the writes, at one priority."""
        line = self._lines[write]
        index = self._before(write, (priority + 1, -math.inf, 0)) - 1
        caller = self._callers[line[index][2]] if index >= 0 else None
        return caller if caller is not None and caller.counted is priority else None

    def ahead(
        self, urgency: Urgency, arrival: float = math.inf, passing: Collection[Priority] = ()
    ) -> tuple[int, int]:
        """How many (calls, writes among them) stand before one that arrives, or did.

        Those of the higher priorities in `passing` are not counted.
        """
        place = (urgency.priority, urgency.since, arrival)
        reads, writes = (
            self._before(write, place) - sum(self.at(each, write=write) for each in passing)
            for write in (False, True)
        )
        return reads + writes, writes

    def at(self, priority: Priority, *, write: bool) -> int:
        """How many reads, or writes, wait at exactly one priority."""
        upper, lower = (priority + 1, -math.inf, 0), (priority, -math.inf, 0)
        return self._before(write, upper) - self._before(write, lower)

    def _before(self, write: bool, place: tuple[int, float, float]) -> int:
        return bisect_left(self._lines[write], place)

    def _remove(self, caller: Caller) -> None:
        del self._lines[caller.write][self._before(caller.write, caller.place)]
