"""A copy in process whose time is over, and what the shared store says of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bff.cache import tags as tagging
from bff.cache.entry import Entry
from bff.cache.envelope import Binding, Sealer
from bff.cache.tiered import Fill, Found, Kept, Tier, Want
from tests.support.cache_process import (
    KEYSPACE,
    SPACE,
    digest_of,
    profiles,
    proof,
    related,
)
from tests.unit.cache.conftest import World
from tests.unit.cache.documents import LIST, OTHER, PROOF, RELATED, TOKEN, found, keep

NEWER = replace(LIST, body=b'{"Profiles":[{"Id":102}]}', fetched_at=2e6)


@pytest.fixture
def opened(world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses of what `world.mine` opened. Its copies last for no time, but may stand in."""
    world.mine.cache._max_age_s = 0.0
    world.mine.cache._stand_in_s = 3600.0
    addresses: list[str] = []
    real = Sealer.open

    def opening(self: Sealer, sealed: bytes, binding: Binding) -> bytes:
        addresses.append(binding.address)
        return real(self, sealed, binding)

    monkeypatch.setattr(Sealer, "open", opening)
    return addresses


def same(one: Found | None, other: Found | None) -> bool:
    """Not only equal: nothing was made anew."""
    return one is not None and other is not None and one.value is other.value


def body_of(value: Found | None) -> bytes | None:
    return value.value.body if value is not None and isinstance(value.value, Entry) else None


async def stored(world: World, want: Want) -> bytes:
    address = want.address
    value = await world.redis.hget(KEYSPACE.container(address.container), address.field)
    assert isinstance(value, bytes)
    return value


async def store(world: World, want: Want, value: bytes) -> None:
    address = want.address
    await world.redis.hset(KEYSPACE.container(address.container), address.field, value)


async def test_what_the_store_still_holds_is_opened_once(world: World, opened: list[str]) -> None:
    ticket = await world.peer.cache.begin(SPACE)
    fills = [Fill(profiles(TOKEN), LIST, LIST.tags), Fill(proof(TOKEN), PROOF, ("u:5",))]
    assert await world.peer.cache.keep(ticket, fills, 60) is Kept.EVERYWHERE
    wants = [profiles(TOKEN), proof(TOKEN)]
    first = (await world.mine.cache.find(SPACE, wants)).values
    world.store.calls.clear()
    for _ in range(3):
        again = (await world.mine.cache.find(SPACE, wants)).values
        assert again == first == (Found(LIST, Tier.L2), Found(PROOF, Tier.L2))
        assert [same(again[at], first[at]) for at in range(2)] == [True, True]
    assert len(opened) == 2
    assert world.store.calls == ["load"] * 3, "the store is asked each time all the same"


async def test_its_time_begins_anew(world: World, opened: list[str]) -> None:
    await keep(world.peer, profiles(TOKEN))
    await found(world.mine, profiles(TOKEN))
    world.mine.cache._max_age_s = 60.0
    before = world.time.monotonic()
    await world.time.advance(30)
    again = await found(world.mine, profiles(TOKEN))
    assert again is not None and again.expires == before + 90
    assert await found(world.mine, profiles(TOKEN)) == Found(LIST, Tier.L1)
    assert len(opened) == 1


async def test_what_another_process_fetched_since_is_found(world: World, opened: list[str]) -> None:
    for value in (LIST, NEWER, LIST):
        await keep(world.peer, profiles(TOKEN), value)
        assert body_of(await found(world.mine, profiles(TOKEN))) == value.body
    assert len(opened) == 3


async def test_the_same_document_sealed_anew_is_another_value(
    world: World, opened: list[str]
) -> None:
    for _ in range(3):
        await keep(world.peer, profiles(TOKEN))
        assert await found(world.mine, profiles(TOKEN)) == Found(LIST, Tier.L2)
    assert len(opened) == 3


