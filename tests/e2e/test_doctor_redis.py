"""`bff doctor` before a Redis that is away, as it comes, or does not do what is needed."""

from __future__ import annotations

import pytest
import redis

from bff.doctor import Result
from tests.e2e.doctor_stage import NOBODY, BriskClock, findings, results
from tests.support.redis_server import RedisServer


async def test_redis_down_is_a_fault(own_redis: RedisServer) -> None:
    own_redis.kill()
    found = await findings(NOBODY, BFF_REDIS_URL=own_redis.url)
    assert found["Redis"].result is Result.FAULT
    assert "Redis version" not in found


async def test_a_redis_that_hangs_is_a_fault(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bff.doctor.store.LIMIT_S", 0.3)
    own_redis.pause()
    found = await findings(NOBODY, BFF_REDIS_URL=own_redis.url)
    assert found["Redis"].detail.endswith("does not answer (TimeoutError)")


async def test_a_redis_as_it_comes_is_warned_about(redis_url: str) -> None:
    found = await findings(NOBODY, BFF_REDIS_URL=redis_url)
    of_redis = {check: result for check, result in results(found).items() if "Redis" in check}
    assert of_redis == {
        "Redis": "ok",
        "Redis version": "ok",
        "Redis memory": "warning",
        "Redis eviction": "warning",
        "clock against Redis": "ok",
        "Redis scripts": "ok",
        "Redis messages": "ok",
    }
    assert "noeviction" in found["Redis eviction"].detail


@pytest.mark.parametrize(
    ("ahead_s", "result", "words"),
    [(30.0, "warning", "30 s ahead"), (-90.0, "fault", "90 s behind"), (3.0, "ok", "within 5 s")],
)
async def test_the_clock_is_compared_with_that_of_redis(
    redis_url: str, ahead_s: float, result: str, words: str
) -> None:
    found = await findings(NOBODY, clock=BriskClock(ahead_s), BFF_REDIS_URL=redis_url)
    finding = found["clock against Redis"]
    assert (finding.result.value, finding.detail) == (result, words)


@pytest.mark.parametrize(
    ("rights", "check"),
    [
        ("-evalsha -eval", "Redis scripts"),
        ("resetchannels", "Redis messages"),
        ("-info", "Redis version"),
    ],
)
async def test_what_redis_does_not_allow_is_told(
    own_redis: RedisServer, rights: str, check: str
) -> None:
    with redis.Redis.from_url(own_redis.url) as admin:
        words = f"ACL SETUSER limited on >hidden ~* &* +@all {rights}".split()
        admin.execute_command(*words)
    url = own_redis.url.replace("//", "//limited:hidden@")
    found = await findings(NOBODY, BFF_REDIS_URL=url)
    assert found[check].result is not Result.OK
    assert found["Redis"].result is Result.OK
    assert "hidden" not in repr(found)


async def test_a_wrong_password_is_told_as_such(own_redis: RedisServer) -> None:
    url = own_redis.url.replace("//", "//nobody:hidden@")
    found = await findings(NOBODY, BFF_REDIS_URL=url)
    assert found["Redis"].remedy == "Check user and password in BFF_REDIS_URL."
    assert "hidden" not in repr(found)


async def test_a_replica_cannot_be_used(own_redis: RedisServer) -> None:
    with redis.Redis.from_url(own_redis.url) as admin:
        admin.execute_command("REPLICAOF", "127.0.0.1", "9")
    found = await findings(NOBODY, BFF_REDIS_URL=own_redis.url)
    assert found["Redis scripts"].result is Result.FAULT


async def test_the_embedded_cache_needs_no_redis() -> None:
    found = await findings(NOBODY)
    assert found["Redis"].result is Result.OK
    assert "one worker" in found["Redis"].detail
