"""Dropping reaches this process, the store and all others, or is kept until it can."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator

import pytest

from bff import resources
from bff.cache import invalidation
from bff.cache.guarded import PROBE_S
from bff.cache.invalidation import AGAIN_S, EVERYTHING, Reach
from bff.errors import StoreUnavailable
from tests.support.cache_process import SPACE, entry, profiles, related, until
from tests.support.manual_time import settled
from tests.unit.cache.conftest import World

LIST = entry(b"list", "r:profiles", "u:5")
USER = frozenset({"u:5"})
LISTING = profiles("token")


def test_everything_is_what_the_declared_resources_carry() -> None:
    assert EVERYTHING == resources.ALL_TAGS


async def recovery(world: World) -> None:
    """Time for one probe, which succeeds."""
    await world.time.advance(PROBE_S)
    await until(lambda: world.mine.guarded.available)


async def keep(world: World) -> None:
    assert await world.mine.put(LISTING, LIST, *LIST.tags)


async def test_it_drops_here_and_in_the_store_and_waits_for_the_peers(world: World) -> None:
    await keep(world)
    await world.peer.get(LISTING)
    reach = await world.mine.invalidator.invalidate(SPACE, USER, "write")
    assert reach == Reach(stored=True, everywhere=True)
    assert len(world.bus.asked) == 1
    assert await world.mine.get(LISTING) is None
    world.peer.memory.forget()
    assert await world.peer.get(LISTING) is None


async def forget(world: World) -> None:
    """As a replica does that becomes the master before it has heard of the latest invalidation."""
    await keep(world)
    before = {name: await world.redis.dump(name) for name in await world.redis.keys("*")}
    await world.mine.invalidator.invalidate(SPACE, USER, "write")
    await world.redis.flushall()
    for name, kept in before.items():
        assert kept is not None
        await world.redis.restore(name, 0, kept)


async def test_pitfall_22_a_store_that_forgot_it_shows_nobody_what_is_from_before(
    world: World,
) -> None:
    await forget(world)
    assert await world.mine.get(LISTING) is None
    await recovery(world)
    assert await world.mine.get(LISTING) is None
    assert await world.peer.get(LISTING) is None


async def test_pitfall_22_what_is_dropped_next_does_not_hide_that_the_store_forgot(
    world: World,
) -> None:
    await forget(world)
    await world.mine.invalidator.invalidate(SPACE, frozenset({"k:invented"}), "token_refused")
    assert await world.mine.get(LISTING) is None
    await recovery(world)
    assert await world.mine.get(LISTING) is None
    assert await world.peer.get(LISTING) is None


async def test_pitfall_22_nor_does_what_was_pending_while_the_store_was_away(world: World) -> None:
    await forget(world)
    world.store.fail_all()
    await world.mine.invalidator.invalidate(SPACE, frozenset({"u:6"}), "write")
    world.store.failing.clear()
    await recovery(world)
    assert await world.mine.get(LISTING) is None
    assert await world.peer.get(LISTING) is None


async def test_peers_that_hang_are_told(world: World) -> None:
    world.bus.heard = False
    reach = await world.mine.invalidator.invalidate(SPACE, USER, "write")
    assert reach == Reach(stored=True, everywhere=False)


async def test_every_invalidation_is_observed_with_its_cause_and_reach(world: World) -> None:
    await world.mine.invalidator.invalidate(SPACE, USER, "write")
    world.store.fail_all()
    await world.mine.invalidator.invalidate("beta", USER, "webhook")
    assert world.mine.reports == [
        (SPACE, "write", Reach(stored=True, everywhere=True)),
        ("beta", "webhook", Reach(stored=False, everywhere=False)),
    ]


async def test_who_listens_hears_each_once_from_here_and_from_elsewhere(world: World) -> None:
    heard: list[tuple[str, frozenset[str]]] = []
    world.mine.invalidator.on_applied = lambda space, tags: heard.append((space, tags))
    await world.mine.invalidator.invalidate(SPACE, USER, "write")
    world.mine.invalidator.apply("beta", frozenset({"d:related"}))
    assert heard == [(SPACE, USER), ("beta", frozenset({"d:related"}))]


async def test_pitfall_14_no_caller_joins_a_flight_from_before(world: World) -> None:
    go = asyncio.Event()

    async def fetch() -> str:
        await go.wait()
        return "answer"

    flights = world.mine.flights
    before = asyncio.create_task(flights.run("k", SPACE, (), fetch))
    world.store.held = {"invalidate"}
    dropping = asyncio.create_task(world.mine.invalidator.invalidate(SPACE, USER, "write"))
    await until(lambda: "invalidate" in world.store.calls)
    during = asyncio.create_task(flights.run("k", SPACE, (), fetch))
    await settled()
    world.store.release.set()
    await dropping
    after = asyncio.create_task(flights.run("k", SPACE, (), fetch))
    await settled()
    go.set()
    landed = await asyncio.gather(before, during, after)
    assert [one.joined for one in landed] == [False, False, False]


async def test_when_the_channel_is_lost_nothing_from_before_is_served_or_joined(
    world: World,
) -> None:
    await keep(world)
    ticket = await world.mine.cache.begin(SPACE)
    assert world.mine.flights.start("k", SPACE, (), asyncio.Event().wait)
    world.mine.invalidator.lost()
    assert len(world.mine.memory) == 0
    assert world.mine.flights.start("k", SPACE, (), asyncio.Event().wait)
    assert not await world.mine.fill(ticket, LISTING, LIST, *LIST.tags)


# A store that does not take it


async def test_pitfall_23_what_the_store_did_not_take_is_delivered_before_it_is_used_again(
    world: World,
) -> None:
    await keep(world)
    world.store.fail_all()
    reach = await world.mine.invalidator.invalidate(SPACE, USER, "write")
    assert reach == Reach(stored=False, everywhere=False)
    assert world.mine.invalidator.pending == 1
    assert not world.mine.guarded.available
    assert await world.mine.get(LISTING) is None
    world.store.failing.clear()
    world.store.calls.clear()
    await recovery(world)
    assert world.store.calls == ["ping", "load", "invalidate"]
    assert world.mine.invalidator.pending == 0
    assert await world.mine.get(LISTING) is None
    world.peer.memory.forget()
    assert await world.peer.get(LISTING) is None


async def test_the_same_one_is_kept_once(world: World) -> None:
    world.store.fail_all()
    for _ in range(3):
        await world.mine.invalidator.invalidate(SPACE, USER, "write")
    await world.mine.invalidator.invalidate("beta", USER, "write")
    assert world.mine.invalidator.pending == 2


async def test_pitfall_14_what_a_read_only_store_gave_meanwhile_is_not_kept(world: World) -> None:
    """A demoted primary refuses the invalidation, and goes on answering loads with old values."""
    await world.peer.put(LISTING, LIST, *LIST.tags)
    world.store.failing = {"invalidate"}
    world.store.held = {"load"}
    dropping = asyncio.create_task(world.mine.invalidator.invalidate(SPACE, USER, "write"))
    reading = asyncio.create_task(world.mine.get(LISTING))
    await dropping
    world.store.release.set()
    await reading
    assert len(world.mine.memory) == 0
    assert await world.mine.get(LISTING) is None


async def test_pitfall_14_what_was_kept_while_the_store_was_asked_is_dropped_when_it_fails(
    world: World,
) -> None:
    await world.peer.put(LISTING, LIST, *LIST.tags)
    invalidator, store = world.mine.invalidator, world.mine.guarded
    asked = store.inner.invalidate
    kept: list[object] = []

    async def slow(space: str, tags: frozenset[str]) -> object:
        kept.append(await world.mine.get(LISTING))  # another request, meanwhile
        world.store.failing = {"invalidate"}
        return await asked(space, tags)

    store.inner.invalidate = slow  # type: ignore[method-assign,assignment]
    await invalidator.invalidate(SPACE, USER, "write")
    assert kept == [LIST]
    assert len(world.mine.memory) == 0


async def test_a_cancelled_caller_does_not_make_an_invalidation_forgotten(world: World) -> None:
    await world.peer.put(LISTING, LIST, *LIST.tags)
    world.store.held = {"invalidate"}
    dropping = asyncio.create_task(world.mine.invalidator.invalidate(SPACE, USER, "write"))
    await until(lambda: "invalidate" in world.store.calls)
    dropping.cancel()
    await asyncio.gather(dropping, return_exceptions=True)
    assert world.mine.invalidator.pending == 1
    world.store.held.clear()
    await recovery(world)
    assert world.store.calls[-2:] == ["ping", "invalidate"]


async def test_a_delivery_that_fails_half_way_is_taken_up_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invalidation, "BATCH", 1)
    world.store.fail_all()
    for user in range(4):
        await world.mine.invalidator.invalidate(SPACE, frozenset({f"u:{user}"}), "write")
    world.store.failing.clear()
    deliver = world.store.invalidate
    left = [True, True, False]

    async def sometimes(space: str, tags: frozenset[str]) -> object:
        if left and not left.pop(0):
            world.store.failing = {"invalidate"}
        return await deliver(space, tags)

    world.mine.guarded.inner.invalidate = sometimes  # type: ignore[method-assign,assignment]
    await world.time.advance(PROBE_S)
    await until(lambda: "invalidate" in world.store.failing)
    await settled()
    assert world.mine.invalidator.pending == 2
    assert not world.mine.guarded.available
    world.store.failing.clear()
    await recovery(world)
    assert world.mine.invalidator.pending == 0


def parts_taken(world: World, failing: int = 0) -> list[frozenset[str]]:
    """What the store is told to drop, by command, but for the one of that number, which fails."""
    taken: list[frozenset[str]] = []
    deliver, numbers = world.store.invalidate, itertools.count(1)

    async def told(space: str, tags: frozenset[str]) -> object:
        if next(numbers) == failing:
            raise StoreUnavailable("busy")
        taken.append(tags)
        return await deliver(space, tags)

    world.mine.guarded.inner.invalidate = told  # type: ignore[method-assign,assignment]
    return taken


MANY = frozenset(f"u:{user}" for user in range(7))


async def test_pitfall_23_many_tags_are_dropped_by_commands_that_take_no_longer_each(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invalidation, "AT_ONCE", 3, raising=False)
    await keep(world)
    taken = parts_taken(world)
    reach = await world.mine.invalidator.invalidate(SPACE, MANY, "webhook")
    assert reach == Reach(stored=True, everywhere=True)
    assert [len(part) for part in taken] == [3, 3, 1]
    assert frozenset().union(*taken) == MANY
    assert len(world.bus.asked) == 3, "and of each all are told"
    assert await world.mine.get(LISTING) is None
    world.bus.heard = False
    assert not (await world.mine.invalidator.invalidate(SPACE, MANY, "webhook")).everywhere
    assert len(world.bus.asked) == 4, "who hangs is waited for once"


async def test_pitfall_23_of_many_that_wait_none_is_delivered_twice_where_a_part_fails(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invalidation, "AT_ONCE", 3, raising=False)
    world.store.fail_all()
    for user in MANY:
        await world.mine.invalidator.invalidate(SPACE, frozenset({user}), "webhook")
    world.store.failing.clear()
    taken = parts_taken(world, failing=3)
    await world.time.advance(PROBE_S)
    await until(lambda: len(taken) == 2 and world.mine.invalidator.pending == 1)
    assert not world.mine.guarded.available
    await recovery(world)
    assert [len(part) for part in taken] == [3, 3, 1]
    assert frozenset().union(*taken) == MANY


async def test_pitfall_14_one_that_comes_during_the_delivery_is_delivered_too(
    world: World,
) -> None:
    world.store.fail_all()
    await world.mine.invalidator.invalidate(SPACE, USER, "write")
    world.store.failing.clear()
    world.store.held = {"invalidate"}
    world.store.calls.clear()
    await world.time.advance(PROBE_S)
    await until(lambda: "invalidate" in world.store.calls)
    # The first is on its way; the same user writes again, and so does another.
    await world.mine.invalidator.invalidate(SPACE, USER, "write")
    await world.mine.invalidator.invalidate(SPACE, frozenset({"u:6"}), "write")
    assert not world.mine.guarded.available
    world.store.calls.clear()
    world.store.release.set()
    await until(lambda: world.mine.guarded.available)
    assert world.store.calls == ["invalidate"], "both at once"
    assert world.mine.invalidator.pending == 0


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(invalidation, "MAX_PENDING", 5)
    yield


@pytest.mark.usefixtures("little_memory")
async def test_too_many_to_remember_become_one_for_everything_of_the_space(world: World) -> None:
    await world.peer.put(LISTING, LIST, *LIST.tags)
    shared = entry(b"shared", "c:7", "r:related")
    await world.peer.put(related(7), shared, *shared.tags)
    world.store.fail_all()
    invalidator = world.mine.invalidator
    for number in range(4):
        await invalidator.invalidate(SPACE, frozenset({f"u:{number}"}), "write")
    await invalidator.invalidate(SPACE, frozenset({"d:related"}), "sharing_demoted")
    await invalidator.invalidate("beta", USER, "write")
    assert invalidator.pending == 2
    heard: list[tuple[str, frozenset[str]]] = []
    deliver = world.store.invalidate

    async def listen(space: str, tags: frozenset[str]) -> object:
        heard.append((space, tags))
        return await deliver(space, tags)

    world.mine.guarded.inner.invalidate = listen  # type: ignore[method-assign,assignment]
    world.store.failing.clear()
    await recovery(world)
    assert heard == [(SPACE, EVERYTHING | {"d:related"}), ("beta", EVERYTHING)]
    for want in (LISTING, related(7)):
        assert await world.mine.get(want) is None


@pytest.mark.usefixtures("little_memory")
async def test_refused_tokens_take_the_store_from_nobody_and_are_forgotten_first(
    world: World,
) -> None:
    world.store.fail_all()
    invalidator = world.mine.invalidator
    await invalidator.invalidate(SPACE, frozenset({"k:0"}), "token_refused")
    still_used = world.mine.guarded.available
    assert still_used, "anybody can have a token refused"
    await invalidator.invalidate(SPACE, USER, "write")
    assert not world.mine.guarded.available
    for number in range(1, 9):
        await invalidator.invalidate(SPACE, frozenset({f"k:{number}"}), "token_refused")
    assert invalidator.pending == 5
    heard: set[str] = set()
    deliver = world.store.invalidate

    async def listen(space: str, tags: frozenset[str]) -> object:
        heard.update(tags)
        return await deliver(space, tags)

    world.mine.guarded.inner.invalidate = listen  # type: ignore[method-assign,assignment]
    world.store.failing.clear()
    await recovery(world)
    assert heard == USER | {"k:5", "k:6", "k:7", "k:8"}


@pytest.mark.usefixtures("little_memory")
async def test_an_overflow_during_the_delivery_leaves_the_store_usable(world: World) -> None:
    world.store.fail_all()
    for number in range(5):
        await world.mine.invalidator.invalidate(SPACE, frozenset({f"u:{number}"}), "write")
    world.store.failing.clear()
    world.store.held = {"invalidate"}
    world.store.calls.clear()
    await world.time.advance(PROBE_S)
    await until(lambda: "invalidate" in world.store.calls)
    for number in range(5, 12):
        await world.mine.invalidator.invalidate(SPACE, frozenset({f"u:{number}"}), "write")
    world.store.release.set()
    await until(lambda: world.mine.guarded.available)
    assert world.mine.invalidator.pending == 0


async def test_a_refused_token_that_waits_is_delivered_as_soon_as_it_can(world: World) -> None:
    tag = LISTING.address.container.label
    await world.peer.put(LISTING, LIST, *LIST.tags)
    world.store.failing = {"invalidate"}
    invalidator = world.mine.invalidator
    for one in (tag, "k:other"):
        reach = await invalidator.invalidate(SPACE, frozenset({one}), "token_refused")
        assert not reach.stored
    assert (invalidator.pending, world.mine.guarded.available) == (2, True)
    await world.time.advance(AGAIN_S)
    assert invalidator.pending == 2, "the store does not take it yet"
    world.store.failing.clear()
    world.store.calls.clear()
    await world.time.advance(AGAIN_S)
    await until(lambda: invalidator.pending == 0)
    assert world.store.calls == ["invalidate"], "both at once"
    assert await world.mine.get(LISTING) is None
    await world.time.advance(AGAIN_S)
    assert not world.mine.guarded._behind


async def test_a_refused_token_waits_behind_the_recovery_of_a_store_that_is_away(
    world: World,
) -> None:
    world.store.fail_all()
    invalidator = world.mine.invalidator
    await invalidator.invalidate(SPACE, frozenset({"k:0"}), "token_refused")
    await invalidator.invalidate(SPACE, USER, "write")
    world.store.calls.clear()
    await world.time.advance(AGAIN_S)
    await until(lambda: world.store.calls == ["ping"])
    world.store.failing.clear()
    await recovery(world)
    assert invalidator.pending == 0


async def test_a_write_does_not_wait_for_what_is_delivered_late(world: World) -> None:
    world.store.failing = {"invalidate"}
    await world.mine.invalidator.invalidate(SPACE, frozenset({"k:0"}), "token_refused")
    world.store.failing.clear()
    world.store.calls.clear()
    reach = await world.mine.invalidator.invalidate(SPACE, USER, "write")
    assert reach == Reach(stored=True, everywhere=True)
    assert world.store.calls == ["invalidate"]
