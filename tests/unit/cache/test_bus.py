"""One bus by itself: what it makes of messages, of silence, and of its own failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import orjson
import pytest
from redis.asyncio import Redis

from bff.cache import bus as bus_module
from bff.cache.bus import LEASE_S, LocalBus, Pace, RedisBus
from bff.cache.lineage import Step
from bff.cache.remote import LIVE_MS
from bff.clock import SystemClock
from tests.support.cache_process import (
    SPACE,
    Process,
    trusting,
    until,
)
from tests.unit.cache.bus_world import (
    CHANNEL,
    INBOX,
    PACE,
    PEER,
    keep,
)


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


async def test_an_invalidation_from_elsewhere_is_applied_and_answered(
    mine: Process, redis: Redis
) -> None:
    await keep(mine)
    async with heard_by_peer(redis) as answers:
        await redis.publish(CHANNEL, invalidation())
        assert await asyncio.wait_for(answers.get(), 5) == {"ack": "m1", "from": "mine"}
    assert len(mine.memory) == 0


async def test_what_the_store_forgot_is_waited_for_half_a_lease_before_the_answer(
    mine: Process, redis: Redis
) -> None:
    async def mended() -> None:
        await asyncio.Event().wait()

    seen: list[tuple[str, Step]] = []

    def passed(space: str, step: Step) -> bool:
        seen.append((space, step))
        return True

    assert isinstance(mine.bus, RedisBus)
    mine.bus._listener = replace(mine.bus._listener, passed=passed, mended=mended)
    began = SystemClock().monotonic()
    async with heard_by_peer(redis) as answers:
        await redis.publish(CHANNEL, invalidation(before=5, stamp=9))
        assert await asyncio.wait_for(answers.get(), 5) == {"ack": "m1", "from": "mine"}
    assert SystemClock().monotonic() - began >= PACE.lease_s / 2
    assert seen == [(SPACE, Step(5, 9))]


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
    assert await mine.bus.acknowledged("m", frozenset({"a"}))


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