@pytest.mark.parametrize("tag", ["r:profiles", "u:5", tagging.token(digest_of(TOKEN))])
async def test_pitfall_14_a_drop_that_was_not_heard_is_obeyed(
    world: World, opened: list[str], tag: str
) -> None:
    await keep(world.peer, profiles(TOKEN))
    assert await found(world.mine, profiles(TOKEN)) is not None
    await world.peer.invalidator.invalidate(SPACE, frozenset({tag}), "elsewhere")
    assert len(world.mine.memory) == 1, "it was not heard here"
    assert await found(world.mine, profiles(TOKEN)) is None


async def test_pitfall_2_a_withdrawn_proof_is_not_found_again(
    world: World, opened: list[str]
) -> None:
    assert await world.peer.put(proof(TOKEN), PROOF, "u:5")
    assert await found(world.mine, proof(TOKEN)) == Found(PROOF, Tier.L2)
    withdrawn = frozenset({tagging.proof(digest_of(TOKEN))})
    await world.peer.invalidator.invalidate(SPACE, withdrawn, "elsewhere")
    assert await found(world.mine, proof(TOKEN)) is None


@pytest.mark.parametrize(
    "alter",
    [
        lambda value: value.replace(b" u:5\n", b"\n"),
        lambda value: value.replace(b"u:5", b"u:6"),
        lambda value: value.replace(value.split(b" ")[0], b"9999999999999999", 1),
        lambda value: value[:-1] + bytes((value[-1] ^ 1,)),
        lambda value: value[:-17],
        lambda value: value.partition(b"\n")[0] + b"\n",
        lambda _: b"1 \n",
        lambda _: b"",
    ],
)
async def test_an_altered_value_is_as_good_as_absent_to_who_has_a_copy_too(
    world: World, opened: list[str], alter: Callable[[bytes], bytes]
) -> None:
    await keep(world.peer, profiles(OTHER), replace(LIST, tags=("r:profiles", "u:6")))
    await keep(world.peer, profiles(TOKEN))
    assert await found(world.mine, profiles(TOKEN)) is not None
    await store(world, profiles(TOKEN), alter(await stored(world, profiles(TOKEN))))
    assert await found(world.mine, profiles(TOKEN)) is None


async def test_pitfall_8_a_copy_of_one_name_says_nothing_of_another(
    world: World, opened: list[str]
) -> None:
    await keep(world.peer, profiles(TOKEN))
    await keep(world.peer, related(7), RELATED)
    mine, shared = await stored(world, profiles(TOKEN)), await stored(world, related(7))
    for want in (profiles(TOKEN), related(7)):
        assert await found(world.mine, want) is not None
    for want, value in (
        (profiles(OTHER), mine),
        (related(7, "fr"), shared),
        (related(8), shared),
        (related(7), mine),
        (profiles(TOKEN), shared),
    ):
        await store(world, want, value)
        assert await found(world.mine, want) is None


async def test_what_this_process_fetched_itself_is_not_taken_for_what_is_stored(
    world: World, opened: list[str]
) -> None:
    """Its save may have been refused or overtaken: only what was opened is known to be there."""
    await keep(world.peer, profiles(TOKEN))
    world.store.refusing = {"save"}
    await keep(world.mine, profiles(TOKEN), NEWER)
    world.store.refusing = set()
    assert body_of(await found(world.mine, profiles(TOKEN))) == LIST.body


async def test_a_copy_from_before_the_channel_was_lost_serves_once_the_store_has_confirmed_it(
    world: World, opened: list[str]
) -> None:
    await keep(world.peer, profiles(TOKEN))
    first = await found(world.mine, profiles(TOKEN))
    world.mine.invalidator.lost()
    world.bus.trusted = False
    again = await found(world.mine, profiles(TOKEN))
    assert again == first == Found(LIST, Tier.L2)
    assert len(opened) == 1
    await world.peer.invalidator.invalidate(SPACE, frozenset({"u:5"}), "elsewhere")
    assert await found(world.mine, profiles(TOKEN)) is None
