"""What comes before the answer: applied, tried again, bounded, never lost in silence."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import pytest

from bff.errors import CredentialsError, Overloaded, StoreUnavailable
from bff.hooks import Accepted, Affected, DeliveryLimits, WebhookReceiver
from tests.unit.hooks.world import BODY, JANE, LIMITS, PATIENCE_S, Gate, World, failing, sign


def about(*coworkers: int) -> bytes:
    return b"[%s]" % b",".join(b'{"CoworkerId":%d}' % each for each in coworkers)


def deliver(
    receiver: WebhookReceiver, body: bytes = BODY, space: str = "north"
) -> asyncio.Task[Accepted]:
    """A delivery that is under way once the next line runs after an `await`."""
    return asyncio.create_task(receiver.accept(space, sign(body), body))


async def turns(count: int = 20) -> None:
    """Everybody who can go on does."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_the_answer_comes_once_it_is_applied_and_remembered(
    world: World, receiver: WebhookReceiver
) -> None:
    world.work, world.note = applying, noting = Gate(), Gate()
    caller = deliver(receiver)
    await applying.begun.wait()
    await turns()
    assert not caller.done()
    assert world.remembered == set(), "if this process ends now, it is to come again"
    applying.opened.set()
    await noting.begun.wait()
    await turns()
    assert not caller.done(), "a copy that comes after the answer is a replay"
    noting.opened.set()
    assert await caller == Accepted(duplicate=False, affected=JANE)


class TestTogether:
    async def test_what_comes_meanwhile_is_one_invalidation(self, world: World) -> None:
        receiver = world.receiver(DeliveryLimits())
        world.work = gate = Gate()
        callers = [deliver(receiver, about(1))]
        await gate.begun.wait()
        callers += [deliver(receiver, about(each)) for each in range(2, 101)]
        await turns()
        gate.opened.set()
        for number, caller in enumerate(callers, 1):
            assert (await caller).affected == Affected(coworkers=frozenset({number}))
        dropped = [sorted(affected.coworkers) for _, affected in world.invalidated]
        assert dropped == [[1], [*range(2, 101)]]
        assert len(world.remembered) == 100
        await receiver.aclose()

    async def test_of_no_more_deliveries_and_ids_than_allowed(self, world: World) -> None:
        limits = DeliveryLimits(together=3, ids=5)
        receiver = world.receiver(limits)
        sizes = [1, 1, 1, 1, 2, 3, 9, 1]
        first = iter(range(1, 100))
        bodies = [about(*(next(first) for _ in range(size))) for size in sizes]
        await asyncio.gather(*(deliver(receiver, body) for body in bodies))
        assert [len(affected.coworkers) for _, affected in world.invalidated] == [3, 3, 3, 9, 1]
        await receiver.aclose()

    async def test_spaces_do_not_wait_for_each_other_nor_share(
        self, world: World, receiver: WebhookReceiver
    ) -> None:
        world.work = gate = Gate()
        north = deliver(receiver)
        await gate.begun.wait()
        world.work = failing()
        body = about(101)
        signed = sign(body, b"the secret of another space")
        assert not (await receiver.accept("south", signed, body)).duplicate
        assert not north.done()
        gate.opened.set()
        await north
        assert world.invalidated == [
            ("north", JANE),
            ("south", Affected(coworkers=frozenset({101}))),
        ]

    @pytest.mark.parametrize("is_under_way", [True, False])
    async def test_copies_wait_for_what_becomes_of_one_of_them(
        self, world: World, receiver: WebhookReceiver, is_under_way: bool
    ) -> None:
        world.work = gate = Gate()
        other = deliver(receiver, BODY if is_under_way else about(9))
        await gate.begun.wait()
        copies = [deliver(receiver) for _ in range(3)]
        await turns()
        assert not any(copy.done() for copy in copies)
        world.work = failing(*[OSError("still")] * 3)
        gate.opened.set()
        results = await asyncio.gather(*copies, return_exceptions=True)
        assert not (await other).duplicate
        assert all(isinstance(each, Accepted) is is_under_way for each in results)
        drops = [affected for _, affected in world.invalidated]
        assert drops.count(JANE) == (1 if is_under_way else 3)

    async def test_a_replay_among_new_ones_affects_nobody(
        self, world: World, receiver: WebhookReceiver
    ) -> None:
        await receiver.accept("north", sign(BODY), BODY)
        again, fresh = deliver(receiver), deliver(receiver, about(9))
        assert (await again, await fresh) == (
            Accepted(duplicate=True, affected=Affected()),
            Accepted(duplicate=False, affected=Affected(coworkers=frozenset({9}))),
        )
        assert world.invalidated[1:] == [("north", Affected(coworkers=frozenset({9})))]

    async def test_it_belongs_to_none_of_the_requests(
        self, world: World, receiver: WebhookReceiver
    ) -> None:
        allowance: ContextVar[str] = ContextVar("allowance", default="none")
        seen: list[str] = []

        async def look() -> None:
            seen.append(allowance.get())

        world.work = look
        allowance.set("of one request")
        await receiver.accept("north", sign(BODY), BODY)
        assert seen == ["none"]


