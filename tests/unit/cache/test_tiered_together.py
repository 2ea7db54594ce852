"""Callers that want the same at the same time ask the shared store once."""

from __future__ import annotations

import asyncio

import pytest

from bff.cache.patience import limited
from bff.cache.tiered import Findings, Found, Tier
from tests.support.cache_process import SPACE, profiles, related, until
from tests.support.manual_time import settled
from tests.unit.cache.conftest import World
from tests.unit.cache.documents import LIST, RELATED, TOKEN, keep

LISTING = profiles(TOKEN)
SHARED = related(7)
HELD = Found(LIST, Tier.L2)


def find(world: World, *wants: object) -> asyncio.Task[Findings]:
    wanted = list(wants) or [LISTING]
    return asyncio.create_task(world.mine.cache.find(SPACE, wanted))  # type: ignore[arg-type]


async def holding_loads(world: World) -> None:
    """From now on, answers of the store are on their way until they are released."""
    await keep(world.peer, LISTING)
    await keep(world.peer, SHARED, RELATED)
    world.store.calls.clear()
    world.store.held = {"load"}


async def loads(world: World, count: int) -> None:
    await until(lambda: world.store.calls.count("load") >= count)
    await settled()
    assert world.store.calls.count("load") == count


async def test_a_thousand_callers_of_one_key_are_one_load(world: World) -> None:
    await holding_loads(world)
    callers = [find(world) for _ in range(1_000)]
    await loads(world, 1)
    world.store.release.set()
    found = await asyncio.gather(*callers)
    assert all(one.values == (HELD,) for one in found)
    assert len({one.ticket for one in found}) == 1
    assert found[0].ticket.stamp is not None


async def test_who_wants_something_else_asks_for_it(world: World) -> None:
    await holding_loads(world)
    other, callers = profiles("another token"), []
    for wants in ((LISTING,), (other,), (SHARED,), (LISTING, other)):
        callers.append(find(world, *wants))
        await loads(world, len(callers))
    world.store.release.set()
    found = [one.values for one in await asyncio.gather(*callers)]
    assert found == [(HELD,), (None,), (Found(RELATED, Tier.L2),), (HELD, None)]


async def test_what_is_in_process_is_not_asked_for(world: World) -> None:
    await keep(world.mine, LISTING)
    await holding_loads(world)
    callers = [find(world, LISTING, SHARED), find(world, SHARED, LISTING)]
    await loads(world, 1)
    world.store.release.set()
    first, second = (one.values for one in await asyncio.gather(*callers))
    assert first == (Found(LIST, Tier.L1), Found(RELATED, Tier.L2))
    assert second == tuple(reversed(first))


@pytest.mark.parametrize("heard", ["here", "from a peer", "that the channel was lost"])
async def test_pitfall_14_who_comes_after_an_invalidation_asks_anew(
    world: World, heard: str
) -> None:
    await holding_loads(world)
    before = find(world)
    await loads(world, 1)
    await world.peer.invalidator.invalidate(SPACE, frozenset({"u:5"}), "elsewhere")
    match heard:
        case "here":
            await world.mine.invalidator.invalidate(SPACE, frozenset({"u:5"}), "write")
        case "from a peer":
            world.mine.invalidator.apply(SPACE, frozenset({"u:5"}))
        case _:
            world.mine.invalidator.lost()
    after = find(world)
    await loads(world, 2)
    world.store.release.set()
    first, second = await asyncio.gather(before, after)
    assert (first.values, second.values) == ((HELD,), (None,))
    assert first.ticket.memory < second.ticket.memory
    assert len(world.mine.memory) == 0


async def test_pitfall_22_while_invalidations_are_not_heard_each_asks_for_itself(
    world: World,
) -> None:
    await holding_loads(world)
    world.bus.trusted = False
    callers = []
    for number in range(3):
        callers.append(find(world))
        await loads(world, number + 1)
    world.store.release.set()
    assert [one.values for one in await asyncio.gather(*callers)] == [(HELD,)] * 3


async def test_a_look_past_this_process_joins_nobody(world: World) -> None:
    await holding_loads(world)
    before = find(world)
    await loads(world, 1)
    look = asyncio.create_task(world.mine.cache.look(SPACE, [LISTING]))
    await loads(world, 2)
    world.store.release.set()
    assert (await before).values == (await look).values == (HELD,)


async def test_pitfall_7_a_caller_that_leaves_takes_nothing_from_those_who_wait_with_it(
    world: World,
) -> None:
    await holding_loads(world)
    first, second, third = (find(world) for _ in range(3))
    await loads(world, 1)
    third.cancel()
    first.cancel()
    await loads(world, 2)
    world.store.release.set()
    assert (await second).values == (HELD,)
    await asyncio.wait((first, third))
    assert first.cancelled() and third.cancelled()
    assert world.mine.cache._loads == {}


async def test_pitfall_23_a_store_that_fails_is_a_miss_for_all_of_them(world: World) -> None:
    world.store.fail_all()
    found = await asyncio.gather(*(find(world) for _ in range(50)))
    assert all(one.values == (None,) and one.ticket.stamp is None for one in found)
    assert world.store.calls == ["load"]


async def test_those_who_have_patience_left_ask_again_for_those_who_have_none(
    world: World,
) -> None:
    await holding_loads(world)

    async def within(patience_s: float) -> Findings:
        with limited(patience_s):
            return await world.mine.cache.find(SPACE, [LISTING])

    impatient, *patient = (asyncio.create_task(within(some_s)) for some_s in (0.0, 9.0, 9.0))
    assert (await impatient).values == (None,)
    await loads(world, 1)
    assert (await within(0.01)).values == (None,), "it has waited long enough for another's load"
    world.store.release.set()
    assert [one.values for one in await asyncio.gather(*patient)] == [(HELD,)] * 2
