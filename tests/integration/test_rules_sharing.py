"""Cache rule 9, sharing is watched, through real sockets."""

from __future__ import annotations

from typing import Final

import pytest

from bff.sandbox.model import Behaviour
from tests.support.gateway import (
    BOOTSTRAP,
    EDIT,
    OPS_TOKEN,
    PROFILES,
    Stage,
    bearer,
    related,
    stage,
    until,
)

OF_ALICE = related(101)
OF_BOB = related(202)
WATCHED: Final = {"BFF_SENTINEL_RATE": "1"}


async def operate(stage: Stage, scope: str) -> None:
    """An operator sets how the related lists of the only space are kept."""
    answer = await stage.send(
        "POST", "/ops/api/sharing", headers=bearer(OPS_TOKEN),
        content=b'{"scope":"%s"}' % scope.encode(),
    )  # fmt: skip
    assert answer.status_code == 200, answer.text


async def compared(stage: Stage, outcome: str, times: int = 1) -> None:
    """Returns once so many comparisons ended like this, and what follows from them is done."""

    async def has_ended() -> bool:
        return await stage.metric("bff_comparisons", outcome) >= times

    await until(has_ended)
    if outcome == "different":

        async def is_told() -> bool:
            return await stage.metric("bff_invalidations", "sharing_demoted") >= 1

        await until(is_told)


class TestRule9SharingIsWatched:
    async def test_equal_lists_stay_shared(self, redis_url: str) -> None:
        async with stage(redis_url, env=WATCHED) as s:
            await s.get(OF_ALICE, s.alice)
            await s.get(OF_ALICE, s.bob)
            await compared(s, "same")
            assert s.tenant.arrivals(OF_ALICE, token=s.bob.token) == 1
            s.tenant.forget_visits()
            await s.get(OF_ALICE, s.tenant.another(s.bob))
            await compared(s, "same", 2)
            assert [visit.path for visit in s.tenant.visits()] == [PROFILES, OF_ALICE]

    async def test_a_difference_ends_sharing_everywhere_at_once(self, redis_url: str) -> None:
        async with stage(redis_url, gateways=2, env=WATCHED) as s:
            s.tenant.sandbox.world.behaviour = Behaviour(viewer_threads=True)
            for via in (0, 1):
                await s.get(OF_ALICE, s.alice, via=via)
            await s.get(OF_ALICE, s.bob)
            await compared(s, "different")
            for via in (1, 0):
                for target in (OF_ALICE, f"{OF_ALICE}?_shape=Threads"):
                    for member in (s.bob, s.alice):
                        theirs = (await s.get(target, member, via=via)).text
                        assert f"Only for user {member.user_id}" in theirs
                        assert theirs.count("Only for user") == 1
            assert await s.metric("bff_invalidations", "sharing_demoted") == 1

    async def test_lists_are_then_cached_for_each_token(self, redis_url: str) -> None:
        async with stage(redis_url, gateways=2, env={"BFF_RELATED_SCOPE": "token"}) as s:
            s.tenant.sandbox.world.behaviour = Behaviour(viewer_threads=True)
            for _ in range(2):
                for via in (0, 1):
                    for member in (s.alice, s.bob):
                        for target in (OF_ALICE, f"{BOOTSTRAP}?coworkerId=101"):
                            answer = await s.get(target, member, via=via)
                            if target == OF_ALICE or member is s.alice:
                                assert f"Only for user {member.user_id}" in answer.text
                            assert answer.text.count("Only for user") == 1
            assert s.tenant.arrivals(OF_ALICE) == 2

    async def test_a_flight_that_began_before_it_is_not_shared_after_it(self) -> None:
        async with stage(env={"BFF_SENTINEL_RATE": "0"}) as s:
            s.tenant.sandbox.world.behaviour = Behaviour(viewer_threads=True)
            await s.prove(s.alice, s.bob)
            s.tenant.hold(OF_ALICE, count=1)
            leader = s.later(OF_ALICE, s.alice)
            await s.tenant.held()
            follower = s.later(OF_ALICE, s.bob)
            await s.waiting(2)
            await operate(s, "token")
            s.tenant.release()
            assert "Only for user 7001" in (await leader).text
            theirs = (await follower).text
            assert "Only for user 7001" not in theirs
            assert "Only for user 7002" in theirs

    async def test_a_change_meanwhile_is_no_difference(self, redis_url: str) -> None:
        async with stage(redis_url, env=WATCHED) as s:
            await s.prove(s.alice, s.bob)
            await s.get(OF_BOB, s.alice)
            s.tenant.hold(OF_BOB, at="request")
            await s.get(OF_BOB, s.bob)
            await s.tenant.held()
            written = await s.send("PATCH", EDIT, s.alice, content=b'{"FullName":"New"}')
            assert written.status_code == 200
            s.tenant.release()
            await compared(s, "overtaken")
            assert await s.metric("bff_invalidations", "sharing_demoted") == 0
            await s.get(OF_BOB, s.alice)
            await s.get(OF_BOB, s.bob)
            await compared(s, "same")

    async def test_an_operator_restores_it_everywhere(
        self, redis_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bff.session.sharing.POLL_S", 0.02)
        async with stage(redis_url, gateways=2) as s:
            await operate(s, "token")
            await s.get(OF_ALICE, s.alice, via=1)
            await s.get(OF_ALICE, s.bob, via=1)
            assert s.tenant.arrivals(OF_ALICE) == 2
            await operate(s, "coworker")

            async def shares() -> bool:
                s.tenant.forget_visits()
                for _ in range(2):
                    await s.get(OF_ALICE, s.tenant.another(s.alice), via=1)
                return s.tenant.arrivals(OF_ALICE) <= 1

            await until(shares)

    async def test_what_the_configuration_says_is_not_an_operators_to_change(self) -> None:
        async with stage(env={"BFF_RELATED_SCOPE": "token"}) as s:
            answer = await s.send(
                "POST", "/ops/api/sharing", headers=bearer(OPS_TOKEN),
                content=b'{"scope":"coworker"}',
            )  # fmt: skip
            assert answer.status_code == 400

    async def test_a_gateway_that_starts_later_knows(self, redis_url: str) -> None:
        async with stage(redis_url) as s:
            await operate(s, "token")
            async with stage(redis_url, beside=s) as later:
                await later.get(OF_ALICE, later.alice)
                await later.get(OF_ALICE, later.bob)
                assert later.tenant.arrivals(OF_ALICE) == 2
