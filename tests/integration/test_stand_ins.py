"""Redis away and Nexudus not to be had: what a process holds stands in, for its own members."""

from __future__ import annotations

from functools import partial

from bff.sandbox.effects import Status
from tests.support.gateway import BOOTSTRAP, PROFILES, SWITCH, Stage, related, stage, until
from tests.support.redis_server import RedisServer

QUICK = {"BFF_REDIS_TIMEOUT_MS": "50", "BFF_STALE_PATIENCE_S": "0.1"}


async def _away(s: Stage) -> bool:
    checks = (await s.get("/readyz")).json()["checks"]
    return bool(checks["store"] != "used" and checks["invalidations"] != "heard")


async def lost(s: Stage, server: RedisServer) -> None:
    """Redis is gone, and the gateway knows that it may have missed invalidations."""
    server.kill()

    async def noticed() -> bool:
        await s.get(PROFILES, s.alice)
        return await _away(s)

    await until(noticed)


async def test_pitfall_23_without_redis_and_nexudus_members_see_what_they_saw(
    own_redis: RedisServer,
) -> None:
    async with stage(own_redis.url, env=QUICK) as s:
        for member in (s.alice, s.bob):
            assert (await s.get(BOOTSTRAP, member)).status_code == 200
        s.tenant.fault(Status(500))
        await lost(s, own_redis)

        for member, other in ((s.alice, s.bob), (s.bob, s.alice)):
            answer = await s.get(BOOTSTRAP, member)
            assert answer.status_code == 200
            assert member.canary in answer.text
            assert other.canary not in answer.text
            assert "stale-if-error" in answer.headers["cache-status"]
        stranger = await s.get(PROFILES, s.tenant.another(s.alice))
        assert stranger.status_code == 500, "a token that nobody knows is shown nothing"


async def test_pitfall_22_what_a_member_changed_does_not_stand_in(own_redis: RedisServer) -> None:
    async with stage(own_redis.url, env=QUICK) as s:
        await s.get(BOOTSTRAP, s.alice)
        await s.get(BOOTSTRAP, s.bob)
        await lost(s, own_redis)
        assert (await s.send("PUT", f"{SWITCH}?coworkerId=145", s.alice)).status_code == 200
        s.tenant.fault(Status(500), PROFILES)
        assert (await s.get(PROFILES, s.alice)).status_code == 500
        assert (await s.get(PROFILES, s.bob)).status_code == 200


async def test_pitfall_2_a_copy_that_stands_in_proves_nobody(own_redis: RedisServer) -> None:
    async with stage(own_redis.url, env=QUICK) as s:
        assert (await s.get(related(202), s.alice)).status_code == 200
        await lost(s, own_redis)
        s.tenant.sandbox.tokens.revoke(s.alice.token)
        answer = await s.get(related(202), s.alice)
        assert answer.status_code == 401


async def test_once_nexudus_answers_nothing_stands_in(own_redis: RedisServer) -> None:
    async with stage(own_redis.url, env=QUICK) as s:
        await s.get(PROFILES, s.alice)
        await lost(s, own_redis)
        await until(partial(_is_fetched, s))


async def _is_fetched(s: Stage) -> bool:
    answer = await s.get(PROFILES, s.alice)
    return answer.status_code == 200 and "stale" not in answer.headers["cache-status"]
