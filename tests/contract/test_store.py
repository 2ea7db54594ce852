"""What every store does: embedded, and a real Redis of two versions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import orjson
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from redis.asyncio import Redis

from bff.cache import tags as tagging
from bff.cache.connect import connect
from bff.cache.keys import Container, Scope
from bff.cache.remote import FENCE_MS, LIVE_MS, MAX_FIELDS, PROOF_FIELD, RemoteStore
from bff.cache.store import Put, Raw, header
from tests.support.cache_process import KEYSPACE, SPACE
from tests.support.redis_server import Origin, RedisServer, find_binary
from tests.support.store_machine import StoreMachine, set_clock

TOKEN = Container(SPACE, Scope.TOKEN, "d1")
OTHER_TOKEN = Container(SPACE, Scope.TOKEN, "d2")
COWORKER = Container(SPACE, Scope.COWORKER, "7")
BASE = KEYSPACE.base(SPACE)
SEALED = bytes(range(256))


@dataclass(frozen=True, slots=True)
class Backend:
    """A store, and a client to look behind it with."""

    store: RemoteStore
    client: Redis

    async def begin(self, space: str = SPACE) -> int:
        return (await self.store.load(space, ())).stamp

    async def save(
        self,
        container: Container,
        *tags: str,
        stamp: int | None = None,
        field: str = "f",
        ttl_s: float = 60,
    ) -> bool:
        stamp = await self.begin(container.space) if stamp is None else stamp
        put = Put(field, tags, SEALED)
        return await self.store.save(container, [put], stamp=stamp, ttl_s=ttl_s)

    async def read(self, container: Container, field: str = "f") -> Raw | None:
        return (await self.store.load(container.space, [(container, field)])).values[0]

    async def drop(self, *tags: str, space: str = SPACE) -> int:
        return (await self.store.invalidate(space, frozenset(tags))).stamp

    async def exists(self, name: str) -> bool:
        return bool(await self.client.exists(BASE + name))

    async def ttl_ms(self, name: str) -> int:
        return int(await self.client.pttl(BASE + name))

    async def keys(self) -> set[str]:
        return {bytes(key).decode() async for key in self.client.scan_iter()}


@pytest.fixture(scope="module")
def old_server() -> Iterator[RedisServer]:
    with RedisServer(find_binary(Origin.WHEEL)) as server:
        yield server


@pytest.fixture(params=["embedded", "redis", "redis-6.2"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "embedded":
        return "embedded://"
    name = "redis_server" if request.param == "redis" else "old_server"
    server: RedisServer = request.getfixturevalue(name)
    server.flush()
    return server.url


@pytest.fixture
async def backend(url: str) -> AsyncIterator[Backend]:
    client = connect(url)
    store = RemoteStore(client, KEYSPACE, process="me", timeout_s=10)
    yield Backend(store, client)
    await store.aclose()


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


async def test_while_nothing_is_known_of_a_tag_any_drop_refuses_the_fetch(
    backend: Backend,
) -> None:
    stamp = await backend.begin()
    await backend.drop("u:2")
    assert not await backend.save(TOKEN, "u:1", stamp=stamp)


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


async def test_a_generation_that_was_evicted_makes_values_unusable_until_fetched_anew(
    backend: Backend,
) -> None:
    await backend.save(TOKEN, "r:profiles", "u:1")
    await backend.client.delete(BASE + "g:u:1")
    assert await backend.read(TOKEN) is None
    assert await backend.save(TOKEN, "r:profiles", "u:1")
    assert await backend.read(TOKEN) is not None


async def test_a_generation_bumped_and_then_evicted_still_refuses_the_fetch(
    backend: Backend,
) -> None:
    await backend.save(TOKEN, "u:1")
    stamp = await backend.begin()
    await backend.drop("u:1")
    await backend.client.delete(BASE + "g:u:1")
    assert not await backend.save(TOKEN, "u:1", stamp=stamp)


async def test_an_evicted_clock_refuses_what_began_before_and_begins_anew(
    backend: Backend,
) -> None:
    await backend.save(TOKEN, "u:1", field="known")
    stamp = await backend.begin()
    await backend.drop("u:2")
    await backend.client.delete(BASE + "clock")
    assert not await backend.save(TOKEN, "u:1", stamp=stamp)
    later = await backend.begin()
    assert later > stamp
    assert not await backend.save(TOKEN, "u:1", "u:3", stamp=stamp)
    assert await backend.read(TOKEN, "known") is not None
    assert await backend.save(TOKEN, "u:3", stamp=later)


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
        (("u:2",), OTHER_TOKEN, "u:3"),  # nothing is known of u:3
        (("u:1",), OTHER_TOKEN, "u:1"),
        (("k:d1",), TOKEN, "u:1"),
        (("p:d1",), TOKEN, "u:1"),
    ):
        await set_clock(backend.client, await backend.begin() + 3_600_000_000)
        stamp = await backend.begin()
        assert await backend.drop(*tags) == stamp
        assert not await backend.save(container, on, stamp=stamp)


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
async def test_a_clock_or_generation_that_is_no_number_counts_as_missing(
    backend: Backend, nonsense: str
) -> None:
    await backend.save(TOKEN, "u:1")
    await backend.client.set(BASE + "g:u:1", nonsense)
    assert await backend.read(TOKEN) is None
    await set_clock(backend.client, nonsense)
    assert not await backend.save(TOKEN, "u:1", stamp=2**52)
    assert await backend.save(TOKEN, "u:1")
    assert await backend.drop("u:1")


async def test_values_and_what_proves_them_live_as_long(backend: Backend) -> None:
    await backend.save(TOKEN, "u:1", "r:profiles", ttl_s=300)
    for name in ("k:d1", "g:u:1", "g:r:profiles"):
        assert 295_000 < await backend.ttl_ms(name) <= 300_000
    await backend.save(TOKEN, "u:1", field="short", ttl_s=10)
    for name in ("k:d1", "g:u:1", "g:r:profiles"):
        assert 295_000 < await backend.ttl_ms(name) <= 300_000
    await backend.save(TOKEN, "u:1", field="long", ttl_s=900)
    assert 895_000 < await backend.ttl_ms("k:d1") <= 900_000
    assert 895_000 < await backend.ttl_ms("g:u:1") <= 900_000
    assert 295_000 < await backend.ttl_ms("g:r:profiles") <= 300_000


async def test_an_invalidation_is_remembered_longer_than_any_fetch_takes(
    backend: Backend,
) -> None:
    await backend.save(OTHER_TOKEN, "u:2", ttl_s=1)
    await backend.save(OTHER_TOKEN, "u:3", ttl_s=9_000)
    await backend.drop("u:1", "u:2", "u:3", "k:d1", "p:d2", "c:7")
    for name in ("g:u:1", "g:u:2", "g:c:7", "f:k:d1", "f:k:d2", "f:c:7"):
        assert FENCE_MS - 5_000 < await backend.ttl_ms(name) <= FENCE_MS
    # Values that outlive the fence still depend on it.
    assert 8_995_000 < await backend.ttl_ms("g:u:3") <= 9_000_000
    assert await backend.ttl_ms("clock") == -1


async def test_a_generation_without_an_end_is_given_one(backend: Backend) -> None:
    await backend.save(TOKEN, "u:1")
    await backend.client.persist(BASE + "g:u:1")
    await backend.drop("u:1")
    assert 0 < await backend.ttl_ms("g:u:1") <= FENCE_MS
    await backend.client.persist(BASE + "g:u:1")
    await backend.save(TOKEN, "u:1", ttl_s=300)
    assert 0 < await backend.ttl_ms("g:u:1") <= 300_000


@pytest.mark.parametrize("ttl_s", [0.0, 0.0004, -3.0])
async def test_a_value_kept_for_no_time_is_not_found_and_harms_none(
    backend: Backend, ttl_s: float
) -> None:
    await backend.save(TOKEN, "u:1", field="kept")
    await backend.save(OTHER_TOKEN, "u:1", "u:2", ttl_s=ttl_s)
    assert await backend.read(OTHER_TOKEN) is None
    assert await backend.read(TOKEN, "kept") is not None


async def test_values_expire(backend: Backend) -> None:
    await backend.save(TOKEN, "u:1", ttl_s=0.02)
    await asyncio.sleep(0.03)
    assert not await backend.exists("k:d1")
    assert await backend.read(TOKEN) is None


async def test_variants_of_a_container_in_use_do_not_pile_up(backend: Backend) -> None:
    for number in range(MAX_FIELDS):
        assert await backend.save(COWORKER, "c:7", field=f"v{number}")
    assert await backend.client.hlen(BASE + "c:7") == MAX_FIELDS
    assert await backend.save(COWORKER, "c:7", field="one more")
    assert await backend.client.hkeys(BASE + "c:7") == [b"one more"]


@pytest.mark.parametrize("tag", ["a b", "a\nb", "a\tb", "", " ", "é", "u:1\n", "a\0b"])
async def test_pitfall_5_a_tag_that_could_be_read_as_two_is_refused(
    backend: Backend, tag: str
) -> None:
    with pytest.raises(ValueError, match="printable"):
        await backend.save(TOKEN, "u:1", tag)
    assert await backend.keys() <= {BASE + "clock"}


async def test_pitfall_5_hostile_names_stay_within_their_container(backend: Backend) -> None:
    hostile = "d1\n u:1|}{:* \0é\ud800"
    container = Container("sp }{\nace", Scope.TOKEN, hostile)
    tags = (tagging.token(hostile), tagging.resource(hostile))
    assert await backend.save(container, *tags)
    raw = await backend.read(container)
    assert raw is not None
    assert raw.tags == tags
    await backend.drop(tagging.token(hostile), space=container.space)
    assert await backend.read(container) is None
    base = KEYSPACE.base(container.space)
    assert all(key.startswith(base) for key in await backend.keys())


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\n",
        b"no header",
        b"x u:1\nv",
        b"12",
        b"12\n",
        b"-1 u:1\nv",
        b"9999999999999999 \xff\nv",
    ],
)
async def test_a_value_of_another_form_is_as_good_as_absent(backend: Backend, value: bytes) -> None:
    await backend.save(TOKEN, "u:1")
    await backend.client.hset(BASE + "k:d1", "f", value)
    assert await backend.read(TOKEN) is None


async def test_all_names_of_a_space_are_on_one_node_of_a_cluster(backend: Backend) -> None:
    await backend.save(TOKEN, "u:1")
    await backend.drop("u:1", "k:d2", "c:7", "p:d1")
    await backend.store.remember(SPACE, "n", 60)
    await backend.store.set_flag(SPACE, "n", "v")
    keys = await backend.keys()
    assert len(keys) > 6
    assert all(key.startswith("bff:1:{acme}:") for key in keys)


async def test_scripts_that_the_server_forgot_are_sent_again(backend: Backend) -> None:
    await backend.save(TOKEN, "u:1")
    await backend.client.script_flush()
    assert await backend.read(TOKEN) is not None
    await backend.client.script_flush()
    await backend.drop("u:1")
    await backend.client.script_flush()
    assert await backend.save(TOKEN, "u:1")


async def test_an_invalidation_tells_which_live_processes_will_acknowledge(
    backend: Backend,
) -> None:
    seconds, micros = await backend.client.time()
    now_ms = seconds * 1_000 + micros // 1_000
    heartbeats = {"me": now_ms, "peer": now_ms - LIVE_MS // 2, "gone": now_ms - LIVE_MS - 1}
    await backend.client.zadd(backend.store.registry(SPACE), heartbeats)
    done = await backend.store.invalidate(SPACE, frozenset({"u:1"}))
    assert done.peers == {"peer"}
    assert (await backend.store.invalidate("beta", frozenset({"u:1"}))).peers == frozenset()


async def test_an_invalidation_is_published_to_its_space(backend: Backend) -> None:
    async with backend.client.pubsub() as listening:
        await listening.subscribe(backend.store.bus_channel(SPACE))
        await listening.get_message(timeout=5)
        await backend.drop("u:1", space="beta")
        done = await backend.store.invalidate(SPACE, frozenset({"u:2", "k:d1"}))
        message = await listening.get_message(timeout=5)
    assert message is not None
    assert orjson.loads(message["data"]) == {
        "id": done.message_id,
        "from": "me",
        "space": SPACE,
        "tags": ["k:d1", "u:2"],
    }


async def test_a_name_is_remembered_once_within_its_time_and_space(backend: Backend) -> None:
    assert await backend.store.remember(SPACE, "hook 1", 60)
    assert not await backend.store.remember(SPACE, "hook 1", 60)
    assert await backend.store.remember(SPACE, "hook 2", 60)
    assert await backend.store.remember("beta", "hook 1", 60)
    assert 55_000 < await backend.ttl_ms("once:hook%201") <= 60_000


async def test_a_flag_is_set_for_its_space_and_removed(backend: Backend) -> None:
    assert await backend.store.flag(SPACE, "scope") is None
    await backend.store.set_flag(SPACE, "scope", "token")
    assert await backend.store.flag(SPACE, "scope") == "token"
    assert await backend.store.flag("beta", "scope") is None
    await backend.store.set_flag(SPACE, "scope", None)
    assert await backend.store.flag(SPACE, "scope") is None


async def test_it_answers_a_ping(backend: Backend) -> None:
    await backend.store.ping()


def test_pitfall_14_no_order_of_events_lets_a_fetch_outlive_an_invalidation(url: str) -> None:
    few = settings(
        max_examples=12,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )

    class Machine(StoreMachine):
        def __init__(self) -> None:
            super().__init__(lambda: connect(url))

    run_state_machine_as_test(Machine, settings=few)
