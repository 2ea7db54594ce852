"""Both tiers as one: what is found where, what is kept where, and what is refused by both."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from bff.cache import patience
from bff.cache import tags as tagging
from bff.cache.entry import Entry
from bff.cache.envelope import Binding, Sealer
from bff.cache.keys import Address, Container, Scope
from bff.cache.secrets import Keyring
from bff.cache.tiered import Fill, Found, Kept, Tier, Want
from tests.support.cache_process import (
    KEYSPACE,
    SECRET,
    SPACE,
    Setting,
    assemble,
    digest_of,
    entry,
    everything_in,
    private,
    profiles,
    proof,
    related,
    until,
)
from tests.unit.cache.conftest import World
from tests.unit.cache.documents import (
    LIST,
    OTHER,
    PROOF,
    RELATED,
    TOKEN,
    found,
    keep,
)

OLD_SECRET = b"the secret that is being replaced, long"


async def test_nothing_is_found_before_anything_is_kept(world: World) -> None:
    assert await found(world.mine, profiles(TOKEN)) is None


async def test_what_is_kept_is_found_in_process_without_asking_the_store(world: World) -> None:
    assert await keep(world.mine, profiles(TOKEN))
    world.store.calls.clear()
    assert await found(world.mine, profiles(TOKEN)) == Found(LIST, Tier.L1)
    assert world.store.calls == []


@pytest.mark.parametrize(("room", "stored"), [(0, False), (500, False), (8_000_000, True)])
async def test_what_has_no_room_in_process_is_kept_in_the_store(
    world: World, room: int, stored: bool
) -> None:
    world.mine.memory.max_bytes = room
    ticket, want = await world.mine.cache.begin(SPACE), profiles(TOKEN)
    fills = [Fill(want, LIST, LIST.tags)]
    assert await world.mine.cache.keep(ticket, fills, 60) is Kept.EVERYWHERE
    assert (len(world.mine.memory) == 1) is stored
    assert await found(world.peer, want) == Found(LIST, Tier.L2)
    alone = replace(ticket, stamp=None)
    kept = await world.mine.cache.keep(alone, fills, 60)
    assert kept is (Kept.HERE if stored else Kept.NOWHERE)


async def test_copies_may_be_had_before_the_store_has_answered(world: World) -> None:
    ticket, want = await world.mine.cache.begin(SPACE), profiles(TOKEN)
    fills = [Fill(want, LIST, LIST.tags)]
    under_way, world.store.held = asyncio.Event(), {"save"}
    keeping = asyncio.create_task(world.mine.cache.keep(ticket, fills, 60, under_way=under_way.set))
    await under_way.wait()
    assert await found(world.mine, want) == Found(LIST, Tier.L1)
    assert not keeping.done()
    world.store.release.set()
    assert await keeping is Kept.EVERYWHERE


async def test_pitfall_14_what_the_store_refuses_goes_with_all_that_was_made_of_it(
    world: World,
) -> None:
    """Though what overtook it has yet to be heard of, and only that document's goes."""
    cache, memory = world.mine.cache, world.mine.memory
    ticket, want = await cache.begin(SPACE), profiles(TOKEN)
    await keep(world.mine, profiles(OTHER))
    await world.peer.invalidator.invalidate(SPACE, frozenset({"u:5"}), "elsewhere")
    made_of_it = frozenset({(SPACE, want.address.container.label)})

    def made() -> None:
        assert memory.put("answer", cache.hold(b"", 1, made_of_it), memory.ticket())

    kept = await cache.keep(ticket, [Fill(want, LIST, LIST.tags)], 60, under_way=made)
    assert kept is Kept.NOWHERE
    assert memory.peek("answer") is None
    assert await found(world.mine, want) is None
    assert memory.peek(profiles(OTHER).key) is not None


