"""Cache rule 5, one flight, through real sockets."""

from __future__ import annotations

import asyncio

import pytest

from bff.sandbox.effects import SetCookie, Status
from tests.support.gateway import BOOTSTRAP, PROFILES, Stage, bearer, related

OF_ALICE = related(101)


class TestRule5OneFlight:
    async def test_concurrent_misses_of_one_token_are_one_call(self, solo: Stage) -> None:
        solo.tenant.hold(PROFILES)
        asking = [solo.later(BOOTSTRAP, solo.alice) for _ in range(50)]
        asking += [solo.later(f"{PROFILES}?_shape=User", solo.alice) for _ in range(50)]
        await solo.tenant.held()
        await solo.waiting(100)
        solo.tenant.release()
        assert {(await each).status_code for each in asking} == {200}
        assert [visit.path for visit in solo.tenant.visits()] == [PROFILES, OF_ALICE]

    async def test_a_related_list_is_fetched_once_for_all_proven_tokens(self, solo: Stage) -> None:
        members = solo.crowd(30)
        await solo.prove(*members)
        solo.tenant.hold(OF_ALICE)
        asking = [solo.later(OF_ALICE, member) for member in members]
        await solo.tenant.held()
        await solo.waiting(30)
        solo.tenant.release()
        answers = [await each for each in asking]
        assert {answer.content for answer in answers} == {answers[0].content}
        assert solo.tenant.arrivals(OF_ALICE) == 1
        assert sum("collapsed" in each.headers["cache-status"] for each in answers) == 29

    async def test_a_leader_that_leaves_disturbs_nobody(self, solo: Stage) -> None:
        members = solo.crowd(5)
        await solo.prove(*members)
        solo.tenant.hold(OF_ALICE)
        leader = solo.later(OF_ALICE, members[0])
        await solo.tenant.held()
        followers = [solo.later(OF_ALICE, member) for member in members[1:]]
        await solo.waiting(5)
        leader.cancel()
        await asyncio.gather(leader, return_exceptions=True)
        solo.tenant.release()
        assert {(await each).status_code for each in followers} == {200}
        assert solo.tenant.arrivals(OF_ALICE) == 1

    async def test_a_refusal_of_the_leader_is_the_leaders_own(self, solo: Stage) -> None:
        members = solo.crowd(5)
        await solo.prove(*members)
        solo.tenant.sandbox.tokens.revoke(members[0].token)
        solo.tenant.hold(OF_ALICE, token=members[0].token, at="request")
        leader = solo.later(OF_ALICE, members[0])
        await solo.tenant.held()
        followers = [solo.later(OF_ALICE, member) for member in members[1:]]
        await solo.waiting(5)
        solo.tenant.release()
        assert (await leader).status_code == 401
        assert {(await each).status_code for each in followers} == {200}
        proofs = [solo.tenant.arrivals(PROFILES, token=member.token) for member in members]
        assert proofs == [1] * 5, "nobody else's proof was withdrawn"

    async def test_nobody_waits_for_a_caller_that_is_not_proven(self, solo: Stage) -> None:
        await solo.prove(solo.bob)
        for path in (OF_ALICE, PROFILES):
            solo.tenant.hold(path, token="garbage", at="request")
        hinted = f"{BOOTSTRAP}?coworkerId=101"
        garbage = asyncio.create_task(solo.get(hinted, headers=bearer("garbage")))
        await solo.tenant.held(2)
        assert (await solo.get(OF_ALICE, solo.bob)).status_code == 200
        assert not garbage.done()
        solo.tenant.release()
        assert (await garbage).status_code == 401

    async def test_what_is_the_leaders_alone_is_then_fetched_by_all_at_once(
        self, solo: Stage
    ) -> None:
        """Not one after the other: the last of them would wait for all."""
        members = solo.crowd(12)
        await solo.prove(*members)
        solo.tenant.fault(SetCookie(), OF_ALICE)
        solo.tenant.hold(OF_ALICE)
        asking = [solo.later(OF_ALICE, member) for member in members]
        await solo.tenant.held()
        await solo.waiting(12)
        solo.tenant.sandbox.holds.release(1)
        await solo.tenant.held(11)
        solo.tenant.release()
        assert {(await each).status_code for each in asking} == {200}

    @pytest.mark.parametrize("status", [404, 500])
    async def test_pitfall_3_a_refusal_is_shared_without_what_it_says(
        self, status: int, solo: Stage
    ) -> None:
        await solo.prove(solo.alice, solo.bob)
        refused = Status(status, body=solo.alice.canary)
        solo.tenant.fault(refused, OF_ALICE, token=solo.alice.token)
        solo.tenant.hold(OF_ALICE)
        leader = solo.later(OF_ALICE, solo.alice)
        await solo.tenant.held()
        follower = solo.later(OF_ALICE, solo.bob)
        await solo.waiting(2)
        solo.tenant.sandbox.holds.release()
        assert (await leader).text == solo.alice.canary
        joined = await follower
        assert (joined.status_code, joined.content) == (status, b"")
        assert solo.tenant.arrivals(OF_ALICE) == 1

    async def test_a_throttle_is_shared_with_its_retry_after(self, solo: Stage) -> None:
        await solo.prove(solo.alice, solo.bob)
        solo.tenant.hold(OF_ALICE, at="request")
        solo.tenant.fault(Status(409, retry_after=4), OF_ALICE)
        asking = [solo.later(OF_ALICE, member) for member in (solo.alice, solo.bob)]
        await solo.tenant.held()
        await solo.waiting(2)
        solo.tenant.sandbox.holds.release()
        for each in asking:
            answer = await each
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "4")
        assert solo.tenant.arrivals(OF_ALICE) == 1
