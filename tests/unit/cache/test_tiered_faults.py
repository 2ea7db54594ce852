"""Both tiers while the store fails, or while invalidations cannot be heard."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace

import pytest

from bff.cache.entry import Entry
from bff.cache.envelope import MAX_PLAIN_BYTES, Sealer
from bff.cache.guarded import FAILURES_TO_OPEN, PROBE_S
from bff.cache.secrets import Keyring
from bff.cache.tiered import ISOLATED_MAX_AGE_S, Fill, Found, Kept, Tier, TieredCache, Want
from tests.support.cache_process import (
    KEYSPACE,
    SECRET,
    SPACE,
    entry,
    profiles,
    proof,
    related,
    until,
)
from tests.unit.cache.conftest import World
from tests.unit.cache.documents import (
    LIST,
    PROOF,
    RELATED,
    TOKEN,
    found,
    keep,
)

LISTING = profiles(TOKEN)


async def test_pitfall_23_a_store_that_fails_is_a_miss_and_never_an_error(world: World) -> None:
    await keep(world.peer, profiles(TOKEN))
    world.store.fail_all()
    for _ in range(FAILURES_TO_OPEN + 2):
        findings = await world.mine.cache.find(SPACE, [profiles(TOKEN)])
        assert findings.values == (None,)
        assert findings.ticket.stamp is None
    assert not world.mine.guarded.available
    assert (await world.mine.cache.begin(SPACE)).stamp is None


@pytest.mark.parametrize("failing", [{"load"}, {"save"}, {"load", "save"}])
async def test_pitfall_23_what_the_store_did_not_take_is_kept_in_process(
    world: World, failing: set[str]
) -> None:
    world.store.failing = failing
    assert await keep(world.mine, profiles(TOKEN))
    assert await found(world.mine, profiles(TOKEN)) == Found(LIST, Tier.L1)
    assert await found(world.peer, profiles(TOKEN)) is None


async def kept(world: World, want: Want = LISTING, value: Entry = LIST) -> Kept:
    ticket = await world.mine.cache.begin(SPACE)
    return await world.mine.cache.keep(ticket, [Fill(want, value, value.tags)], 60)


async def test_pitfall_23_where_a_document_was_kept_is_told_as_far_as_it_is_known(
    world: World,
) -> None:
    assert await kept(world) is Kept.EVERYWHERE
    world.store.failing = {"save"}  # as after a timeout: it may be there
    assert await kept(world) is Kept.UNHEARD
    world.store.failing, world.store.refusing = set(), {"save"}
    assert await kept(world) is Kept.HERE
    world.store.refusing = {"load"}
    assert await kept(world) is Kept.HERE
    world.store.refusing = set()
    world.mine.memory.max_bytes = 2 * MAX_PLAIN_BYTES
    assert await kept(world, value=entry(bytes(MAX_PLAIN_BYTES), *LIST.tags)) is Kept.HERE
    ticket = await world.mine.cache.begin(SPACE)
    await world.peer.invalidator.invalidate(SPACE, frozenset({"u:5"}), "elsewhere")
    fills = [Fill(LISTING, LIST, LIST.tags)]
    assert await world.mine.cache.keep(ticket, fills, 60) is Kept.NOWHERE
    await lose_the_store(world)
    calls = list(world.store.calls)
    assert await kept(world) is Kept.HERE
    assert world.store.calls == calls, "it was not asked"


@pytest.mark.parametrize("want", [LISTING, proof(TOKEN)])
async def test_what_a_full_store_has_kept_replaces_nothing_newer(world: World, want: Want) -> None:
    old, new = (replace(LIST, fetched_at=at) for at in (1e6, 1e6 + 1))
    if want is not LISTING:
        old, new = (replace(PROOF, accepted_at=at) for at in (1e6, 1e6 + 1))  # type: ignore[assignment]
    await world.peer.put(want, old, *LIST.tags)
    world.store.held, world.store.refusing = {"load"}, {"save"}
    before = asyncio.create_task(found(world.mine, want))
    await until(lambda: world.store.calls == ["load"])
    # Fetched while the answer with the older one is on its way.
    fills = [Fill(want, new, LIST.tags)]
    ticket = world.mine.cache.unstamped()
    assert await world.mine.cache.keep(ticket, fills, 60) is Kept.HERE
    world.store.release.set()
    assert await before == Found(new, Tier.L1)
    look = await world.mine.cache.look(SPACE, [want])
    assert look.values == (Found(new, Tier.L1),)
    assert await found(world.mine, want) == Found(new, Tier.L1)
    # But while it may not be used, it does not decide.
    world.bus.trusted = False
    assert await found(world.mine, want) == Found(old, Tier.L2)


async def test_a_document_too_large_to_seal_is_kept_in_process_only(world: World) -> None:
    large = entry(bytes(MAX_PLAIN_BYTES), *LIST.tags)
    world.mine.memory.max_bytes = 2 * MAX_PLAIN_BYTES
    assert await keep(world.mine, profiles(TOKEN), large)
    assert await found(world.mine, profiles(TOKEN)) == Found(large, Tier.L1)
    assert "save" not in world.store.calls


async def test_a_refused_save_is_kept_nowhere(world: World) -> None:
    ticket = await world.mine.cache.begin(SPACE)
    await world.redis.delete(KEYSPACE.base(SPACE) + "clock")
    assert not await world.mine.fill(ticket, profiles(TOKEN), LIST, *LIST.tags)
    assert len(world.mine.memory) == 0


# When copies in process may be served


async def test_copies_are_served_no_longer_than_their_cap(world: World) -> None:
    await keep(world.mine, profiles(TOKEN))
    await world.time.advance(59.9)
    assert (await found(world.mine, profiles(TOKEN))) == Found(LIST, Tier.L1)
    await world.time.advance(0.1)
    assert (await found(world.mine, profiles(TOKEN))) == Found(LIST, Tier.L2)


async def test_pitfall_22_while_the_channel_is_silent_the_store_is_asked(world: World) -> None:
    await keep(world.mine, profiles(TOKEN))
    world.bus.trusted = False
    assert not world.mine.cache.memory_usable
    assert await found(world.mine, profiles(TOKEN)) == Found(LIST, Tier.L2)
    await world.peer.invalidator.invalidate(SPACE, frozenset({"u:5"}), "elsewhere")
    assert await found(world.mine, profiles(TOKEN)) is None


async def lose_the_store(world: World) -> None:
    world.bus.trusted = False
    world.store.fail_all()
    for _ in range(FAILURES_TO_OPEN):
        await world.mine.cache.begin(SPACE)
    assert not world.mine.guarded.available


async def test_pitfall_23_alone_a_process_serves_its_own_copies_for_a_short_time(
    world: World,
) -> None:
    await lose_the_store(world)
    assert world.mine.cache.memory_usable
    assert await keep(world.mine, profiles(TOKEN))
    world.store.failing.add("ping")
    await world.time.advance(ISOLATED_MAX_AGE_S - 0.1)
    assert await found(world.mine, profiles(TOKEN)) == Found(LIST, Tier.L1)
    await world.time.advance(0.1)
    assert await found(world.mine, profiles(TOKEN)) is None


async def test_pitfall_22_copies_made_while_invalidations_were_not_heard_are_never_served(
    world: World,
) -> None:
    world.bus.trusted = False
    assert await keep(world.mine, profiles(TOKEN))
    assert await keep(world.mine, related(7), RELATED)
    await found(world.mine, related(7))
    await world.peer.invalidator.invalidate(SPACE, frozenset({"u:5", "c:7"}), "elsewhere")
    await lose_the_store(world)
    assert await found(world.mine, profiles(TOKEN)) is None
    assert await found(world.mine, related(7)) is None


async def test_the_store_is_used_again_once_it_answers(world: World) -> None:
    await lose_the_store(world)
    await keep(world.mine, profiles(TOKEN))
    world.store.failing.clear()
    await world.time.advance(PROBE_S)
    await until(lambda: world.mine.guarded.available)
    assert not world.mine.cache.memory_usable
    assert await keep(world.mine, profiles(TOKEN))
    assert await found(world.mine, profiles(TOKEN)) == Found(LIST, Tier.L2)


async def test_a_short_cap_stays_short_when_alone(world: World) -> None:
    cache = TieredCache(
        world.mine.guarded,
        world.mine.memory,
        Sealer(Keyring((SECRET,)), os.urandom),
        world.time,
        max_age_s=1.0,
    )
    cache.bus = world.bus
    now = world.time.monotonic()
    assert cache.hold("v", 1, frozenset()).expires == now + 1.0
    await lose_the_store(world)
    assert cache.hold("v", 1, frozenset()).expires == now + 1.0