async def test_pitfall_14_a_ticket_is_of_before_the_store_was_asked_for_it(world: World) -> None:
    """What is dropped here meanwhile may have been known to the store before."""
    cache, world.store.held = world.mine.cache, {"load"}
    beginning = asyncio.create_task(cache.begin(SPACE))
    await until(lambda: "load" in world.store.calls)
    world.mine.memory.drop(SPACE, ["u:5"])
    world.store.release.set()
    ticket = await beginning
    kept = await cache.keep(ticket, [Fill(profiles(TOKEN), LIST, LIST.tags)], 60)
    assert kept is Kept.NOWHERE


async def test_pitfall_02_what_is_refused_before_it_is_stored_is_not_stored(world: World) -> None:
    """Whether or not the store took the refusal, which may be delivered to it much later."""
    cache, want = world.mine.cache, profiles(TOKEN)
    ticket, told = await cache.begin(SPACE), asyncio.Event()
    fills = [Fill(want, LIST, LIST.tags)]
    keeping = asyncio.create_task(cache.keep(ticket, fills, 60, under_way=told.set))
    await told.wait()
    world.store.refusing = {"invalidate"}
    label = want.address.container.label
    await world.mine.invalidator.invalidate(SPACE, frozenset({label}), "token_refused")
    assert await keeping is Kept.NOWHERE
    assert await found(world.mine, want) is None


@pytest.mark.parametrize("how", ["no room", "room for the proof", "not trusted", "no time"])
async def test_what_cannot_be_had_here_is_not_under_way_before_it_is_stored(
    how: str, world: World
) -> None:
    """Whoever asks next would find it in neither tier."""
    match how:
        case "no room":
            world.mine.memory.max_bytes = 0
        case "room for the proof":
            world.mine.memory.max_bytes = 5_000
        case "not trusted":
            world.bus.trusted = False
        case "no time":
            world.mine.cache._max_age_s = 0.0
    ticket, called = await world.mine.cache.begin(SPACE), list[str]()
    listed = entry(b'{"Profiles":[%s]}' % (b" " * 5_000), *LIST.tags)
    fills = [Fill(profiles(TOKEN), listed, LIST.tags), Fill(proof(TOKEN), PROOF, ("u:5",))]
    kept = await world.mine.cache.keep(ticket, fills, 60, under_way=lambda: called.append("now"))
    assert (kept, called) == (Kept.EVERYWHERE, [])


@pytest.mark.parametrize(("room", "kept"), [(0, Kept.NOWHERE), (8_000_000, Kept.HERE)])
async def test_what_the_store_has_no_room_for_is_kept_here_or_nowhere(
    room: int, kept: Kept, world: World
) -> None:
    world.mine.memory.max_bytes, world.store.refusing = room, {"save"}
    ticket, fills = await world.mine.cache.begin(SPACE), [Fill(profiles(TOKEN), LIST, LIST.tags)]
    assert await world.mine.cache.keep(ticket, fills, 60) is kept


@pytest.mark.parametrize("is_heard", [True, False])
async def test_what_the_store_refuses_leaves_what_is_from_after_the_invalidation(
    is_heard: bool, world: World
) -> None:
    cache, want, held = world.mine.cache, profiles(TOKEN), asyncio.Event()
    ticket, dropped = await cache.begin(SPACE), frozenset({"u:5"})
    newer = entry(b'{"Profiles":[]}', *LIST.tags, fetched_at=LIST.fetched_at + 1)
    await world.peer.invalidator.invalidate(SPACE, dropped, "elsewhere")
    world.store.held = {"save"}
    fills = [Fill(want, LIST, LIST.tags)]
    keeping = asyncio.create_task(cache.keep(ticket, fills, 60, under_way=held.set))
    await held.wait()
    if is_heard:
        world.mine.invalidator.apply(SPACE, dropped)
        world.store.held = set()
        await keep(world.mine, want, newer)
    world.store.release.set()
    assert await keeping is Kept.NOWHERE
    copy = world.mine.memory.peek(want.key)
    assert (copy.value if copy else None) == (newer if is_heard else None)


