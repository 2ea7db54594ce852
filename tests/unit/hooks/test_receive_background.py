"""Behind the answer: bounded, tried again, waited for at the end, never lost in silence."""

from __future__ import annotations

import asyncio

import pytest

from bff.errors import CredentialsError, Overloaded, StoreUnavailable
from bff.hooks import ReceiverLimits, WebhookReceiver
from tests.unit.hooks.world import BODY, JANE, World, failing, sign


async def test_the_answer_does_not_wait_for_the_invalidation(
    world: World, receiver: WebhookReceiver
) -> None:
    release = asyncio.Event()
    done: list[bool] = []

    async def slow() -> None:
        await release.wait()
        done.append(True)

    world.work = slow
    await receiver.accept("north", sign(BODY), BODY)
    assert done == []
    release.set()
    await receiver.aclose()
    assert done == [True]


async def test_without_a_memory_every_delivery_is_the_first(
    world: World, receiver: WebhookReceiver
) -> None:
    world.remember = failing(StoreUnavailable("gone"), StoreUnavailable("gone"))
    for _ in range(2):
        assert not (await receiver.accept("north", sign(BODY), BODY)).duplicate
    await receiver.aclose()
    assert world.invalidated == [("north", JANE)] * 2
    assert world.reported == []


async def test_a_memory_that_breaks_otherwise_is_reported_and_loses_nothing(
    world: World, receiver: WebhookReceiver
) -> None:
    error = RuntimeError("a defect")
    world.remember = failing(error)
    assert not (await receiver.accept("north", sign(BODY), BODY)).duplicate
    await receiver.aclose()
    assert world.invalidated == [("north", JANE)]
    assert world.reported == [("north", JANE, error)]


async def test_a_memory_that_hangs_does_not_hold_the_answer(world: World) -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    world.remember = hang
    receiver = world.receiver(ReceiverLimits(attempt_timeout_s=0.01))
    assert not (await receiver.accept("north", sign(BODY), BODY)).duplicate
    await receiver.aclose()
    assert world.invalidated == [("north", JANE)]
    assert [type(error) for _, _, error in world.reported] == [TimeoutError]


async def test_a_failing_invalidation_is_tried_again(
    world: World, receiver: WebhookReceiver
) -> None:
    world.work = failing(StoreUnavailable("gone"), OSError("still"))
    await receiver.accept("north", sign(BODY), BODY)
    await receiver.aclose()
    assert world.invalidated == [("north", JANE)] * 3
    assert world.slept == [0.2, 1.0]
    assert world.reported == []


async def test_an_invalidation_that_keeps_failing_is_reported_once(
    world: World, receiver: WebhookReceiver
) -> None:
    errors = [StoreUnavailable("one"), StoreUnavailable("two"), StoreUnavailable("three")]
    world.work = failing(*errors)
    await receiver.accept("north", sign(BODY), BODY)
    await receiver.aclose()
    assert len(world.invalidated) == 3
    assert world.slept == [0.2, 1.0]
    assert world.reported == [("north", JANE, errors[-1])]


async def test_an_invalidation_that_hangs_is_given_up_and_reported(world: World) -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    world.work = hang
    receiver = world.receiver(ReceiverLimits(attempt_timeout_s=0.01, retry_delays_s=(0.2,)))
    await receiver.accept("north", sign(BODY), BODY)
    await receiver.aclose()
    assert len(world.invalidated) == 2
    assert [type(error) for _, _, error in world.reported] == [TimeoutError]


async def test_past_the_bound_a_delivery_is_sent_back_unremembered(
    world: World, receiver: WebhookReceiver
) -> None:
    release = asyncio.Event()

    async def slow() -> None:
        await release.wait()

    world.work = slow
    bodies = [b'[{"CoworkerId":%d}]' % number for number in (1, 2, 3)]
    for body in bodies[:2]:
        await receiver.accept("north", sign(body), body)
    with pytest.raises(Overloaded) as refused:
        await receiver.accept("north", sign(bodies[2]), bodies[2])
    assert refused.value.retry_after_s == 1
    assert len(world.remembered) == 2
    release.set()
    await receiver.aclose()
    assert len(world.invalidated) == 2


async def test_a_place_is_free_again_when_its_invalidation_is_done(
    world: World, receiver: WebhookReceiver
) -> None:
    settled = asyncio.Event()

    async def settle() -> None:
        settled.set()

    world.work = settle
    for number in range(1, 20):
        settled.clear()
        body = b'[{"CoworkerId":%d}]' % number
        await receiver.accept("north", sign(body), body)
        await settled.wait()
        await asyncio.sleep(0)
    await receiver.aclose()
    assert len(world.invalidated) == 19


async def test_an_unproven_webhook_learns_nothing_of_the_load(world: World) -> None:
    receiver = world.receiver(ReceiverLimits(running=0))
    with pytest.raises(CredentialsError):
        await receiver.accept("north", [], BODY)
    with pytest.raises(Overloaded):
        await receiver.accept("north", sign(BODY), BODY)


async def test_a_cancelled_caller_loses_no_invalidation(
    world: World, receiver: WebhookReceiver
) -> None:
    asked, release = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        asked.set()
        await release.wait()

    world.remember = slow
    caller = asyncio.create_task(receiver.accept("north", sign(BODY), BODY))
    await asked.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    release.set()
    await receiver.aclose()
    assert world.invalidated == [("north", JANE)]


async def test_a_caller_does_not_hang_when_its_delivery_is_cancelled(world: World) -> None:
    asked = asyncio.Event()

    async def hang() -> None:
        asked.set()
        await asyncio.Event().wait()

    world.remember = hang
    receiver = world.receiver()
    before = asyncio.all_tasks()
    caller = asyncio.create_task(receiver.accept("north", sign(BODY), BODY))
    await asked.wait()
    for task in asyncio.all_tasks() - before - {caller}:
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller


async def test_closing_waits_and_lets_nothing_more_in(
    world: World, receiver: WebhookReceiver
) -> None:
    release = asyncio.Event()

    async def slow() -> None:
        await release.wait()

    world.work = slow
    await receiver.accept("north", sign(BODY), BODY)
    closing = asyncio.create_task(receiver.aclose())
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await receiver.accept("north", sign(b"[]"), b"[]")
    assert not closing.done()
    release.set()
    await closing
    await receiver.aclose()
    assert len(world.invalidated) == 1
