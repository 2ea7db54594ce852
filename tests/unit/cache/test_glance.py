"""What a request wants next is asked for with what it wants first, if the last one like it did."""

from __future__ import annotations

import pytest

from bff.cache import tags as tagging
from bff.cache.entry import Entry
from bff.cache.tiered import Found, Glance, Tier, Want
from tests.support.cache_process import SPACE, digest_of, private, profiles, related
from tests.unit.cache.conftest import World
from tests.unit.cache.documents import LIST, OTHER, RELATED, TOKEN, keep

LISTING, SHARED, OWN = profiles(TOKEN), related(7), private(TOKEN, "related")
ABOUT_EIGHT = Entry(200, b'{"RelatedProfiles":[{"Id":8}]}', 1e6, ("c:8", "r:related"))


@pytest.fixture
async def request_before(world: World) -> World:
    """The documents are in the shared store only, and one request has shown what follows what."""
    world.mine.cache._max_age_s = 0.0
    await keep(world.peer, LISTING)
    await keep(world.peer, SHARED, RELATED)
    await read(world, Glance())
    world.store.calls.clear()
    return world


async def find(world: World, glance: Glance, *wants: Want) -> tuple[Found | None, ...]:
    return (await world.mine.cache.find(SPACE, wants, glance)).values


async def read(world: World, glance: Glance) -> tuple[Found | None, ...]:
    """As a bootstrap does."""
    first = await find(world, glance, LISTING)
    return first + await find(world, glance, SHARED, OWN)


async def test_the_next_request_asks_once(request_before: World) -> None:
    expected = (Found(LIST, Tier.L2), Found(RELATED, Tier.L2), None)
    assert await read(request_before, Glance()) == expected
    assert request_before.store.calls == ["load"]


async def test_the_ticket_is_of_the_question_that_was_asked(request_before: World) -> None:
    glance, cache = Glance(), request_before.mine.cache
    first = await cache.find(SPACE, [LISTING], glance)
    second = await cache.find(SPACE, [OWN], glance)
    assert first.ticket == second.ticket
    await request_before.peer.invalidator.invalidate(SPACE, frozenset({"u:5"}), "elsewhere")
    assert not await request_before.mine.fill(second.ticket, OWN, RELATED, "c:7", "u:5")


async def test_what_was_not_foreseen_is_asked_for_and_foreseen_from_then_on(
    request_before: World,
) -> None:
    await keep(request_before.peer, related(8), ABOUT_EIGHT)
    for loads in (2, 1):
        request_before.store.calls.clear()
        glance = Glance()
        await find(request_before, glance, LISTING)
        assert await find(request_before, glance, related(8)) == (Found(ABOUT_EIGHT, Tier.L2),)
        assert request_before.store.calls == ["load"] * loads


async def test_pitfall_1_what_follows_is_known_of_one_token_only(request_before: World) -> None:
    glance = Glance()
    assert await find(request_before, glance, profiles(OTHER)) == (None,)
    assert glance.take((SHARED,), request_before.mine.memory.ticket()) is None


async def test_it_is_good_for_the_very_next_question(request_before: World) -> None:
    glance = Glance()
    await find(request_before, glance, LISTING)
    await find(request_before, glance, related(9))
    await find(request_before, glance, SHARED, OWN)
    assert request_before.store.calls == ["load"] * 3


async def test_who_looks_for_the_same_again_wants_to_know_it_anew(request_before: World) -> None:
    for _ in range(2):
        request_before.store.calls.clear()
        glance = Glance()
        for _ in range(3):
            assert await find(request_before, glance, LISTING) == (Found(LIST, Tier.L2),)
        assert request_before.store.calls == ["load"] * 3


@pytest.mark.parametrize("heard", ["here", "from a peer", "that the channel was lost"])
async def test_pitfall_14_nothing_is_shown_from_before_an_invalidation(
    request_before: World, heard: str
) -> None:
    glance, mine, dropped = Glance(), request_before.mine, frozenset({"c:7"})
    await find(request_before, glance, LISTING)
    await request_before.peer.invalidator.invalidate(SPACE, dropped, "elsewhere")
    match heard:
        case "here":
            await mine.invalidator.invalidate(SPACE, dropped, "write")
        case "from a peer":
            mine.invalidator.apply(SPACE, dropped)
        case _:
            mine.invalidator.lost()
    assert await find(request_before, glance, SHARED, OWN) == (None, None)


async def test_pitfall_22_while_invalidations_are_not_heard_nothing_is_foreseen(
    request_before: World,
) -> None:
    glance = Glance()
    await find(request_before, glance, LISTING)
    request_before.bus.trusted = False
    await request_before.peer.invalidator.invalidate(SPACE, frozenset({"c:7"}), "elsewhere")
    assert await find(request_before, glance, SHARED, OWN) == (None, None)
    request_before.store.calls.clear()
    await read(request_before, Glance())
    assert request_before.store.calls == ["load", "load"]


async def test_pitfall_23_a_store_that_failed_is_asked_again(request_before: World) -> None:
    glance = Glance()
    request_before.store.failing = {"load"}
    assert await find(request_before, glance, LISTING) == (None,)
    request_before.store.failing = set()
    assert await find(request_before, glance, SHARED, OWN) == (Found(RELATED, Tier.L2), None)


async def test_a_token_that_is_refused_leaves_nothing_behind(request_before: World) -> None:
    refused = frozenset({tagging.token(digest_of(TOKEN))})
    assert len(request_before.mine.memory) > 0
    await request_before.mine.invalidator.invalidate(SPACE, refused, "refused")
    await request_before.mine.invalidator.invalidate(SPACE, frozenset({"c:7"}), "write")
    assert len(request_before.mine.memory) == 0


async def test_what_is_in_process_is_not_asked_for_ahead(request_before: World) -> None:
    request_before.mine.cache._max_age_s = 60.0
    await read(request_before, Glance())
    request_before.mine.memory.drop(SPACE, {"r:profiles"})
    request_before.store.calls.clear()
    glance = Glance()
    await find(request_before, glance, LISTING)
    assert glance.take((OWN,), request_before.mine.memory.ticket()) is not None
    assert glance.take((SHARED,), request_before.mine.memory.ticket()) is None
    assert await find(request_before, glance, SHARED) == (Found(RELATED, Tier.L1),)