@pytest.mark.parametrize(("room", "left_s"), [(0, 0.0), (8_000_000, 1.0)])
async def test_a_store_that_is_silent_takes_patience_only_of_who_waits_for_it(
    room: int, left_s: float, world: World
) -> None:
    world.mine.memory.max_bytes = room
    ticket, fills = await world.mine.cache.begin(SPACE), [Fill(profiles(TOKEN), LIST, LIST.tags)]
    never = asyncio.get_running_loop().create_future()

    async def save(*_: object, **__: object) -> bool:
        await patience.wait(never, 0.03)
        return True

    with patience.limited(1.0), pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.store, "save", save)
        kept = await world.mine.cache.keep(ticket, fills, 60)
        allowance = patience.current()
        assert (kept, allowance and allowance.left_s()) == (Kept.UNHEARD, left_s)


@pytest.mark.parametrize("stamped", [True, False])
async def test_what_was_overtaken_is_neither_kept_nor_called_under_way(
    stamped: bool, world: World
) -> None:
    cache, called = world.mine.cache, list[str]()
    ticket = await cache.begin(SPACE) if stamped else cache.unstamped()
    world.mine.memory.drop(SPACE, ("u:5",))
    fills = [Fill(profiles(TOKEN), LIST, LIST.tags)]
    kept = await cache.keep(ticket, fills, 60, under_way=lambda: called.append("under way"))
    assert (kept, called, "save" in world.store.calls) == (Kept.NOWHERE, [], False)
    assert world.mine.memory.peek(profiles(TOKEN).key) is None


async def test_another_process_finds_it_in_the_store_and_keeps_it_in_process(world: World) -> None:
    await keep(world.peer, profiles(TOKEN))
    assert await found(world.mine, profiles(TOKEN)) == Found(LIST, Tier.L2)
    assert await found(world.mine, profiles(TOKEN)) == Found(LIST, Tier.L1)
    assert world.store.calls == ["load"]


async def test_only_what_is_missing_in_process_is_asked_for(world: World) -> None:
    await keep(world.mine, profiles(TOKEN))
    await keep(world.peer, related(7), RELATED)
    findings = await world.mine.cache.find(SPACE, [related(8), profiles(TOKEN), related(7)])
    tiers = [value and value.tier for value in findings.values]
    assert tiers == [None, Tier.L1, Tier.L2]
    assert findings.ticket.stamp is not None


async def test_a_find_that_asked_no_store_gives_a_ticket_without_a_stamp(world: World) -> None:
    await keep(world.mine, profiles(TOKEN))
    findings = await world.mine.cache.find(SPACE, [profiles(TOKEN)])
    assert findings.ticket.stamp is None


async def test_pitfall_1_another_token_finds_nothing(world: World) -> None:
    await keep(world.mine, profiles(TOKEN))
    assert await found(world.mine, profiles(OTHER)) is None
    assert await found(world.peer, profiles(OTHER)) is None


async def test_a_negative_answer_is_kept_as_well(world: World) -> None:
    gone = Entry(404, b"", 1e6, ("c:7", "r:related"), content_type="")
    assert await keep(world.peer, related(7), gone)
    assert await found(world.mine, related(7)) == Found(gone, Tier.L2)


async def test_a_proof_is_kept_beside_the_list_and_found_as_a_proof(world: World) -> None:
    ticket = await world.peer.cache.begin(SPACE)
    fills = [
        Fill(profiles(TOKEN), LIST, LIST.tags),
        Fill(proof(TOKEN), PROOF, ("r:proof", "u:5")),
    ]
    assert await world.peer.cache.keep(ticket, fills, 60) is Kept.EVERYWHERE
    for tier in (Tier.L2, Tier.L1):
        findings = await world.mine.cache.find(SPACE, [profiles(TOKEN), proof(TOKEN)])
        assert findings.values == (Found(LIST, tier), Found(PROOF, tier))