class TestWithoutMemory:
    async def test_every_delivery_is_the_first(
        self, world: World, receiver: WebhookReceiver
    ) -> None:
        world.look = failing(StoreUnavailable("gone"), StoreUnavailable("gone"))
        world.note = failing(StoreUnavailable("gone"), StoreUnavailable("gone"))
        for _ in range(2):
            assert not (await receiver.accept("north", sign(BODY), BODY)).duplicate
        assert world.invalidated == [("north", JANE)] * 2
        assert world.reported == []

    @pytest.mark.parametrize("breaks", ["look", "note"])
    async def test_that_breaks_otherwise_is_reported_and_loses_nothing(
        self, world: World, receiver: WebhookReceiver, breaks: str
    ) -> None:
        error = RuntimeError("a defect")
        setattr(world, breaks, failing(error))
        assert not (await receiver.accept("north", sign(BODY), BODY)).duplicate
        assert world.invalidated == [("north", JANE)]
        assert world.reported == [("north", JANE, error)]

    @pytest.mark.parametrize("hangs", ["look", "note"])
    async def test_that_hangs_does_not_hold_the_answer_for_long(
        self, world: World, hangs: str
    ) -> None:
        setattr(world, hangs, Gate())
        receiver = world.receiver(DeliveryLimits(attempt_timeout_s=0.01))
        assert not (await receiver.accept("north", sign(BODY), BODY)).duplicate
        assert world.invalidated == [("north", JANE)]
        assert [type(error) for _, _, error in world.reported] == [TimeoutError]


class TestWhatFails:
    async def test_is_tried_again(self, world: World, receiver: WebhookReceiver) -> None:
        world.work = failing(StoreUnavailable("gone"), OSError("still"))
        assert not (await receiver.accept("north", sign(BODY), BODY)).duplicate
        assert world.invalidated == [("north", JANE)] * 3
        assert world.slept == [0.2, 1.0]
        assert world.reported == []

    async def test_for_good_is_reported_sent_back_and_taken_when_it_comes_again(
        self, world: World, receiver: WebhookReceiver
    ) -> None:
        errors = [StoreUnavailable("one"), StoreUnavailable("two"), StoreUnavailable("three")]
        world.work = failing(*errors)
        with pytest.raises(Overloaded, match="again") as refused:
            await receiver.accept("north", sign(BODY), BODY)
        assert refused.value.retry_after_s == 1
        assert len(world.invalidated) == 3
        assert world.slept == [0.2, 1.0]
        assert world.reported == [("north", JANE, errors[-1])]
        assert world.remembered == set()
        assert not (await receiver.accept("north", sign(BODY), BODY)).duplicate
        assert len(world.invalidated) == 4

    async def test_by_hanging_is_given_up_and_sent_back(self, world: World) -> None:
        world.work = Gate()
        receiver = world.receiver(DeliveryLimits(attempt_timeout_s=0.01, retry_delays_s=(0.2,)))
        with pytest.raises(Overloaded):
            await receiver.accept("north", sign(BODY), BODY)
        assert len(world.invalidated) == 2
        assert [type(error) for _, _, error in world.reported] == [TimeoutError]

    async def test_in_time_is_sent_back_goes_on_and_is_a_duplicate_once_it_is_done(
        self, world: World
    ) -> None:
        world.work = gate = Gate()
        receiver = world.receiver(answered_within_s=0.01)
        for _ in range(2):
            with pytest.raises(Overloaded, match="in time"):
                await receiver.accept("north", sign(BODY), BODY)
        gate.opened.set()
        await receiver.aclose()
        assert (len(world.invalidated), len(world.remembered)) == (1, 1)
        assert (await world.receiver().accept("north", sign(BODY), BODY)).duplicate


