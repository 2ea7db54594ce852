"""How long every store keeps what, under which names, and what it makes of hostile ones."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from bff.cache import tags as tagging
from bff.cache.keys import Container, Scope
from bff.cache.remote import FENCE_MS, LIVE_MS, MAX_FIELDS
from tests.support import store_backend
from tests.support.cache_process import KEYSPACE, SPACE
from tests.support.store_backend import BASE, COWORKER, OTHER_TOKEN, TOKEN, Backend

old_redis_server = store_backend.old_redis_server
store_url = store_backend.store_url
backend = store_backend.backend


async def test_a_container_lives_as_long_as_the_longest_of_its_values(backend: Backend) -> None:
    await backend.save(TOKEN, "u:1", "r:profiles", ttl_s=300)
    assert 295_000 < await backend.ttl_ms("k:d1") <= 300_000
    await backend.save(TOKEN, "u:1", field="short", ttl_s=10)
    assert 295_000 < await backend.ttl_ms("k:d1") <= 300_000
    await backend.save(TOKEN, "u:1", field="long", ttl_s=900)
    assert 895_000 < await backend.ttl_ms("k:d1") <= 900_000


async def test_a_session_leaves_its_own_container_and_nothing_else(backend: Backend) -> None:
    await backend.save(TOKEN, "u:1", "c:1", "c:2", "c:3", "r:profiles")
    assert await backend.keys() == {BASE + "clock", BASE + "k:d1"}
    assert await backend.client.hkeys(BASE + "clock") == [b"last", b"bumped", b"told", b"floor"]


async def test_an_invalidation_is_remembered_longer_than_any_fetch_takes(
    backend: Backend,
) -> None:
    await backend.drop("u:1", "k:d1", "p:d2", "c:7")
    for name in ("f:k:d1", "f:k:d2", "f:c:7"):
        assert FENCE_MS - 5_000 < await backend.ttl_ms(name) <= FENCE_MS
    # For as long as there may be values that depend on them.
    assert await backend.client.hmget(BASE + "clock", "g:u:1", "g:c:7") != [None, None]
    assert await backend.ttl_ms("clock") == -1


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
    for field in ("one more", "and one more"):
        assert await backend.save(COWORKER, "c:7", field=field)
        assert await backend.client.hlen(BASE + "c:7") == MAX_FIELDS
    # Nobody can take all that others have there: one goes for one that comes.
    assert await backend.read(COWORKER, "and one more") is not None
    # What is there already is replaced, and takes nothing.
    kept = set(await backend.client.hkeys(BASE + "c:7"))
    assert await backend.save(COWORKER, "c:7", field="and one more")
    assert set(await backend.client.hkeys(BASE + "c:7")) == kept


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


async def test_an_invalidation_is_published_to_its_space_as_the_store_saw_it(
    backend: Backend,
) -> None:
    async with backend.client.pubsub() as listening:
        await listening.subscribe(backend.store.bus_channel(SPACE))
        await listening.get_message(timeout=5)
        await backend.drop("u:1", space="beta")
        before = await backend.begin()
        done = await backend.store.invalidate(SPACE, frozenset({"u:2", "k:d1"}))
        message = await listening.get_message(timeout=5)
    assert message is not None
    assert orjson.loads(message["data"]) == {
        "id": done.message_id,
        "from": "me",
        "space": SPACE,
        "tags": ["k:d1", "u:2"],
        "before": before,
        "stamp": done.stamp,
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