# Trust


async def test_pitfall_8_a_value_copied_under_another_name_never_opens(world: World) -> None:
    await keep(world.peer, profiles(TOKEN))
    await keep(world.peer, related(7), RELATED)
    mine, shared = profiles(TOKEN).address, related(7).address
    stored = await world.redis.hget(KEYSPACE.container(mine.container), mine.field)
    stored_shared = await world.redis.hget(KEYSPACE.container(shared.container), shared.field)
    for want, value in (
        (profiles(OTHER), stored),
        (private(TOKEN, "related"), stored),
        (proof(TOKEN), stored),
        (related(7, "fr"), stored_shared),
        (related(8), stored_shared),
        (related(7), stored),
        (profiles(TOKEN), stored_shared),
    ):
        assert value is not None
        name = KEYSPACE.container(want.address.container)
        await world.redis.hset(name, want.address.field, value)
        assert await found(world.mine, want) is None
    assert len(world.mine.memory) == 0


@pytest.mark.parametrize(
    "alter",
    [
        lambda value: value.replace(b" u:5\n", b"\n"),
        lambda value: value.replace(b"u:5", b"u:6"),
        lambda value: value.replace(b" u:5\n", b" u:5 u:6\n"),
        lambda value: value.replace(value.split(b" ")[0], b"9999999999999999", 1),
        lambda value: value[:-1],
        lambda value: value[:-1] + bytes((value[-1] ^ 1,)),
        lambda value: value.partition(b"\n")[0] + b"\n",
        lambda value: b"1 \n",
        lambda _: b"",
    ],
)
async def test_an_altered_value_is_as_good_as_absent_and_written_over(
    world: World, alter: Callable[[bytes], bytes]
) -> None:
    await keep(world.peer, profiles(TOKEN))
    await keep(world.peer, profiles(OTHER), replace(LIST, tags=("r:profiles", "u:6")))
    address = profiles(TOKEN).address
    name = KEYSPACE.container(address.container)
    stored = await world.redis.hget(name, address.field)
    assert isinstance(stored, bytes)
    await world.redis.hset(name, address.field, alter(stored))
    assert await found(world.mine, profiles(TOKEN)) is None
    assert await keep(world.mine, profiles(TOKEN))
    assert await world.redis.hget(name, address.field) != alter(stored)
    fresh = assemble(world.redis, "third", Setting(clock=world.time))
    assert await found(fresh, profiles(TOKEN)) == Found(LIST, Tier.L2)


async def test_a_sealed_value_of_another_form_is_as_good_as_absent(world: World) -> None:
    sealer = Sealer(Keyring((SECRET,)), os.urandom)
    await keep(world.peer, related(7), RELATED)
    address = related(7).address
    name = KEYSPACE.container(address.container)
    stored = await world.redis.hget(name, address.field)
    assert isinstance(stored, bytes)
    clear = stored.partition(b"\n")[0] + b"\n"
    sealed = sealer.seal(b"not an entry", Binding(address.text, clear, None))
    await world.redis.hset(name, address.field, clear + sealed)
    assert await found(world.mine, related(7)) is None


async def test_while_a_secret_is_replaced_what_the_old_one_sealed_is_found(world: World) -> None:
    old = assemble(world.redis, "old", Setting(clock=world.time, secrets=(OLD_SECRET,)))
    new = assemble(world.redis, "new", Setting(clock=world.time, secrets=(SECRET, OLD_SECRET)))
    mine = profiles(TOKEN, (OLD_SECRET,))
    both = profiles(TOKEN, (SECRET, OLD_SECRET))
    await keep(old, mine)
    await keep(old, related(7), RELATED)
    assert await found(new, both) == Found(LIST, Tier.L2)
    assert await found(new, both) == Found(LIST, Tier.L1)
    assert await found(new, related(7)) == Found(RELATED, Tier.L2)
    assert await keep(new, both)
    only_new = assemble(world.redis, "last", Setting(clock=world.time))
    assert await found(only_new, profiles(TOKEN)) == Found(LIST, Tier.L2)
    assert await found(only_new, related(7)) is None


