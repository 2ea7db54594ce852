"""Sessions that begin: what is fetched without a look, and that it is one call all the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import pytest

from bff import app
from bff.cache.connect import connect
from bff.cache.lead import Tenure
from bff.cache.leadership import RedisLeadership
from bff.session.newcomers import IN_A_ROW
from tests.support.gateway import BOOTSTRAP, PROFILES, SECRET, Stage, related, stage
from tests.support.redis_server import RedisServer

OF_ALICE = related(101)
FLEET = 4


@pytest.fixture
async def fleet(redis_url: str) -> AsyncIterator[Stage]:
    """Four gateways over one Redis."""
    async with stage(redis_url, gateways=FLEET) as opened:
        yield opened


@pytest.fixture
async def patient_fleet(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    """The same; whoever leads is believed to live, for however long the machine stands still."""
    patient = partial(RedisLeadership, tenure=Tenure(lease_s=60.0))
    monkeypatch.setattr(app, "RedisLeadership", patient)
    async with stage(redis_url, gateways=FLEET) as opened:
        yield opened


async def test_a_session_that_begins_looks_once_and_ends_its_flights_with_what_they_store(
    fleet: Stage,
) -> None:
    await fleet.prove(fleet.bob)
    before = await commands(fleet)
    assert (await fleet.get(BOOTSTRAP, fleet.alice)).status_code == 200
    asked = {name: count - before[name] for name, count in (await commands(fleet)).items()}
    assert asked == {"load": 1, "save": 2}
    async with connect(fleet.redis_url) as redis:
        locks = [await redis.hgetall(key) async for key in redis.scan_iter("*:lock:*")]
    assert len(locks) == 3, "of two lists, and of bob's"
    assert all(lock[b"landed"] == b"1" for lock in locks)


async def test_a_session_that_begins_waits_for_what_another_process_fetches(fleet: Stage) -> None:
    fleet.tenant.hold(OF_ALICE, at="request", count=1)
    first = fleet.later(BOOTSTRAP, fleet.alice, via=0)
    await fleet.tenant.held()
    second = fleet.later(BOOTSTRAP, fleet.tenant.another(fleet.alice), via=1)
    await fleet.waiting(1, via=1)
    fleet.tenant.release()
    assert (await first).json()["RelatedProfiles"] == (await second).json()["RelatedProfiles"]
    assert fleet.tenant.arrivals(OF_ALICE) == 1


async def test_pitfall_23_a_session_that_begins_beside_a_refresh_waits_for_none(
    redis_url: str,
) -> None:
    """Without copies in process, what is stale is known to the shared store alone."""
    async with stage(redis_url, env={"BFF_L1_BYTES": "0"}) as opened:
        await opened.get(BOOTSTRAP, opened.alice)
        opened.clock.advance(301)
        opened.tenant.hold(OF_ALICE)
        await opened.get(BOOTSTRAP, opened.alice)
        await opened.tenant.held()
        answer = await opened.get(BOOTSTRAP, opened.tenant.another(opened.alice))
        assert answer.json()["Bootstrap"]["Complete"]
        assert opened.alice.canary in answer.text
        assert await opened.metric("bff_flights") == 1, "the refresh goes on"
        opened.tenant.release()


async def begun(fleet: Stage, via: int) -> None:
    """So many sessions that a process takes the next one for new."""
    for _ in range(IN_A_ROW):
        answer = await fleet.get(BOOTSTRAP, fleet.tenant.another(fleet.alice), via=via)
        assert answer.status_code == 200


async def test_among_sessions_that_begin_the_next_is_fetched_as_a_strangers_without_a_look(
    fleet: Stage,
) -> None:
    await begun(fleet, 0)
    before, calls = await commands(fleet), fleet.tenant.arrivals()
    strangers = await fleet.metric("bff_budget_wait_seconds_count", "stranger")
    answer = await fleet.get(BOOTSTRAP, fleet.tenant.another(fleet.alice))
    assert fleet.alice.canary in answer.text
    asked = {name: count - before[name] for name, count in (await commands(fleet)).items()}
    assert asked == {"load": 0, "save": 1}
    assert fleet.tenant.arrivals() == calls + 1, "the related list is here"
    told = await fleet.metric("bff_budget_wait_seconds_count", "stranger")
    assert told == strangers + 1


async def test_a_session_that_was_taken_for_new_is_found_and_the_next_is_looked_for(
    fleet: Stage,
) -> None:
    await begun(fleet, 0)
    elsewhere, later = fleet.tenant.another(fleet.alice), fleet.tenant.another(fleet.alice)
    await fleet.get(BOOTSTRAP, elsewhere, via=1)
    calls = fleet.tenant.arrivals()
    answer = await fleet.get(BOOTSTRAP, elsewhere, via=0)
    assert answer.headers["cache-status"].startswith("bff; hit")
    assert fleet.tenant.arrivals() == calls
    before = await commands(fleet)
    await fleet.get(BOOTSTRAP, later, via=0)
    assert (await commands(fleet))["load"] - before["load"] == 1


async def test_a_known_session_whose_list_is_too_old_is_none_that_begins(fleet: Stage) -> None:
    for _ in range(IN_A_ROW + 1):
        answer = await fleet.get(BOOTSTRAP, fleet.alice)
        assert "fwd=uri-miss" in answer.headers["cache-status"]
        fleet.clock.advance(400)
    before = await commands(fleet)
    await fleet.get(BOOTSTRAP, fleet.bob)
    assert (await commands(fleet))["load"] - before["load"] == 1, "it is looked for"


async def test_a_hint_is_followed_at_once_among_sessions_that_begin(fleet: Stage) -> None:
    await begun(fleet, 0)
    of_bob = fleet.bob.coworker_id
    fleet.tenant.hold(PROFILES, at="request", count=1)
    fleet.tenant.hold(related(of_bob), at="request", count=1)
    asking = fleet.later(f"{BOOTSTRAP}?coworkerId={of_bob}", fleet.tenant.another(fleet.bob))
    await fleet.tenant.held(2)
    fleet.tenant.release()
    assert fleet.bob.canary in (await asking).text


async def strangers(stage: Stage) -> float:
    """Calls that were made for tokens of which nothing was known."""
    return await stage.metric("bff_budget_wait_seconds_count", "stranger")


async def test_only_the_list_of_a_session_that_begins_is_fetched_as_a_strangers(
    fleet: Stage,
) -> None:
    await begun(fleet, 0)
    before, calls = await strangers(fleet), fleet.tenant.arrivals()
    answer = await fleet.get(BOOTSTRAP, fleet.tenant.another(fleet.bob))
    assert fleet.bob.canary in answer.text
    assert fleet.tenant.arrivals() == calls + 2, "nobody's related list of his was here"
    assert await strangers(fleet) == before + 1


async def test_whose_proof_is_stored_is_no_stranger_in_another_language(fleet: Stage) -> None:
    await begun(fleet, 0)
    member = fleet.tenant.another(fleet.alice)
    await fleet.get(BOOTSTRAP, member, via=1)
    before, calls = await strangers(fleet), fleet.tenant.arrivals(PROFILES)
    answer = await fleet.get(BOOTSTRAP, member, headers={"accept-language": "fr"})
    assert answer.status_code == 200
    assert fleet.tenant.arrivals(PROFILES) == calls + 1
    assert await strangers(fleet) == before


async def test_a_session_that_was_stored_under_an_older_secret_is_not_taken_for_new(
    fleet: Stage,
) -> None:
    member, both = fleet.tenant.another(fleet.alice), f"{'n' * 40},{SECRET}"
    await fleet.get(BOOTSTRAP, member)
    async with stage(fleet.redis_url, env={"BFF_SECRET": both}, beside=fleet) as newer:
        await begun(newer, 0)
        calls = fleet.tenant.arrivals()
        answer = await newer.get(BOOTSTRAP, member)
        assert answer.headers["cache-status"].startswith("bff; hit")
        assert fleet.tenant.arrivals() == calls


async def test_pitfall_23_a_full_redis_says_who_leads_without_a_look_too(
    own_redis: RedisServer,
) -> None:
    async with stage(own_redis.url) as opened:
        await begun(opened, 0)
        own_redis.config("maxmemory", "1")
        before = await commands(opened)
        answer = await opened.get(BOOTSTRAP, opened.tenant.another(opened.alice))
        assert answer.status_code == 200
        assert (await commands(opened))["load"] == before["load"]
        assert await opened.metric("bff_store_errors", "run") == 0


async def test_pitfall_21_a_session_that_is_taken_for_new_everywhere_is_one_call(
    patient_fleet: Stage,
) -> None:
    fleet = patient_fleet
    for via in (0, 1):
        await begun(fleet, via)
    member = fleet.tenant.another(fleet.alice)
    calls = fleet.tenant.arrivals(PROFILES)
    fleet.tenant.hold(PROFILES, at="request", count=1)
    asking = [fleet.later(BOOTSTRAP, member, via=via) for via in (0, 1, 0, 1)]
    await fleet.tenant.held()
    for via in (0, 1):
        await fleet.waiting(2, via=via)
    fleet.tenant.release()
    assert {(await each).status_code for each in asking} == {200}
    assert fleet.tenant.arrivals(PROFILES) == calls + 1


async def commands(fleet: Stage) -> dict[str, float]:
    names = ("load", "save")
    return {name: await fleet.metric("bff_store_seconds_count", name) for name in names}
