"""One bus by itself: what it makes of messages, of silence, and of its own failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from bff.cache import bus as bus_module
from bff.cache.bus import LEASE_S, LocalBus, Pace, RedisBus
from bff.cache.connect import connect
from bff.cache.remote import LIVE_MS
from bff.clock import SystemClock
from tests.support.cache_process import (
    KEYSPACE,
    SPACE,
    Process,
    Setting,
    assemble,
    entry,
    related,
    trusting,
    until,
)

PACE = Pace(heartbeat_s=0.02, lease_s=0.5)
LIST = entry(b"list", "c:7", "r:related")
INBOX = KEYSPACE.inbox("mine")
CHANNEL = KEYSPACE.base(SPACE) + "bus"
PEER = KEYSPACE.inbox("peer")


@asynccontextmanager
async def listening(redis: Redis, setting: Setting | None = None) -> AsyncIterator[Process]:
    process = assemble(redis, "mine", setting or Setting(pace=PACE), redis)
    await process.bus.start()
    try:
        yield process
    finally:
        await process.bus.aclose()


@pytest.fixture
async def redis() -> AsyncIterator[Redis]:
    client = connect("embedded://")
    yield client
    await client.aclose()


@pytest.fixture
async def mine(redis: Redis) -> AsyncIterator[Process]:
    async with listening(redis) as process:
        await trusting(process)
        yield process


async def keep(process: Process) -> None:
    assert await process.put(related(7), LIST, *LIST.tags)
    assert len(process.memory) == 1


def invalidation(**fields: object) -> bytes:
    whole = {"id": "m1", "from": "peer", "space": SPACE, "tags": ["c:7"]}
    return orjson.dumps({**whole, **fields})


@asynccontextmanager
async def heard_by_peer(redis: Redis) -> AsyncIterator[asyncio.Queue[object]]:
    """What comes to the inbox of another process."""
    answers: asyncio.Queue[object] = asyncio.Queue()
    async with redis.pubsub(ignore_subscribe_messages=True) as subscription:
        await subscription.subscribe(PEER)

        async def listen() -> None:
            while True:
                message = await subscription.get_message(timeout=5)
                if message is not None:
                    answers.put_nowait(orjson.loads(message["data"]))

        task = asyncio.create_task(listen())
        try:
            yield answers
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_alone_there_is_nobody_to_wait_for() -> None:
    bus = LocalBus()
    await bus.start()
    assert bus.trusted
    assert await bus.acknowledged("m", frozenset({"anybody"}))
    await bus.aclose()


def test_a_process_stops_trusting_before_its_peers_stop_waiting_for_it() -> None:
    assert LEASE_S * 1000 < LIVE_MS
    with pytest.raises(ValueError, match="before its peers"):
        Pace(lease_s=LIVE_MS / 1000)


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
    while SystemClock().monotonic() < end:
        assert mine.bus.trusted
        await asyncio.sleep(PACE.heartbeat_s)
    assert len(mine.memory) == 1


async def test_what_was_kept_before_the_subscription_stood_is_dropped(redis: Redis) -> None:
    process = assemble(redis, "mine", Setting(pace=PACE), redis)
    process.memory.put("k", process.cache.hold("v", 1, frozenset()), process.memory.ticket())
    ticket = process.memory.ticket()
    await process.bus.start()
    await trusting(process)
    assert len(process.memory) == 0
    assert process.memory.overtaken(frozenset(), ticket)
    await process.bus.aclose()


async def test_an_invalidation_from_elsewhere_is_applied_and_answered(
    mine: Process, redis: Redis
) -> None:
    await keep(mine)
    async with heard_by_peer(redis) as answers:
        await redis.publish(CHANNEL, invalidation())
        assert await asyncio.wait_for(answers.get(), 5) == {"ack": "m1", "from": "mine"}
    assert len(mine.memory) == 0


async def test_its_own_invalidation_is_neither_applied_again_nor_answered(
    mine: Process, redis: Redis
) -> None:
    await keep(mine)
    async with heard_by_peer(redis) as answers:
        await redis.publish(CHANNEL, invalidation(**{"from": "mine"}))
        await redis.publish(CHANNEL, invalidation(id="m2", tags=["c:9"]))
        assert await asyncio.wait_for(answers.get(), 5) == {"ack": "m2", "from": "mine"}
    assert len(mine.memory) == 1


UNKNOWN = [
    b"",
    b"\xff\xfe",
    b"not json",
    b"null",
    b"[1]",
    b"{}",
    b'{"beat":"x"}',
    b'{"ack":1,"from":"peer"}',
    b'{"ack":"m1"}',
    b'{"id":"m1","from":"peer","space":"acme"}',
    b'{"id":"m1","from":"peer","space":"acme","tags":"c:7"}',
    b'{"id":"m1","space":"acme","tags":["c:7"]}',
    b'{"v":2,"from":"peer","drop":{"space":"acme"}}',
]


@pytest.mark.parametrize("message", UNKNOWN)
async def test_a_message_of_unknown_form_may_have_dropped_anything_and_ends_nothing(
    mine: Process, redis: Redis, message: bytes
) -> None:
    await keep(mine)
    await redis.publish(CHANNEL, message)
    await until(lambda: len(mine.memory) == 0)
    assert mine.bus.trusted
    await keep(mine)
    await redis.publish(CHANNEL, invalidation())
    await until(lambda: len(mine.memory) == 0)


async def test_tags_of_any_kind_are_applied(mine: Process, redis: Redis) -> None:
    await keep(mine)
    await redis.publish(CHANNEL, invalidation(tags=["", 5, None, "c:7"]))
    await until(lambda: len(mine.memory) == 0)
    assert mine.bus.trusted


async def test_a_failure_while_applying_costs_the_trust_until_it_listens_anew(
    mine: Process, redis: Redis
) -> None:
    def fail(space: str, tags: frozenset[str]) -> None:
        mine.invalidator.on_applied = lambda _space, _tags: None
        raise KeyError("a defect")

    mine.invalidator.on_applied = fail
    await keep(mine)
    async with heard_by_peer(redis) as answers:
        await redis.publish(CHANNEL, invalidation(tags=["c:9"]))
        await until(lambda: len(mine.memory) == 0)
        assert not mine.bus.trusted
        await trusting(mine)
        await redis.publish(CHANNEL, invalidation(id="m2"))
        # What could not be applied was not acknowledged either.
        assert await asyncio.wait_for(answers.get(), 5) == {"ack": "m2", "from": "mine"}


async def test_an_answer_that_cannot_be_sent_ends_nothing(
    mine: Process, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> int:
        raise ConnectionError("gone")

    monkeypatch.setattr(mine.store.client, "publish", fail)
    await keep(mine)
    await redis.execute_command("PUBLISH", CHANNEL, invalidation())  # type: ignore[no-untyped-call]
    await until(lambda: len(mine.memory) == 0)
    assert mine.bus.trusted
    await keep(mine)
    await redis.execute_command("PUBLISH", CHANNEL, invalidation())  # type: ignore[no-untyped-call]
    await until(lambda: len(mine.memory) == 0)


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


async def test_it_waits_for_exactly_the_peers_it_was_given(mine: Process, redis: Redis) -> None:
    waiting = asyncio.create_task(mine.bus.acknowledged("m", frozenset({"a", "b"})))
    for peer in ("a", "c", "a"):
        await redis.publish(INBOX, orjson.dumps({"ack": "m", "from": peer}))
    await redis.publish(INBOX, orjson.dumps({"ack": "other", "from": "b"}))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await redis.publish(INBOX, orjson.dumps({"ack": "m", "from": "b"}))
    assert await waiting


async def test_without_peers_it_waits_for_nobody(mine: Process) -> None:
    assert await mine.bus.acknowledged("m", frozenset())


async def test_an_answer_that_comes_before_anybody_waits_for_it_counts(
    mine: Process, redis: Redis
) -> None:
    await redis.publish(INBOX, b'{"ack":"m","from":"a"}')
    await redis.publish(INBOX, b'{"ack":"n","from":"a"}')
    assert await mine.bus.acknowledged("n", frozenset({"a"}))
    assert await asyncio.wait_for(mine.bus.acknowledged("m", frozenset({"a"})), 0.1)


async def test_it_waits_for_a_silent_peer_no_longer_than_a_lease(mine: Process) -> None:
    began = SystemClock().monotonic()
    assert not await mine.bus.acknowledged("m", frozenset({"silent"}))
    assert PACE.lease_s <= SystemClock().monotonic() - began < PACE.lease_s + 0.5


async def test_answers_that_nobody_waits_for_do_not_pile_up(
    mine: Process, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus_module, "MAX_WAITERS", 10)
    for number in range(50):
        await redis.publish(INBOX, orjson.dumps({"ack": f"late{number}", "from": "a"}))
    assert await mine.bus.acknowledged("late49", frozenset({"a"}))
    assert isinstance(mine.bus, RedisBus)
    assert len(mine.bus._waiters) <= 10


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