async def test_under_two_secrets_the_value_of_the_writing_one_counts(world: World) -> None:
    old = assemble(world.redis, "old", Setting(clock=world.time, secrets=(OLD_SECRET,)))
    new = assemble(world.redis, "new", Setting(clock=world.time, secrets=(SECRET, OLD_SECRET)))
    both = profiles(TOKEN, (SECRET, OLD_SECRET))
    newer = replace(LIST, body=b"newer")
    await keep(new, both, newer)
    await keep(old, profiles(TOKEN, (OLD_SECRET,)))
    new.memory.forget()
    assert await found(new, both) == Found(newer, Tier.L2)


# Invalidation beats fills


DROPS = [
    "r:profiles",
    "u:5",
    tagging.token(digest_of(TOKEN)),
]


@pytest.mark.parametrize("tag", DROPS)
async def test_pitfall_14_a_fill_overtaken_in_process_is_refused_by_both_tiers(
    world: World, tag: str
) -> None:
    await keep(world.mine, profiles(TOKEN))
    ticket = await world.mine.cache.begin(SPACE)
    await world.mine.invalidator.invalidate(SPACE, frozenset({tag}), "test")
    world.store.calls.clear()
    assert not await world.mine.fill(ticket, profiles(TOKEN), LIST, *LIST.tags)
    assert world.store.calls == []
    assert await found(world.mine, profiles(TOKEN)) is None
    assert await found(world.peer, profiles(TOKEN)) is None
    assert await keep(world.mine, profiles(TOKEN))


@pytest.mark.parametrize("tag", DROPS)
async def test_pitfall_14_a_fill_overtaken_by_another_process_is_refused_by_both_tiers(
    world: World, tag: str
) -> None:
    await keep(world.mine, profiles(TOKEN))
    ticket = await world.mine.cache.begin(SPACE)
    # Its message has not been heard here yet: only the store knows.
    await world.peer.invalidator.invalidate(SPACE, frozenset({tag}), "test")
    world.mine.memory.forget()
    ticket = replace(ticket, memory=world.mine.memory.ticket())
    assert not await world.mine.fill(ticket, profiles(TOKEN), LIST, *LIST.tags)
    assert await found(world.mine, profiles(TOKEN)) is None


@pytest.mark.parametrize("tag", DROPS)
@pytest.mark.parametrize("when", ["before", "after"])
async def test_pitfall_14_a_fill_whose_store_could_not_be_asked_is_refused_all_the_same(
    world: World, tag: str, when: str
) -> None:
    if when == "before":
        world.store.failing = {"load"}
    ticket = await world.mine.cache.begin(SPACE)
    assert (ticket.stamp is None) == (when == "before")
    world.store.fail_all()
    await world.mine.invalidator.invalidate(SPACE, frozenset({tag}), "test")
    assert not await world.mine.fill(ticket, profiles(TOKEN), LIST, *LIST.tags)
    assert await found(world.mine, profiles(TOKEN)) is None
    assert len(world.mine.memory) == 0


async def test_pitfall_14_an_invalidation_between_save_and_keeping_is_not_overlooked(
    world: World,
) -> None:
    ticket = await world.mine.cache.begin(SPACE)
    world.store.held = {"save"}
    fill = asyncio.create_task(world.mine.fill(ticket, profiles(TOKEN), LIST, *LIST.tags))
    await until(lambda: "save" in world.store.calls)
    await world.mine.invalidator.invalidate(SPACE, frozenset({"u:5"}), "test")
    world.store.release.set()
    assert not await fill
    assert await found(world.mine, profiles(TOKEN)) is None
    assert await found(world.peer, profiles(TOKEN)) is None


