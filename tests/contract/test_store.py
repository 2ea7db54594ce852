"""What every store does, in every order of events: embedded, Redis 7 and Redis 6.2."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from bff.cache.connect import connect
from bff.cache.keys import Container, Scope
from bff.cache.remote import PROOF_FIELD, RemoteStore
from bff.cache.store import Put, Raw, header
from tests.support import store_backend
from tests.support.cache_process import KEYSPACE, SPACE
from tests.support.store_backend import BASE, COWORKER, OTHER_TOKEN, SEALED, TOKEN, Backend
from tests.support.store_machine import StoreMachine, set_clock

old_redis_server = store_backend.old_redis_server
store_url = store_backend.store_url
backend = store_backend.backend


async def test_what_is_saved_is_loaded_as_it_was(backend: Backend) -> None:
    stamp = await backend.begin()
    assert await backend.save(TOKEN, "r:profiles", "u:1", stamp=stamp)
    expected = Raw(header(stamp, ["r:profiles", "u:1"]), ("r:profiles", "u:1"), SEALED)
    assert await backend.read(TOKEN) == expected


async def test_answers_come_in_the_order_of_the_wants(backend: Backend) -> None:
    await backend.save(TOKEN, "u:1", field="a")
    await backend.save(COWORKER, "c:7", field="b")
    wants = [(COWORKER, "b"), (TOKEN, "x"), (OTHER_TOKEN, "a"), (TOKEN, "a"), (COWORKER, "a")]
    values = (await backend.store.load(SPACE, wants)).values
    assert [value is not None for value in values] == [True, False, False, True, False]


async def test_a_value_without_tags_is_kept(backend: Backend) -> None:
    stamp = await backend.begin()
    assert await backend.save(TOKEN, stamp=stamp)
    assert await backend.read(TOKEN) == Raw(header(stamp, ()), (), SEALED)


async def test_several_values_are_saved_together_or_not_at_all(backend: Backend) -> None:
    stamp = await backend.begin()
    await backend.drop("u:2")
    puts = [Put("a", ("u:1",), SEALED), Put("b", ("u:2",), SEALED)]
    assert not await backend.store.save(TOKEN, puts, stamp=stamp, ttl_s=60)
    assert not await backend.exists("k:d1")
    stamp = await backend.begin()
    assert await backend.store.save(TOKEN, puts, stamp=stamp, ttl_s=60)
    loaded = await backend.store.load(SPACE, [(TOKEN, "a"), (TOKEN, "b")])
    assert [raw.tags for raw in loaded.values if raw] == [("u:1",), ("u:2",)]


@pytest.mark.parametrize("tag", ["r:profiles", "u:1", "c:9"])
async def test_dropping_any_of_its_tags_drops_a_value(backend: Backend, tag: str) -> None:
    await backend.save(TOKEN, "r:profiles", "u:1", "c:9")
    await backend.drop(tag)
    assert await backend.read(TOKEN) is None


async def test_dropping_other_tags_leaves_it(backend: Backend) -> None:
    await backend.save(TOKEN, "r:profiles", "u:1")
    await backend.drop("r:related", "u:11", "c:1", "k:d2", "p:d2", "d:related")
    assert await backend.read(TOKEN) is not None


@pytest.mark.parametrize("tag", ["r:profiles", "u:1", "c:9"])
async def test_pitfall_14_a_fetch_that_began_before_a_drop_is_not_saved_after_it(
    backend: Backend, tag: str
) -> None:
    await backend.save(TOKEN, "r:profiles", "u:1", "c:9")
    stamp = await backend.begin()
    await backend.drop(tag)
    assert not await backend.save(TOKEN, "r:profiles", "u:1", "c:9", stamp=stamp)
    assert await backend.read(TOKEN) is None
    assert await backend.save(TOKEN, "r:profiles", "u:1", "c:9")


async def test_a_drop_of_other_tags_does_not_keep_a_fetch_from_being_saved(
    backend: Backend,
) -> None:
    await backend.save(TOKEN, "r:profiles", "u:1")
    stamp = await backend.begin()
    await backend.drop("u:2", "k:d2", "c:9")
    assert await backend.save(TOKEN, "r:profiles", "u:1", stamp=stamp)
    assert await backend.read(TOKEN) is not None


async def test_a_drop_of_other_tags_refuses_no_fetch_of_a_tag_that_is_new(
    backend: Backend,
) -> None:
    stamp = await backend.begin()
    await backend.drop("u:2")
    assert await backend.save(TOKEN, "u:1", stamp=stamp)
    assert await backend.read(TOKEN) is not None


async def test_refused_tokens_which_anybody_can_invent_refuse_nobody_elses_fetch(
    backend: Backend,
) -> None:
    stamp = await backend.begin()
    for number in range(20):
        await backend.drop(f"k:invented{number}", f"p:invented{number}")
    assert await backend.save(TOKEN, "u:1", stamp=stamp)
    assert await backend.read(TOKEN) is not None


async def test_a_refused_token_of_a_space_never_seen_leaves_the_space_usable(
    backend: Backend,
) -> None:
    await backend.drop("k:d1")
    assert await backend.save(TOKEN, "u:1")
    assert await backend.read(TOKEN) is not None


async def test_dropping_a_token_removes_its_container_and_fences_it(backend: Backend) -> None:
    await backend.save(TOKEN, "u:1", field="list")
    await backend.save(TOKEN, "u:1", field=PROOF_FIELD)
    await backend.save(OTHER_TOKEN, "u:1")
    stamp = await backend.begin()
    await backend.drop("k:d1")
    assert not await backend.exists("k:d1")
    assert await backend.read(OTHER_TOKEN) is not None
    assert not await backend.save(TOKEN, "u:1", stamp=stamp)
    assert await backend.save(OTHER_TOKEN, "u:1", stamp=stamp)
    assert await backend.save(TOKEN, "u:1")


async def test_withdrawing_a_proof_removes_the_proof_only_and_fences_the_token(
    backend: Backend,
) -> None:
    await backend.save(TOKEN, "u:1", field="list")
    await backend.save(TOKEN, "u:1", field=PROOF_FIELD)
    stamp = await backend.begin()
    await backend.drop("p:d1")
    assert await backend.read(TOKEN, PROOF_FIELD) is None
    assert await backend.read(TOKEN, "list") is not None
    assert await backend.client.hkeys(BASE + "k:d1") == [b"list"]
    assert not await backend.save(TOKEN, "u:1", stamp=stamp, field=PROOF_FIELD)


async def test_dropping_a_coworker_removes_its_container_and_what_mentions_it(
    backend: Backend,
) -> None:
    await backend.save(COWORKER, "r:related", "c:7")
    await backend.save(TOKEN, "r:profiles", "c:7")
    stamp = await backend.begin()
    await backend.drop("c:7")
    assert not await backend.exists("c:7")
    assert await backend.read(TOKEN) is None
    # Also a fetch that will turn out not to mention it.
    assert not await backend.save(COWORKER, "r:related", stamp=stamp)


async def test_pitfall_4_another_space_is_not_touched(backend: Backend) -> None:
    there = Container("beta", Scope.TOKEN, "d1")
    await backend.save(there, "u:1")
    stamp = await backend.begin("beta")
    await backend.drop("u:1", "k:d1", "p:d1", "r:profiles")
    assert await backend.read(there) is not None
    assert await backend.save(there, "u:1", "u:2", stamp=stamp)


async def test_an_evicted_clock_takes_its_generations_along_and_all_that_is_older(
    backend: Backend,
) -> None:
    await backend.save(TOKEN, "u:1", field="known")
    await backend.save(OTHER_TOKEN, "u:2")
    stamp = await backend.begin()
    await backend.drop("u:2")
    await backend.client.delete(BASE + "clock")
    assert not await backend.save(TOKEN, "u:1", stamp=stamp)
    later = await backend.begin()
    assert later > stamp
    assert not await backend.save(TOKEN, "u:1", "u:3", stamp=stamp)
    # Of what was dropped meanwhile nothing is known.
    assert await backend.read(TOKEN, "known") is None
    assert await backend.read(OTHER_TOKEN) is None
    assert await backend.save(TOKEN, "u:3", stamp=later)
    assert await backend.read(TOKEN) is not None


async def test_a_clock_that_lost_a_part_begins_anew_and_never_goes_back(backend: Backend) -> None:
    ahead = await backend.begin() + 3_600_000_000
    await set_clock(backend.client, ahead)
    await backend.save(TOKEN, "u:1")
    await backend.client.hdel(BASE + "clock", "bumped")
    assert await backend.read(TOKEN) is not None
    await backend.drop("u:2")
    await backend.client.hdel(BASE + "clock", "floor")
    assert await backend.read(TOKEN) is None
    assert await backend.begin() > ahead + 1


async def test_a_clock_begun_by_a_drop_knows_of_nothing_older(backend: Backend) -> None:
    await backend.save(TOKEN, "u:1")
    for tag in ("u:2", "k:d2"):
        await backend.client.delete(BASE + "clock")
        await backend.drop(tag)
        assert await backend.read(TOKEN) is None
        assert await backend.save(TOKEN, "u:1")
        assert await backend.read(TOKEN) is not None


@pytest.mark.parametrize("again", [False, True])
async def test_what_a_version_before_bumped_may_have_been_anything(
    backend: Backend, again: bool
) -> None:
    """It writes its stamps into the clock, and generations where only it looks for them."""
    await backend.save(TOKEN, "u:1")
    stamp = await backend.begin()
    await backend.client.hset(BASE + "clock", mapping={"last": stamp, "bumped": stamp})
    if again:
        await backend.drop("u:9")
    assert await backend.read(TOKEN) is None
    assert not await backend.save(TOKEN, "u:1", stamp=stamp)
    assert await backend.save(TOKEN, "u:1")
    assert await backend.read(TOKEN) is not None


async def test_a_version_before_finds_no_generation_of_what_was_dropped(backend: Backend) -> None:
    """One that is missing proves nothing to it: it does not use the value, and fetches anew."""
    await backend.client.set(BASE + "g:u:1", 5)
    await backend.client.set(BASE + "g:u:2", 5)
    await backend.drop("u:1")
    assert not await backend.exists("g:u:1")
    assert await backend.exists("g:u:2")


async def test_generations_are_bounded_and_what_is_older_than_the_forgotten_is_not_used(
    backend: Backend,
) -> None:
    await backend.save(TOKEN, "u:1", field="before")
    await backend.drop(*(f"c:{number}" for number in range(5_000)))
    await backend.save(TOKEN, "u:1", field="between")
    stamp = await backend.begin()
    await backend.drop(*(f"c:{number}" for number in range(5_000, 9_000)))
    assert await backend.read(TOKEN, "before") is None
    assert await backend.read(TOKEN, "between") is not None
    assert not await backend.save(TOKEN, "c:8999", stamp=stamp)
    assert await backend.save(TOKEN, "c:4999", stamp=stamp)
    for number in range(40):
        await backend.drop(*(f"r:{number}-{each}" for each in range(100)))
        assert await backend.client.hlen(BASE + "clock") <= 8_192 + 4
    assert await backend.read(TOKEN, "between") is None


async def test_a_store_restarted_empty_refuses_what_began_before(backend: Backend) -> None:
    await backend.save(TOKEN, "u:1")
    await backend.drop("u:1")
    stamp = await backend.begin()
    await backend.client.flushall()
    assert not await backend.save(TOKEN, "u:1", stamp=stamp)
    await backend.begin()
    assert not await backend.save(TOKEN, "u:1", stamp=stamp)


async def test_stamps_grow_with_each_invalidation_and_with_nothing_else(
    backend: Backend,
) -> None:
    assert await backend.begin() == await backend.begin()
    stamps = []
    for number in range(200):
        began = await backend.begin()
        done = await backend.drop("u:1" if number % 2 else "k:d1")
        assert done >= began
        stamps.append(done)
    assert stamps == sorted(set(stamps))
    assert await backend.begin() == stamps[-1] + 1


async def test_stamps_do_not_go_back_when_the_wall_clock_does(backend: Backend) -> None:
    ahead = await backend.drop("u:1") + 3_600_000_000
    await set_clock(backend.client, ahead)
    stamp = await backend.begin()
    assert stamp == ahead + 1
    assert await backend.save(TOKEN, "u:1", stamp=stamp)
    assert await backend.drop("u:1") == stamp
    assert await backend.read(TOKEN) is None
    assert not await backend.save(TOKEN, "u:1", stamp=stamp)
    assert await backend.save(TOKEN, "u:1")
    assert await backend.read(TOKEN) is not None


async def test_a_drop_at_the_very_stamp_of_a_fetch_refuses_it(backend: Backend) -> None:
    """With the clock ahead of the time of day, a drop takes the next stamp: the fetch's own."""
    await backend.save(OTHER_TOKEN, "u:1")
    for tags, container, on in (
        (("u:3",), OTHER_TOKEN, "u:3"),
        (("u:1",), OTHER_TOKEN, "u:1"),
        (("k:d1",), TOKEN, "u:1"),
        (("p:d1",), TOKEN, "u:1"),
    ):
        await set_clock(backend.client, await backend.begin() + 3_600_000_000)
        stamp = await backend.begin()
        assert await backend.drop(*tags) == stamp
        assert not await backend.save(container, on, stamp=stamp)


