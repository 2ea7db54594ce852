"""Cache rules 6 and 7, two tiers of which one may be away, through real sockets."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from bff.cache.guarded import GuardedStore
from tests.support import fair_time
from tests.support.gateway import BOOTSTRAP, PROFILES, SWITCH, Stage, related, stage, until
from tests.support.redis_server import RedisServer
from tests.support.slow_proxy import slow_proxy


def detail(answer: httpx.Response) -> str:
    value: str = answer.headers["cache-status"]
    return value.rpartition("detail=")[2]


class TestRule6TwoTiers:
    async def test_a_copy_in_another_process_is_gone_when_a_write_is_answered(
        self, pair: Stage
    ) -> None:
        for _ in range(2):
            warm = await pair.get(BOOTSTRAP, pair.alice, via=1)
        assert detail(warm) == "l1"
        await pair.send("PUT", f"{SWITCH}?coworkerId=145", pair.alice)
        after = await pair.get(BOOTSTRAP, pair.alice, via=1)
        assert after.json()["Bootstrap"]["CoworkerId"] == 145

    async def test_a_write_is_answered_once_the_last_process_has_heard_of_it(
        self, redis_url: str
    ) -> None:
        async with (
            slow_proxy(redis_url) as proxy,
            stage(redis_url) as near,
            stage(proxy.url, beside=near) as far,
        ):
            for _ in range(2):
                warm = await far.get(BOOTSTRAP, far.alice)
            assert detail(warm) == "l1"
            proxy.delay_s = lambda: 0.1
            await near.send("PUT", f"{SWITCH}?coworkerId=145", near.alice)
            proxy.delay_s = lambda: 0.0
            after = await far.get(BOOTSTRAP, far.alice)
            assert after.json()["Bootstrap"]["CoworkerId"] == 145

    async def test_the_age_of_a_copy_in_process_is_capped(self, redis_url: str) -> None:
        async with stage(redis_url, env={"BFF_L1_MAX_AGE_S": "0.03"}) as s:
            await s.get(PROFILES, s.alice)

            async def asks_the_store() -> bool:
                return detail(await s.get(PROFILES, s.alice)) == "l2"

            await until(asks_the_store)
            assert s.tenant.arrivals(PROFILES) == 1

    async def test_the_tier_in_process_is_bounded(self) -> None:
        async with stage(env={"BFF_L1_BYTES": "20000"}) as s:
            for number in range(60):
                await s.get(f"{BOOTSTRAP}?_shape=User.Id,x{number}", s.alice)
            assert await s.metric("bff_l1_bytes") <= 20_000

    async def test_long_shapes_count(self) -> None:
        """They are chosen by the caller and kept in the keys."""
        async with stage(env={"BFF_L1_BYTES": "400000"}) as s:
            for number in range(100):
                long = ",".join(f"x{number}{part:03}" + "y" * 35 for part in range(90))
                answer = await s.get(f"{BOOTSTRAP}?_shape=User.Id,{long}", s.alice)
                assert answer.status_code == 200
            assert await s.metric("bff_l1_items") < 80


class TestRule7RedisIsAnAccelerator:
    async def test_requests_go_on_without_it_and_it_is_used_again(
        self, own_redis: RedisServer
    ) -> None:
        async with stage(own_redis.url) as s:
            whole = await s.get(BOOTSTRAP, s.alice)
            own_redis.kill()
            for member in (s.alice, s.bob, s.alice, s.bob):
                assert (await s.get(BOOTSTRAP, member)).status_code == 200
            assert (await s.get("/readyz")).json()["checks"]["store"].startswith("away")
            assert await s.metric("bff_store_available") == 0
            own_redis.restart()

            async def is_back() -> bool:
                return await s.metric("bff_store_available") == 1

            await until(is_back)
            assert (await s.get(BOOTSTRAP, s.alice)).content == whole.content

    async def test_pitfall_23_patience_with_it_leaves_time_for_nexudus(
        self, own_redis: RedisServer
    ) -> None:
        env = {"BFF_DEADLINE_S": "1", "BFF_REDIS_TIMEOUT_MS": "10000"}
        async with stage(own_redis.url, env=env, settles=False) as s:
            own_redis.pause()
            try:
                began = fair_time.now()
                answer = await s.get(BOOTSTRAP, s.alice)
                assert fair_time.now() - began < 5
            finally:
                own_redis.resume()
            assert answer.status_code == 200

    async def test_pitfall_23_no_cached_route_waits_for_it_longer_than_the_deadline(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Patience with it counts idle time only, so a busy process would have it for ever."""

        async def hangs(*_: object) -> None:
            await asyncio.Event().wait()

        async with stage(env={"BFF_DEADLINE_S": "0.1"}, settles=False) as s:
            monkeypatch.setattr(GuardedStore, "load", hangs)
            async with asyncio.timeout(5):
                asked = [s.get(path, s.alice) for path in (BOOTSTRAP, PROFILES, related(101))]
                answers = await asyncio.gather(*asked)
            assert [answer.status_code for answer in answers] == [504] * 3
