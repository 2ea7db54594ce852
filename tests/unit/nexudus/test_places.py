"""Who gets a place, and who has to give one back."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.nexudus.places import LESSER_SHARE, STANDSTILL_S, Party, Place, Places, may_take
from tests.support.manual_time import ManualTime

MOST = 100
ACME, BETA = Party("acme"), Party("beta")
NOBODY = Party("acme", known=False)
SENDER = Party("acme", arriving=True)


def at_once(places: Places, party: Party) -> list[Place]:
    """As many as the party gets without waiting."""
    got: list[Place] = []
    while True:
        place = places.place(party)
        step = place.take()
        try:
            step.send(None)
        except StopIteration:
            got.append(place)
        else:
            step.close()
            return got


async def turned_away(place: Place) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await place.take()


@pytest.mark.parametrize(
    ("party", "shared", "most"),
    [
        (ACME, True, 50),
        (ACME, False, 100),
        (NOBODY, True, 25),
        (NOBODY, False, 25),
        (SENDER, False, 25),
    ],
)
async def test_what_one_party_gets_alone(party: Party, shared: bool, most: int) -> None:
    assert len(at_once(Places(MOST, ManualTime(), shared=shared), party)) == most


@given(
    most=st.integers(1, 200),
    hogs=st.lists(st.tuples(st.text(max_size=2), st.booleans()), unique=True, max_size=12),
)
def test_however_many_take_all_they_get_somebody_else_gets_one(
    most: int, hogs: list[tuple[str, bool]]
) -> None:
    """As long as there are more places than parties, roughly: half of them goes with each."""
    shares = [1.0 if known else LESSER_SHARE for _, known in hogs]
    free = most
    for share in shares:
        held = 0
        while may_take(held, free, share):
            held, free = held + 1, free - 1
        assert held >= min(1, free + held)
        assert held <= max(1, math.ceil(most * share / (1 + share)))
    if 2 ** (len(hogs) + 1) <= most:
        assert may_take(0, free, LESSER_SHARE)


async def test_a_place_given_back_goes_to_whoever_holds_least() -> None:
    places = Places(4, ManualTime(), shared=False)
    held = [places.place(ACME) for _ in range(4)]
    for place in held:
        await place.take()
    order: list[str] = []

    async def wait(party: Party) -> None:
        await places.place(party).take()
        order.append(party.space)

    waits = [asyncio.create_task(wait(party)) for party in (ACME, ACME, BETA)]
    await asyncio.sleep(0)
    for place in held[:3]:
        place.give_back()
    await asyncio.gather(*waits)
    assert order == ["beta", "acme", "acme"]
    assert at_once(places, BETA) == []


@pytest.mark.parametrize("turns", range(4))
async def test_a_wait_that_is_cancelled_loses_no_place(turns: int) -> None:
    """At whatever moment, that of its success too."""
    places = Places(1, ManualTime(), shared=False)
    first, second = places.place(ACME), places.place(BETA)
    await first.take()
    waiting = asyncio.create_task(second.take())
    await asyncio.sleep(0)
    actions: list[Callable[[], object]] = [first.give_back, waiting.cancel]
    for action in actions if turns % 2 else actions[::-1]:
        action()
        for _ in range(turns // 2):
            await asyncio.sleep(0)
    with contextlib.suppress(asyncio.CancelledError):
        await waiting
        second.give_back()
    assert len(at_once(places, ACME)) == 1


async def test_who_stands_still_longest_makes_room() -> None:
    """Of the party that holds most, once somebody needs it, and after a while only."""
    clock = ManualTime()
    places = Places(3, clock, shared=False)
    lost: list[str] = []

    async def held(name: str, party: Party) -> Place:
        place = places.place(party)

        def lose() -> None:
            lost.append(name)
            place.give_back()

        place.on_lost = lose
        await place.take()
        return place

    with contextlib.ExitStack() as stack:
        for name, party in (("early", BETA), ("first", ACME), ("second", ACME)):
            stack.enter_context((await held(name, party)).standing())
            await clock.advance(1)
        await clock.advance(STANDSTILL_S - 3.5)
        await turned_away(places.place(BETA))
        await clock.advance(1)
        await places.place(BETA).take()
        assert lost == ["early"]  # nobody else has stood so long
        await clock.advance(STANDSTILL_S)
        await places.place(BETA).take()
        assert lost == ["early", "first"]


async def test_who_moves_keeps_its_place() -> None:
    clock = ManualTime()
    places = Places(1, clock, shared=False)
    place = places.place(ACME)
    place.on_lost = pytest.fail
    await place.take()
    for _ in range(5):
        with place.standing():
            await clock.advance(STANDSTILL_S - 1)
    await clock.advance(2 * STANDSTILL_S)  # Nexudus is waited for
    await turned_away(places.place(BETA))
