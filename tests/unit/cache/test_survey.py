"""What a request will want is asked for with what it wants first, and is good while it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from bff.cache.entry import Entry
from bff.cache.tiered import SEEN_S, Found, Seen, Tier, Want
from tests.support.cache_process import SPACE, private, profiles, related
from tests.unit.cache.conftest import World
from tests.unit.cache.documents import LIST, OTHER, RELATED, TOKEN, keep

LISTING, SHARED, OWN = profiles(TOKEN), related(7), private(TOKEN, "related")
EVERY = (LISTING, SHARED, OWN)
ABOUT_EIGHT = Entry(200, b'{"RelatedProfiles":[{"Id":8}]}', 1e6, ("c:8", "r:related"))
NOTHING = (None, None)


@pytest.fixture
async def stored(world: World) -> World:
    """The documents are in the shared store, and nothing of it is used in process."""
    world.mine.cache._max_age_s = 0.0
    await keep(world.peer, LISTING)
    await keep(world.peer, SHARED, RELATED)
    world.store.calls.clear()
    return world


async def survey(world: World, wants: Sequence[Want] = EVERY) -> Seen:
    return await world.mine.cache.survey(SPACE, wants)


async def find(world: World, seen: Seen | None, *wants: Want) -> tuple[Found | None, ...]:
    return (await world.mine.cache.find(SPACE, wants, seen)).values


async def test_the_questions_after_a_survey_are_answered_by_it(stored: World) -> None:
    seen = await survey(stored)
    assert await find(stored, seen, LISTING) == (Found(LIST, Tier.L2),)
    assert await find(stored, seen, SHARED, OWN) == (Found(RELATED, Tier.L2), None)
    assert stored.store.calls == ["load"]


async def test_the_ticket_is_of_the_question_that_was_asked(stored: World) -> None:
    seen = await survey(stored)
    second = await stored.mine.cache.find(SPACE, [OWN], seen)
    assert second.ticket == seen.ticket
    await stored.peer.invalidator.invalidate(SPACE, frozenset({"u:5"}), "elsewhere")
    assert not await stored.mine.fill(second.ticket, OWN, RELATED, "c:7", "u:5")


async def test_what_was_not_surveyed_is_asked_for(stored: World) -> None:
    await keep(stored.peer, related(8), ABOUT_EIGHT)
    seen = await survey(stored)
    stored.store.calls.clear()
    assert await find(stored, seen, related(8)) == (Found(ABOUT_EIGHT, Tier.L2),)
    assert await find(stored, seen, SHARED, related(8)) == (
        Found(RELATED, Tier.L2), Found(ABOUT_EIGHT, Tier.L2),
    )  # fmt: skip
    assert stored.store.calls == ["load", "load"]


async def test_pitfall_1_what_was_seen_for_one_token_is_not_there_for_another(
    stored: World,
) -> None:
    seen = await survey(stored)
    assert seen.of((profiles(OTHER),)) is None
    assert await find(stored, seen, profiles(OTHER), private(OTHER, "related")) == NOTHING


async def test_who_looks_without_it_wants_to_know_anew(stored: World) -> None:
    await survey(stored)
    for _ in range(2):
        assert await find(stored, None, LISTING) == (Found(LIST, Tier.L2),)
    assert stored.store.calls == ["load"] * 3


@pytest.mark.parametrize("heard", ["here", "from a peer", "that the channel was lost"])
async def test_pitfall_14_nothing_is_shown_from_before_an_invalidation(
    stored: World, heard: str
) -> None:
    seen, mine, dropped = await survey(stored), stored.mine, frozenset({"c:7"})
    await stored.peer.invalidator.invalidate(SPACE, dropped, "elsewhere")
    match heard:
        case "here":
            await mine.invalidator.invalidate(SPACE, dropped, "write")
        case "from a peer":
            mine.invalidator.apply(SPACE, dropped)
        case _:
            mine.invalidator.lost()
    assert await find(stored, seen, SHARED, OWN) == NOTHING


async def test_pitfall_22_while_invalidations_are_not_heard_nothing_is_surveyed(
    stored: World,
) -> None:
    seen = await survey(stored)
    stored.bus.trusted = False
    await stored.peer.invalidator.invalidate(SPACE, frozenset({"c:7"}), "elsewhere")
    assert await find(stored, seen, SHARED, OWN) == NOTHING
    stored.store.calls.clear()
    assert not (await survey(stored)).names
    assert stored.store.calls == []


async def test_pitfall_23_a_store_that_failed_is_asked_again(stored: World) -> None:
    stored.store.failing = {"load"}
    seen = await survey(stored)
    assert not seen.names
    stored.store.failing = set()
    assert await find(stored, seen, SHARED, OWN) == (Found(RELATED, Tier.L2), None)


async def test_pitfall_23_what_only_stood_in_is_asked_for_again(stored: World) -> None:
    stored.mine.cache._stand_in_s = 3600.0
    wants = (LISTING, SHARED)
    assert (await survey(stored, wants)).names
    stored.store.failing = {"load"}
    copies = await find(stored, None, *wants)
    assert [copy is not None and copy.stands_in for copy in copies] == [True, True]
    seen = await survey(stored, wants)
    assert not seen.names
    stored.store.failing = set()
    assert await find(stored, seen, SHARED) == (Found(RELATED, Tier.L2),)


async def test_what_is_in_process_is_not_asked_for(stored: World) -> None:
    stored.mine.cache._max_age_s = 60.0
    await survey(stored)
    stored.store.calls.clear()
    seen = await survey(stored, (LISTING, SHARED))
    assert seen.of((SHARED,)) is not None
    assert stored.store.calls == []
    stored.store.failing = {"load"}
    assert not (await survey(stored)).names, "half of it was not to be had"


async def test_it_is_not_gone_by_for_long(stored: World) -> None:
    """The list may have taken its time, and another process have stored what belongs to it."""
    seen = await survey(stored, (LISTING, related(8)))
    await keep(stored.peer, related(8), ABOUT_EIGHT)
    assert await find(stored, seen, related(8)) == (None,)
    await stored.time.advance(SEEN_S)
    assert await find(stored, seen, related(8)) == (Found(ABOUT_EIGHT, Tier.L2),)


async def test_a_copy_that_came_since_is_used_instead(stored: World) -> None:
    seen = await survey(stored)
    stored.mine.cache._max_age_s = 60.0
    newer = replace(RELATED, fetched_at=RELATED.fetched_at + 1)
    assert await stored.mine.fill(seen.ticket, SHARED, newer, *RELATED.tags)
    assert await find(stored, seen, SHARED) == (Found(newer, Tier.L1),)
