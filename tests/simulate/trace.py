"""Who comes when, and does what: a day's visits, which follow from a seed and a plan alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random
from typing import Final

OPENS_S: Final = 8 * 3_600
"""Seconds after midnight at which a day's trace begins: 8:00."""
DEVICES: Final = ((1, 2, 3), (75, 20, 5))
"""How many devices a member has, and in what proportion."""
CARDS: Final = ((0, 1, 2, 3), (60, 25, 10, 5))
"""How many cards of others a visit opens, and in what proportion."""
RETURN_SKEW: Final = 0.5
CARD_SKEW: Final = 1.0
"""Exponents of the Zipf distributions of who comes back, and of whose card is opened."""
SWITCHES: Final = 0.02
"""Part of the visits, of those who have two active profiles, that end with the other one."""


@dataclass(frozen=True, slots=True)
class Person:
    """A member of the space, with active profiles only: the first is the one of the session."""

    user_id: int
    coworker_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Seconds are of virtual time. `burst_s`: standard deviation of the arrivals around 9:00.

    `until_s`: end of the trace, after midnight. `returns`: visits of a member after the first
    ones, on average over a day of nine hours.
    """

    seed: int = 7
    burst_s: float = 20 * 60
    until_s: float = 10 * 3_600
    returns: float = 6.0
    nine_s: float = 9 * 3_600


@dataclass(frozen=True, slots=True)
class Card:
    """A card that is opened `after_s` the session stands."""

    after_s: float
    coworker_id: int


@dataclass(frozen=True, slots=True)
class Visit:
    """A session start `at_s` after the trace begins, and what follows it.

    `switch_to`: the profile that is made the active one at its end, if any.
    """

    at_s: float
    cards: tuple[Card, ...]
    switch_to: int | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """One device of a member. `remembered`: the active profile as it last saw it."""

    user_id: int
    number: int
    remembered: int
    visits: tuple[Visit, ...]


def trace_of(plan: Plan, people: Sequence[Person], published: Sequence[int]) -> tuple[Device, ...]:
    """Every device of every member, with its visits in order.

    `published`: the coworkers whose cards can be opened, the most popular first.
    """
    rng = Random(f"{plan.seed}:returns")
    per_member = plan.returns * (plan.until_s - plan.nine_s) / (9 * 3_600)
    by_activity = list(people)
    rng.shuffle(by_activity)
    weights = list(accumulate(zipf(len(people), RETURN_SKEW)))
    times = [0] * len(people)
    for drawn in rng.choices(
        range(len(people)), cum_weights=weights, k=round(per_member * len(people))
    ):
        times[drawn] += 1
    returns = {person.user_id: number for person, number in zip(by_activity, times, strict=True)}
    popularity = list(accumulate(zipf(len(published), CARD_SKEW)))
    devices: list[Device] = []
    for person in people:
        own = Random(f"{plan.seed}:{person.user_id}")
        cards = _Cards(own, published, popularity)
        devices += _devices(plan, person, returns[person.user_id], cards)
    return tuple(devices)


def zipf(size: int, skew: float) -> list[float]:
    """Weights of the ranks from 1: rank to the power of -skew."""
    return [rank**-skew for rank in range(1, size + 1)]


@dataclass(frozen=True, slots=True)
class _Cards:
    rng: Random
    published: Sequence[int]
    popularity: Sequence[float]

    def draw(self) -> tuple[Card, ...]:
        """The cards that one visit opens, in order."""
        opened, after_s = [], 0.0
        for _ in range(self.rng.choices(*CARDS)[0]):
            after_s += self.rng.uniform(5, 60)
            (coworker_id,) = self.rng.choices(self.published, cum_weights=self.popularity)
            opened.append(Card(after_s, coworker_id))
        return tuple(opened)


def _devices(plan: Plan, person: Person, returns: int, cards: _Cards) -> list[Device]:
    rng = cards.rng
    count = rng.choices(*DEVICES)[0]
    end_s = plan.until_s - OPENS_S
    firsts = [_arrival(plan, rng, end_s) for _ in range(count)]
    starts = [[at_s] for at_s in firsts]
    for _ in range(returns):
        mine = rng.randrange(count)
        starts[mine].append(rng.uniform(min(firsts[mine] + 120, end_s), end_s))
    devices = []
    for number, own in enumerate(starts):
        visits = tuple(Visit(at_s, cards.draw(), _switch(person, rng)) for at_s in sorted(own))
        devices.append(Device(person.user_id, number, person.coworker_ids[0], visits))
    return devices


def _arrival(plan: Plan, rng: Random, end_s: float) -> float:
    while not 0 <= (at_s := rng.gauss(plan.nine_s - OPENS_S, plan.burst_s)) <= end_s:
        pass
    return at_s


def _switch(person: Person, rng: Random) -> int | None:
    others = person.coworker_ids[1:]
    return rng.choice(others) if others and rng.random() < SWITCHES else None