async def test_pitfall_14_what_was_loaded_before_an_invalidation_is_not_kept_after_it(
    world: World,
) -> None:
    await keep(world.peer, profiles(TOKEN))
    world.store.held = {"load"}
    find = asyncio.create_task(world.mine.cache.find(SPACE, [profiles(TOKEN)]))
    await until(lambda: "load" in world.store.calls)
    await world.mine.invalidator.invalidate(SPACE, frozenset({"u:5"}), "test")
    world.store.release.set()
    findings = await find
    assert len(world.mine.memory) == 0
    assert not await world.mine.fill(findings.ticket, profiles(TOKEN), LIST, *LIST.tags)


async def test_dropping_a_proof_leaves_the_list_and_dropping_the_token_leaves_nothing(
    world: World,
) -> None:
    digest = digest_of(TOKEN)
    for tag, left in ((tagging.proof(digest), 1), (tagging.token(digest), 0)):
        ticket = await world.mine.cache.begin(SPACE)
        fills = [Fill(profiles(TOKEN), LIST, LIST.tags), Fill(proof(TOKEN), PROOF, ("u:5",))]
        assert await world.mine.cache.keep(ticket, fills, 60) is Kept.EVERYWHERE
        world.mine.invalidator.apply(SPACE, frozenset({tag}))
        assert len(world.mine.memory) == left
        await world.mine.invalidator.invalidate(SPACE, frozenset({tag}), "test")
        findings = await world.peer.cache.find(SPACE, [profiles(TOKEN), proof(TOKEN)])
        assert [value is not None for value in findings.values] == [left == 1, False]
        world.peer.memory.forget()


async def test_a_list_that_mentions_a_coworker_goes_with_it(world: World) -> None:
    await world.mine.put(related(7), RELATED, "c:7", "c:9", "r:related")
    await world.mine.invalidator.invalidate(SPACE, frozenset({"c:9"}), "test")
    assert await found(world.mine, related(7)) is None
    assert await found(world.peer, related(7)) is None


async def test_pitfall_6_nothing_at_rest_tells_a_token_or_a_person(world: World) -> None:
    token = "bearer-CANARY-token"
    body = b'{"User":{"AccessToken":,"FullName":"Ana CANARY Person"}}'
    with_secret = Entry(200, body, 1e6, ("r:profiles", "u:5"), secret_at=body.index(b',"Full'))
    assert token in with_secret.body_for(token).decode()
    await keep(world.mine, profiles(token), with_secret)
    await world.mine.put(proof(token), PROOF, "u:5")
    shared = entry(b'{"RelatedProfiles":[{"FullName":"Ana CANARY Person"}]}', "c:7")
    await keep(world.mine, related(7), shared)
    await world.mine.invalidator.invalidate(
        SPACE, frozenset({tagging.token(digest_of(token)), "u:9"}), "test"
    )
    await keep(world.mine, profiles(token), with_secret)
    await world.mine.guarded.remember(SPACE, "webhook-digest", 60)
    at_rest = await everything_in(world.redis)
    assert len(at_rest) > 8
    for text in at_rest:
        assert b"CANARY" not in text
        assert b"Ana" not in text
    shown = (repr(profiles(token)), repr(with_secret), repr(world.mine.cache))
    assert "CANARY" not in "".join(shown)


async def test_older_addresses_open_only_under_their_own_name(world: World) -> None:
    """A want names its older addresses itself: one that is not the token's opens nothing."""
    await keep(world.mine, profiles(TOKEN))
    stolen = Want(
        Address(Container(SPACE, Scope.TOKEN, "new"), "profiles", "", ""),
        (profiles(TOKEN).address,),
        OTHER,
    )
    world.mine.memory.forget()
    assert await found(world.mine, stolen) is None
