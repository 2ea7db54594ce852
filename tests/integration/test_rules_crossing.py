"""Cache rule 5 between processes: one call, whichever of them were asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import httpx
import pytest

from bff.sandbox.effects import SetCookie, Status
from tests.support.gateway import BOOTSTRAP, PROFILES, Stage, related, stage, until

OF_ALICE = related(101)
FLEET = 4


@pytest.fixture
async def fleet(redis_url: str) -> AsyncIterator[Stage]:
    """Four gateways over one Redis."""
    async with stage(redis_url, gateways=FLEET) as opened:
        yield opened


async def together(fleet: Stage, target: str, callers: int) -> list[httpx.Response]:
    """Ask for the same everywhere while Nexudus is held, and let it answer once all wait."""
    fleet.tenant.hold(PROFILES, at="request", count=1)
    asking = [fleet.later(target, fleet.alice, via=n % FLEET) for n in range(callers)]
    await fleet.tenant.held()
    for via in range(FLEET):
        await fleet.waiting(callers // FLEET, via=via)
    fleet.tenant.sandbox.holds.release()  # faults stay
    return [await each for each in asking]


@pytest.mark.unmeasured
async def test_pitfall_21_a_cold_key_is_one_call_of_all_processes(fleet: Stage) -> None:
    answers = await together(fleet, BOOTSTRAP, 200)

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert fleet.alice.canary in answers[0].text
    assert [visit.path for visit in fleet.tenant.visits()] == [PROFILES, OF_ALICE]
    statuses = [answer.headers["cache-status"] for answer in answers]
    assert sum("collapsed" in status for status in statuses) >= 199


async def test_a_failure_is_shared_and_not_repeated_by_each_process(fleet: Stage) -> None:
    fleet.tenant.fault(Status(500), PROFILES)
    answers = await together(fleet, PROFILES, FLEET)

    assert all(answer.status_code in (500, 503) for answer in answers)
    assert fleet.tenant.arrivals(PROFILES) == 1


async def test_a_refusal_is_each_processs_own_to_hear(fleet: Stage) -> None:
    fleet.tenant.sandbox.tokens.revoke(fleet.alice.token)
    answers = await together(fleet, PROFILES, FLEET)

    assert {answer.status_code for answer in answers} == {401}
    assert fleet.tenant.arrivals(PROFILES) == FLEET


async def test_what_may_not_be_stored_goes_to_no_other_process(fleet: Stage) -> None:
    fleet.tenant.fault(SetCookie("a=b"), PROFILES)
    answers = await together(fleet, PROFILES, FLEET)

    assert {answer.status_code for answer in answers} == {200}
    assert fleet.tenant.arrivals(PROFILES) == FLEET


async def test_what_another_process_refreshed_is_not_fetched_again(fleet: Stage) -> None:
    """Each process has its own copy of a list, which ages; the refresh of one serves all."""
    for via in range(FLEET):
        await fleet.get(PROFILES, fleet.alice, via=via)
    fleet.clock.advance(61)
    fleet.tenant.forget_visits()
    for via in range(FLEET):
        assert (await fleet.get(PROFILES, fleet.alice, via=via)).status_code == 200
        await fleet.quiet()

    assert fleet.tenant.arrivals(PROFILES) == 1
    for via in range(FLEET):
        answer = await fleet.get(PROFILES, fleet.alice, via=via)
        assert int(answer.headers["age"]) < 60


async def test_a_process_that_dies_in_the_middle_is_replaced(fleet: Stage) -> None:
    """Its lock ends with its lease of two seconds."""
    fleet.tenant.hold(PROFILES, at="request", count=1)
    leading = fleet.later(PROFILES, fleet.alice, via=0)
    await fleet.tenant.held()
    asking = fleet.later(PROFILES, fleet.alice, via=1)
    await fleet.waiting(1, via=1)
    # As good as dead: it neither ends its flight nor renews its lease.
    [renewal] = [task for task in asyncio.all_tasks() if task.get_name() == "flight leases"]
    renewal.cancel()

    async with asyncio.timeout(5):
        assert (await asking).status_code == 200
    assert fleet.tenant.arrivals(PROFILES) == 2
    fleet.tenant.release()
    assert (await leading).status_code == 200


async def test_what_another_session_of_the_user_left_is_found_although_it_is_stale(
    fleet: Stage,
) -> None:
    await fleet.get(BOOTSTRAP, fleet.alice, via=0)
    fleet.clock.advance(301)
    await until(partial(heard, fleet))
    fleet.tenant.hold(OF_ALICE, at="request")
    answer = await fleet.get(BOOTSTRAP, fleet.tenant.another(fleet.alice), via=1)
    assert answer.json()["RelatedProfiles"]
    assert int(answer.headers["age"]) >= 301


async def heard(fleet: Stage) -> bool:
    answer = await fleet.get("/readyz", via=1)
    return bool(answer.json()["checks"]["invalidations"] == "heard")
