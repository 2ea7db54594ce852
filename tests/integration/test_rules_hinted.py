"""A hint among sessions that begin: both lists take their locks without a look (decision 13)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bff.sandbox.effects import Status
from bff.session.newcomers import IN_A_ROW
from tests.support.gateway import BOOTSTRAP, PROFILES, Stage, related, stage


@pytest.fixture
async def pair(redis_url: str) -> AsyncIterator[Stage]:
    """Two gateways over one Redis; the first takes the next session with a hint for new."""
    async with stage(redis_url, gateways=2) as opened:
        for _ in range(IN_A_ROW):
            another = opened.tenant.another(opened.alice)
            await opened.get(hinting(opened.alice.coworker_id), another, via=0)
        await opened.stored()
        yield opened


def hinting(coworker: int) -> str:
    return f"{BOOTSTRAP}?coworkerId={coworker}"


async def looks(pair: Stage) -> float:
    """What the first asked Redis for documents."""
    return await pair.metric("bff_store_seconds_count", "load", via=0)


async def test_a_session_that_begins_is_fetched_without_a_look(pair: Stage) -> None:
    before = await looks(pair)
    strangers = await pair.metric("bff_budget_wait_seconds_count", "stranger", via=0)
    for path in (PROFILES, related(pair.bob.coworker_id)):
        pair.tenant.hold(path, at="request", count=1)
    asking = pair.later(hinting(pair.bob.coworker_id), pair.bob, via=0)
    await pair.tenant.held(2)
    pair.tenant.release()
    assert pair.bob.canary in (await asking).text
    await pair.stored()
    assert await looks(pair) == before
    told = await pair.metric("bff_budget_wait_seconds_count", "stranger", via=0)
    assert told == strangers + 2, "nothing was known of the token when the calls were made"
    again = await pair.get(hinting(pair.bob.coworker_id), pair.bob, via=1)
    assert again.headers["cache-status"].startswith("bff; hit"), "both were stored"


async def test_what_another_process_stored_is_found_and_the_next_is_looked_for(pair: Stage) -> None:
    of_bob = hinting(pair.bob.coworker_id)
    await pair.get(of_bob, pair.bob, via=1)
    await pair.stored()
    calls = pair.tenant.arrivals()
    answer = await pair.get(of_bob, pair.bob, via=0)
    assert answer.headers["cache-status"].startswith("bff; hit")
    assert pair.bob.canary in answer.text
    assert pair.tenant.arrivals() == calls
    before = await looks(pair)
    await pair.get(of_bob, pair.tenant.another(pair.bob), via=0)
    assert await looks(pair) == before + 1


@pytest.mark.parametrize("via", [0, 1], ids=["here", "in another process"])
async def test_a_list_that_is_stored_says_more_than_a_hint(pair: Stage, via: int) -> None:
    """Nothing is asked of Nexudus that only a wrong hint named."""
    await pair.get(PROFILES, pair.bob, via=via)
    await pair.stored()
    of_nobody = 999
    answer = await pair.get(hinting(of_nobody), pair.bob, via=0)
    await pair.quiet()
    assert pair.bob.canary in answer.text
    assert pair.tenant.arrivals(related(of_nobody)) == 0
    assert pair.tenant.arrivals(related(pair.bob.coworker_id)) == 1
    assert pair.tenant.arrivals(PROFILES) == IN_A_ROW + 1


async def test_whose_proof_is_stored_is_no_stranger_in_another_language(pair: Stage) -> None:
    of_bob = hinting(pair.bob.coworker_id)
    await pair.get(of_bob, pair.bob, via=1)
    await pair.stored()
    told = await pair.metric("bff_budget_wait_seconds_count", "stranger", via=0)
    calls = pair.tenant.arrivals()
    answer = await pair.get(of_bob, pair.bob, headers={"accept-language": "fr"}, via=0)
    assert pair.bob.canary in answer.text
    assert pair.tenant.arrivals() == calls + 2
    assert await pair.metric("bff_budget_wait_seconds_count", "stranger", via=0) == told


async def test_pitfall_2_a_related_list_that_is_stored_is_not_for_who_is_refused(
    pair: Stage,
) -> None:
    """Nor is what a refused caller's hint fetched kept for anybody else."""
    of_alice, of_bob = pair.alice.coworker_id, pair.bob.coworker_id
    for coworker in (of_alice, of_bob):  # here, and nowhere
        refused = pair.tenant.another(pair.bob)
        pair.tenant.fault(Status(401), PROFILES, token=refused.token)
        answer = await pair.get(hinting(coworker), refused, via=0)
        await pair.stored()
        assert answer.status_code == 401
        assert pair.alice.canary not in answer.text
    calls = pair.tenant.arrivals(related(of_bob))
    assert calls == 1, "it was asked for, by a hint"
    answer = await pair.get(hinting(of_bob), pair.bob, via=1)
    assert pair.bob.canary in answer.text
    assert pair.tenant.arrivals(related(of_bob)) == calls + 1