class TestBounds:
    async def test_past_them_a_delivery_is_sent_back_unremembered(
        self, world: World, receiver: WebhookReceiver
    ) -> None:
        world.work = gate = Gate()
        callers = [deliver(receiver, about(1))]
        await gate.begun.wait()
        callers += [deliver(receiver, about(each)) for each in range(2, 2 + LIMITS.waiting)]
        await turns()
        with pytest.raises(Overloaded) as refused:
            await receiver.accept("north", sign(about(9)), about(9))
        assert refused.value.retry_after_s == 1
        gate.opened.set()
        await asyncio.gather(*callers)
        assert len(world.remembered) == 1 + LIMITS.waiting
        assert not (await receiver.accept("north", sign(about(9)), about(9))).duplicate

    async def test_an_unproven_webhook_learns_nothing_of_the_load(self, world: World) -> None:
        receiver = world.receiver(DeliveryLimits(waiting=0))
        with pytest.raises(CredentialsError):
            await receiver.accept("north", [], BODY)
        with pytest.raises(Overloaded):
            await receiver.accept("north", sign(BODY), BODY)


class TestEnds:
    async def test_a_cancelled_caller_loses_nothing_and_disturbs_no_copy(
        self, world: World, receiver: WebhookReceiver
    ) -> None:
        world.look = gate = Gate()
        caller, copy = deliver(receiver), deliver(receiver)
        await gate.begun.wait()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        gate.opened.set()
        await copy
        assert world.invalidated == [("north", JANE)]

    async def test_a_caller_whose_delivery_is_cancelled_is_sent_back(self, world: World) -> None:
        world.look = gate = Gate()
        receiver = world.receiver()
        before = asyncio.all_tasks()
        callers = [deliver(receiver)]
        await gate.begun.wait()
        callers.append(deliver(receiver, about(9)))
        await turns()
        for task in asyncio.all_tasks() - before - {*callers}:
            task.cancel()
        async with asyncio.timeout(PATIENCE_S / 3):
            results = await asyncio.gather(*callers, return_exceptions=True)
        assert [type(each) for each in results] == [Overloaded, Overloaded]
        world.look = failing()
        await receiver.accept("north", sign(BODY), BODY)

    async def test_closing_waits_and_lets_nothing_more_in(
        self, world: World, receiver: WebhookReceiver
    ) -> None:
        world.work = gate = Gate()
        callers = [deliver(receiver)]
        await gate.begun.wait()
        callers.append(deliver(receiver, about(9)))
        await turns()
        closing = asyncio.create_task(receiver.aclose())
        await turns()
        with pytest.raises(Overloaded, match="stopping"):
            await receiver.accept("north", sign(b"[]"), b"[]")
        assert not closing.done()
        gate.opened.set()
        await closing
        await receiver.aclose()
        await asyncio.gather(*callers)
        assert len(world.invalidated) == 2, "what waited is applied as well"