async def test_pitfall_14_two_invalidations_in_one_microsecond_are_two(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was read between them is from before the second."""
    day = SimpleNamespace(time=lambda: 1_800_000_000.000_005)
    monkeypatch.setattr("fakeredis.commands_mixins.server_mixin.time", day)
    store = RemoteStore(connect("embedded://"), KEYSPACE, process="me", timeout_s=10)
    backend = Backend(store, store.client)
    first = await backend.drop("u:1")
    assert first == 1_800_000_000_000_005
    assert await backend.save(TOKEN, "u:1")
    second = await backend.drop("u:1")
    assert second > first
    assert await backend.read(TOKEN) is None
    await store.aclose()


async def test_stamps_are_exact_to_the_last_digit_for_the_next_two_centuries(
    backend: Backend,
) -> None:
    largest = 2**53 - 4
    await backend.begin()
    await set_clock(backend.client, largest)
    stamp = await backend.begin()
    assert stamp == largest + 1
    assert await backend.save(TOKEN, "u:1", stamp=stamp)
    assert await backend.drop("u:1") == largest + 1
    assert not await backend.save(TOKEN, "u:1", stamp=stamp)
    assert await backend.begin() == largest + 2


@pytest.mark.parametrize("nonsense", ["", "x", "-", "nil"])
async def test_a_clock_or_generation_that_is_no_number_proves_nothing(
    backend: Backend, nonsense: str
) -> None:
    await backend.save(TOKEN, "u:1")
    stamp = await backend.begin()
    await backend.drop("u:2")
    await backend.client.hset(BASE + "clock", "g:u:1", nonsense)
    assert await backend.read(TOKEN) is None
    assert not await backend.save(TOKEN, "u:1", stamp=stamp)
    await set_clock(backend.client, nonsense)
    assert not await backend.save(TOKEN, "u:1", stamp=2**52)
    assert await backend.save(TOKEN, "u:1")
    assert await backend.drop("u:1")


def test_pitfall_14_no_order_of_events_lets_a_fetch_outlive_an_invalidation(store_url: str) -> None:
    few = settings(
        max_examples=12,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )

    class Machine(StoreMachine):
        def __init__(self) -> None:
            super().__init__(lambda: connect(store_url))

    run_state_machine_as_test(Machine, settings=few)
