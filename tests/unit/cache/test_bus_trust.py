"""When one bus trusts that it hears everything, and when no longer."""

from __future__ import annotations

import asyncio

import orjson
import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from bff.cache.bus import RedisBus
from bff.cache.connect import connect
from bff.clock import SystemClock
from tests.support.cache_process import (
    SPACE,
    Process,
    Setting,
    assemble,
    trusting,
    until,
)
from tests.support.standing_still import stood_still
from tests.unit.cache.bus_world import (
    INBOX,
    PACE,
    keep,
    listening,
)


async def test_it_trusts_once_its_heartbeat_came_back_and_registers_in_every_space(
    redis: Redis,
) -> None:
    setting = Setting(pace=PACE, spaces=("acme", "beta", "gamma"))
    async with listening(redis, setting) as process:
        assert not process.bus.trusted
        await trusting(process)
        for space in setting.spaces:
            assert await redis.zrange(process.store.registry(space), 0, -1) == [b"mine"]
    for space in setting.spaces:
        assert await redis.zrange(process.store.registry(space), 0, -1) == []


async def test_it_goes_on_trusting_while_heartbeats_come_back(mine: Process) -> None:
    await keep(mine)
    end = SystemClock().monotonic() + 2 * PACE.lease_s
    async with stood_still(PACE.lease_s / 4) as late:
        while SystemClock().monotonic() < end and not late:
            assert mine.bus.trusted
            await asyncio.sleep(PACE.heartbeat_s)
    assert len(mine.memory) == 1 or late


async def test_what_was_kept_before_the_subscription_stood_is_dropped(redis: Redis) -> None:
    process = assemble(redis, "mine", Setting(pace=PACE), redis)
    process.memory.put("k", process.cache.hold("v", 1, frozenset()), process.memory.ticket())
    ticket = process.memory.ticket()
    await process.bus.start()
    await trusting(process)
    assert len(process.memory) == 0
    assert process.memory.overtaken(frozenset(), ticket)
    await process.bus.aclose()


@pytest.mark.parametrize(
    "sent",
    [-1e9, 0, 1e300, True],
)
async def test_a_heartbeat_that_is_not_of_now_is_not_believed(
    redis: Redis, sent: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(_: RedisBus) -> None:
        """No heartbeat of its own."""

    monkeypatch.setattr(RedisBus, "_register", silent)
    async with listening(redis) as process:
        await until_subscribed(redis)
        await redis.publish(INBOX, orjson.dumps({"beat": sent}))
        await redis.publish(INBOX, b'{"ack":"seen","from":"peer"}')
        assert await process.bus.acknowledged("seen", frozenset({"peer"}))
        assert not process.bus.trusted
        now = SystemClock().monotonic()
        await redis.publish(INBOX, orjson.dumps({"beat": now}))
        await trusting(process)


async def until_subscribed(redis: Redis) -> None:
    async with asyncio.timeout(5):
        while not dict(await redis.pubsub_numsub(INBOX))[INBOX.encode()]:  # noqa: ASYNC110
            await asyncio.sleep(0.002)


async def test_trust_ends_with_the_lease_and_what_was_kept_is_dropped(
    mine: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: RedisBus) -> None:
        raise ConnectionError("gone")

    await keep(mine)
    with monkeypatch.context() as patched:
        patched.setattr(RedisBus, "_register", fail)
        await until(lambda: not mine.bus.trusted, 2 * PACE.lease_s + 1)
        assert len(mine.memory) == 0
    await trusting(mine)


async def test_an_expired_lease_is_noticed_even_if_nobody_asks(
    mine: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: RedisBus) -> None:
        raise ConnectionError("gone")

    await keep(mine)
    monkeypatch.setattr(RedisBus, "_register", fail)
    await until(lambda: len(mine.memory) == 0, 2 * PACE.lease_s + 1)


async def test_who_cannot_listen_is_not_registered_so_nobody_waits_for_it(redis: Redis) -> None:
    class Deaf(FakePubSub):
        async def subscribe(self, *_: object) -> None:
            raise ConnectionError("pub/sub is not allowed here")

    listen = connect("embedded://")
    listen.pubsub = Deaf  # type: ignore[method-assign,assignment]
    process = assemble(redis, "mine", Setting(pace=PACE), listen)
    await process.bus.start()
    await asyncio.sleep(5 * PACE.heartbeat_s)
    assert await redis.zrange(process.store.registry(SPACE), 0, -1) == []
    assert not process.bus.trusted
    await process.bus.aclose()


class FakePubSub:
    """As much of redis-py's as the bus opens and closes."""

    async def __aenter__(self) -> FakePubSub:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing to close."""


async def test_alone_a_process_keeps_its_copies_while_it_fails_to_reconnect(redis: Redis) -> None:
    attempts = 0

    class Refusing(FakePubSub):
        async def subscribe(self, *_: object) -> None:
            nonlocal attempts
            attempts += 1
            raise ConnectionError("refused")

    listen = connect("embedded://")
    listen.pubsub = Refusing  # type: ignore[method-assign,assignment]
    process = assemble(redis, "mine", Setting(pace=PACE), listen)
    process.guarded.keep_away()
    ticket = process.memory.ticket()
    await process.bus.start()
    await until(lambda: attempts > 5)
    assert process.memory.put("k", process.cache.hold("v", 1, frozenset()), ticket)
    await until(lambda: attempts > 10)
    assert process.memory.get("k", 0) == "v"
    await process.bus.aclose()
    await process.guarded.aclose()


async def test_what_keeps_it_from_listening_is_said_once(redis: Redis) -> None:
    reasons: list[Exception] = [OSError("refused")] * 5 + [ValueError("a defect")] * 3

    class Failing(FakePubSub):
        async def subscribe(self, *_: object) -> None:
            raise reasons.pop(0) if reasons else OSError("refused")

    listen = connect("embedded://")
    listen.pubsub = Failing  # type: ignore[method-assign,assignment]
    process = assemble(redis, "mine", Setting(pace=PACE), listen)
    with capture_logs() as logs:
        await process.bus.start()
        await until(lambda: not reasons)
        await process.bus.aclose()
    said = [entry["reason"] for entry in logs if entry["event"] == "bus_failing"]
    assert said[:2] == ["OSError", "ValueError"]
    assert len(said) <= 3


async def test_after_its_end_it_trusts_nothing(redis: Redis) -> None:
    async with listening(redis) as process:
        await trusting(process)
    assert not process.bus.trusted


async def test_it_ends_although_the_store_is_gone(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(*_: object) -> int:
        await asyncio.Event().wait()
        raise AssertionError

    async with listening(redis) as process:
        await trusting(process)
        monkeypatch.setattr(process.store.client, "zrem", hang)
