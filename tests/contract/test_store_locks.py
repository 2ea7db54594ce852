"""Who leads a flight, and who is told when it ends, in every order of events: all backends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import pytest
from redis.asyncio.client import PubSub

from bff.cache.remote import script
from tests.support import store_backend
from tests.support.cache_process import SPACE
from tests.support.store_backend import BASE, COWORKER, TOKEN, Backend

old_redis_server = store_backend.old_redis_server
store_url = store_backend.store_url
backend = store_backend.backend

LOCK = BASE + "lock:k"
LEASE_MS = 60_000
OVERTAKEN, HURRY, ENDED = b"overtaken", b"hurry", b"ended"
LABEL = TOKEN.label
Args: TypeAlias = list[str | bytes | int]


async def claim(
    backend: Backend, owner: str, stamp: int, *, urgent: int = 1, after: str = ""
) -> list[Any]:
    names = ["lock:k", "clock", f"f:{LABEL}", f"gone:{owner}"]
    args: Args = [owner, stamp, LEASE_MS, f"to:{owner}", urgent, after, OVERTAKEN, HURRY]
    return await backend.store.run(SPACE, script("claim"), names, args)


async def seize(backend: Backend, owner: str = "me", *, beside: str = "") -> list[Any]:
    """`beside`: the inbox that has to hold another lock, that of `k2`."""
    names = ["lock:k", "clock", f"gone:{owner}", "lock:k2", TOKEN.label, COWORKER.label]
    args: Args = [owner, LEASE_MS, f"to:{owner}", beside, "f", "g"]
    return await backend.store.run(SPACE, script("seize"), names, args)


async def release(
    backend: Backend, owner: str, *, stored: bool = False, unheard: bool = False
) -> list[Any]:
    args: Args = [owner, ENDED, LEASE_MS * stored, LEASE_MS * unheard]
    names = ["lock:k", f"gone:{owner}"]
    return await backend.store.run(SPACE, script("unlock", "release"), names, args)


async def renew(backend: Backend, owner: str, lease_ms: int = LEASE_MS) -> list[Any]:
    return await backend.store.run(SPACE, script("renew"), ["lock:k"], [lease_ms, owner])


async def owner_of(backend: Backend) -> bytes | None:
    owner = await backend.client.hget(LOCK, "owner")
    assert owner is None or isinstance(owner, bytes)
    return owner


@asynccontextmanager
async def inbox(backend: Backend, owner: str) -> AsyncIterator[PubSub]:
    async with backend.client.pubsub() as channel:
        await channel.subscribe(f"to:{owner}")
        await channel.get_message(timeout=5)
        yield channel


async def heard(channel: PubSub) -> bytes:
    message = await channel.get_message(timeout=5)
    assert message is not None
    data = message["data"]
    assert isinstance(data, bytes)
    return data


async def test_one_leads_and_the_others_wait_for_it(backend: Backend) -> None:
    stamp = await backend.begin()
    assert await claim(backend, "me", stamp) == [b"lead"]
    assert 0 < await backend.ttl_ms("lock:k") <= LEASE_MS
    for claimer in ("you", "they"):
        told, owner, left_ms = await claim(backend, claimer, stamp)
        assert (told, owner) == (b"wait", b"me")
        assert 0 < left_ms <= LEASE_MS


@pytest.mark.parametrize("tag", ["r:profiles", "u:1", LABEL])
async def test_pitfall_14_nobody_who_came_after_an_invalidation_joins_a_flight_from_before_it(
    backend: Backend, tag: str
) -> None:
    await backend.begin()
    await backend.drop("u:9")  # one that was before either
    before = await backend.begin()
    await claim(backend, "me", before)
    async with inbox(backend, "waits") as waits:
        assert (await claim(backend, "waits", before))[0] == b"wait"
        await backend.drop(tag)
        assert (await claim(backend, "same", before))[0] == b"wait", "it came before it as well"
        after = await backend.begin()
        assert await claim(backend, "you", after) == [b"lead"]
        assert await heard(waits) == OVERTAKEN
    assert await owner_of(backend) == b"you"
    assert (await claim(backend, "late", before))[:2] == [b"wait", b"you"], "it may have the newer"


async def test_pitfall_14_an_invalidation_at_the_very_stamp_of_a_flight_overtakes_it(
    backend: Backend,
) -> None:
    """As it may be: a load is given the stamp of the next invalidation at the earliest."""
    before = await backend.begin()
    await claim(backend, "me", before)
    await backend.client.hset(BASE + "clock", mapping={"last": before, "bumped": before})
    assert await claim(backend, "you", await backend.begin()) == [b"lead"]
    now = await backend.begin()
    await backend.client.hset(BASE + "clock", mapping={"last": now})
    await backend.client.set(f"{BASE}f:{LABEL}", str(now))
    assert await claim(backend, "they", await backend.begin()) == [b"lead"]


async def test_pitfall_14_a_clock_that_was_lost_meanwhile_proves_no_flight(
    backend: Backend,
) -> None:
    await claim(backend, "me", await backend.begin())
    await backend.client.delete(BASE + "clock")
    assert await claim(backend, "you", 2**52) == [b"lead"]


async def test_what_was_refused_elsewhere_overtakes_nobody(backend: Backend) -> None:
    before = await backend.begin()
    await claim(backend, "me", before)
    await backend.drop("k:another")
    assert (await claim(backend, "you", await backend.begin()))[:2] == [b"wait", b"me"]


async def test_who_looked_before_it_was_stored_is_sent_to_look_again_but_once(
    backend: Backend,
) -> None:
    stamp = await backend.begin()
    await claim(backend, "me", stamp)
    assert await release(backend, "me", stored=True) == [1]
    assert 0 < await backend.ttl_ms("lock:k") <= LEASE_MS
    assert await claim(backend, "you", stamp) == [b"landed", b"me"]
    assert await claim(backend, "you", stamp, after="another") == [b"landed", b"me"]
    assert await renew(backend, "me") == [0], "it has ended"
    assert await release(backend, "me", stored=True) == [0]
    assert await claim(backend, "you", stamp, after="me") == [b"lead"]
    assert await owner_of(backend) == b"you"


async def test_pitfall_14_nobody_is_sent_to_what_was_stored_before_an_invalidation(
    backend: Backend,
) -> None:
    await claim(backend, "me", await backend.begin())
    await release(backend, "me", stored=True)
    await backend.drop("u:1")
    assert await claim(backend, "you", await backend.begin()) == [b"lead"]


async def test_all_who_wait_are_told_of_the_end_and_the_lock_is_free(backend: Backend) -> None:
    stamp = await backend.begin()
    await claim(backend, "me", stamp)
    async with inbox(backend, "you") as you, inbox(backend, "they") as they:
        for claimer in ("you", "they"):
            await claim(backend, claimer, stamp)
        assert await release(backend, "me") == [1]
        assert [await heard(each) for each in (you, they)] == [ENDED, ENDED]
    assert not await backend.exists("lock:k")


async def test_who_leads_no_more_ends_and_renews_nothing(backend: Backend) -> None:
    await claim(backend, "me", await backend.begin())
    await backend.drop("u:1")
    await claim(backend, "you", await backend.begin())
    held = await backend.client.hgetall(LOCK)
    assert await release(backend, "me", stored=True) == [0]
    assert await renew(backend, "me", 2 * LEASE_MS) == [0]
    assert await backend.client.hgetall(LOCK) == held
    assert await backend.ttl_ms("lock:k") <= LEASE_MS


async def test_a_claim_that_its_own_release_passed_on_its_way_takes_nothing(
    backend: Backend,
) -> None:
    """It leads all the same, but nobody is to wait for it: it would be for a whole lease."""
    stamp = await backend.begin()
    assert await release(backend, "me", unheard=True) == [0]
    assert 0 < await backend.ttl_ms("gone:me") <= LEASE_MS
    assert await claim(backend, "me", stamp) == [b"lead"]
    assert await seize(backend) == []
    assert not await backend.exists("lock:k")
    assert await release(backend, "you") == [0]
    assert not await backend.exists("gone:you"), "its claim was answered"


async def test_a_flight_that_somebody_waits_for_becomes_urgent_once(backend: Backend) -> None:
    stamp = await backend.begin()
    await claim(backend, "me", stamp, urgent=0)
    assert await renew(backend, "me") == [1]
    async with inbox(backend, "me") as mine:
        await claim(backend, "behind", stamp, urgent=0)
        assert await renew(backend, "me") == [1]
        await claim(backend, "you", stamp)
        assert await heard(mine) == HURRY
        await claim(backend, "they", stamp)
        await backend.client.publish("to:me", b"all there is")
        assert await heard(mine) == b"all there is"
    assert await renew(backend, "me") == [2]


async def test_a_renewal_is_for_another_lease(backend: Backend) -> None:
    await claim(backend, "me", await backend.begin())
    assert await renew(backend, "me", 2 * LEASE_MS) == [2], "its caller waits for it"
    assert await backend.ttl_ms("lock:k") > LEASE_MS


async def test_what_is_seized_is_led_as_of_a_look(backend: Backend) -> None:
    assert await seize(backend) == [], "the clock has yet to begin"
    stamp = await backend.begin()
    assert await seize(backend) == [str(stamp).encode()]
    assert 0 < await backend.ttl_ms("lock:k") <= LEASE_MS
    assert await seize(backend, "you") == [], "it is led"
    assert (await claim(backend, "you", stamp))[:2] == [b"wait", b"me"]
    await release(backend, "me", stored=True)
    assert await seize(backend, "you") == [], "it was led"


async def test_what_goes_with_another_is_seized_by_the_process_that_leads_that(
    backend: Backend,
) -> None:
    stamp = await backend.begin()
    assert await seize(backend, beside="to:me") == [], "nobody leads it"
    other: Args = [owner := "me#2", stamp, LEASE_MS, "to:me", 1, "", OVERTAKEN, HURRY]
    names = ["lock:k2", "clock", f"f:{LABEL}", f"gone:{owner}"]
    assert await backend.store.run(SPACE, script("claim"), names, other) == [b"lead"]
    assert await seize(backend, "you", beside="to:you") == [], "another process leads it"
    assert not await backend.exists("lock:k")
    assert await seize(backend, beside="to:me") == [str(stamp).encode()]
    await backend.client.delete(BASE + "lock:k")
    names = ["lock:k2", "gone:me#2"]
    await backend.store.run(SPACE, script("unlock", "release"), names, [owner, ENDED, LEASE_MS, 0])
    assert await seize(backend, beside="to:me") == [], "its flight has landed"


@pytest.mark.parametrize("lost", ["last", "bumped"])
async def test_pitfall_14_nothing_is_seized_by_a_clock_that_lost_a_part(
    backend: Backend, lost: str
) -> None:
    await backend.begin()
    await backend.client.hdel(BASE + "clock", lost)
    assert await seize(backend) == []
    assert not await backend.exists("lock:k")


@pytest.mark.parametrize(("container", "field"), [(TOKEN, "f"), (COWORKER, "g")])
async def test_what_is_stored_in_either_place_is_not_seized(
    backend: Backend, container: Any, field: str
) -> None:
    await backend.save(container, "u:1", field=field)
    assert await seize(backend) == []
    assert not await backend.exists("lock:k")


async def test_pitfall_14_what_is_seized_is_overtaken_as_what_is_claimed(backend: Backend) -> None:
    stamp = await backend.begin()
    assert await seize(backend) == [str(stamp).encode()]
    await backend.drop("u:1")
    assert not await backend.save(TOKEN, "u:1", stamp=stamp)
    assert await claim(backend, "you", await backend.begin()) == [b"lead"]
