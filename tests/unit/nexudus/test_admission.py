"""What stands before a call, and what its end tells breaker, budget and metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from bff.errors import (
    BffError,
    BodyTooLarge,
    Overloaded,
    UnusableAnswer,
    UpstreamDown,
    UpstreamTimeout,
)
from bff.nexudus.admission import CACHED, FORWARDED, Admission, AdmissionPolicy, Intent, Observer
from bff.nexudus.breaker import BreakerPolicy
from bff.nexudus.budget.contract import Priority, Urgency
from bff.nexudus.gate import BreakerStanding
from bff.nexudus.headers import Header
from bff.nexudus.retry import RetryPolicy
from tests.support.manual_time import ManualTime, settled
from tests.support.unlimited import Unlimited

POLICY = AdmissionPolicy(
    BreakerPolicy(failures=2, rate=1, open_s=5, probe_s=4), RetryPolicy(2), patience_s=1
)
AFTER_3: list[Header] = [(b"Retry-After", b"3")]


@dataclass(slots=True)
class World:
    """An admission over a budget that never runs out, in time that stands still."""

    time: ManualTime = field(default_factory=ManualTime)
    budget: Unlimited = field(default_factory=Unlimited)
    heard: list[tuple[str, ...]] = field(default_factory=list)
    admission: Admission = field(init=False)

    def __post_init__(self) -> None:
        self.admission = Admission(self.budget, POLICY, self.time, lambda: 0.0)
        self.admission.observer = Observer(
            called=self._note("called"),
            refused=self._note("refused"),
            retried=self._note("retried"),
            turned=lambda space, state: self.heard.append(("turned", space, state)),
        )

    def _note(self, what: str) -> Callable[[str, str, str], None]:
        return lambda space, kind, detail: self.heard.append((what, space, kind, detail))

    def intent(
        self,
        method: str = "GET",
        *,
        space: str = "alpha",
        kind: str = CACHED,
        priority: Priority = Priority.BACKGROUND,
        repeatable: bool = True,
    ) -> Intent:
        until = self.time.now + 8
        return Intent(space, kind, Urgency(priority), until, method, repeatable)

    async def call(
        self,
        ends: int | BffError,
        intent: Intent | None = None,
        *,
        headers: list[Header] | None = None,
        took_s: float = 0,
    ) -> None:
        """One call, answered or broken."""
        async with self.admission.call(intent or self.intent()) as attempt:
            self.time.now += took_s
            if isinstance(ends, BffError):
                raise ends
            await attempt.answered(ends, headers or [])

    async def fail(self, times: int) -> None:
        for _ in range(times):
            with pytest.raises(UpstreamDown, match="no connection"):
                await self.call(UpstreamDown("no connection"))

    @property
    def state(self) -> str:
        return self.admission.standing("alpha").state


@pytest.fixture
def world() -> World:
    return World()


async def test_a_call_is_paid_for_as_what_it_is(world: World) -> None:
    await world.call(200)
    await world.call(201, world.intent("PATCH", kind=FORWARDED, priority=Priority.FORWARDED))
    await world.call(200, world.intent("HEAD", priority=Priority.INTERACTIVE), took_s=3)
    late = world.intent()
    world.time.now += 9
    await world.call(200, late)
    assert world.budget.spent == [
        ("alpha", Priority.BACKGROUND, False),
        ("alpha", Priority.FORWARDED, True),
        ("alpha", Priority.INTERACTIVE, False),
        ("alpha", Priority.BACKGROUND, False),
    ]
    assert world.budget.within == [8, 8, 8, 0]


async def test_an_open_breaker_refuses_at_once_and_spends_nothing(world: World) -> None:
    await world.fail(2)
    world.time.now += 1.5
    with pytest.raises(UpstreamDown, match="keeps failing") as refused:
        await world.call(200)
    assert refused.value.retry_after_s == 4
    assert len(world.budget.spent) == 2
    assert world.admission.standing("alpha") == BreakerStanding("open", 3.5)
    await world.call(200, world.intent(space="beta"))
    assert world.heard == [
        ("called", "alpha", CACHED, "UpstreamDown"),
        ("turned", "alpha", "open"),
        ("called", "alpha", CACHED, "UpstreamDown"),
        ("refused", "alpha", CACHED, "breaker"),
        ("called", "beta", CACHED, "2xx"),
    ]


FAILURES = [
    (UpstreamDown("x"), CACHED, 0, "UpstreamDown"),
    (UpstreamTimeout("x"), CACHED, 1, "UpstreamTimeout"),
    (500, CACHED, 0, "5xx"),
    (503, FORWARDED, 0, "5xx"),
]
NO_FAILURES = [
    (UpstreamTimeout("x"), CACHED, 0.9, "UpstreamTimeout"),
    (UnusableAnswer("x"), CACHED, 5, "UnusableAnswer"),
    (Overloaded("x"), CACHED, 5, "Overloaded"),
    (BodyTooLarge("x"), FORWARDED, 5, "abandoned"),
    (500, FORWARDED, 0, "5xx"),
    (501, FORWARDED, 0, "5xx"),
    *((status, FORWARDED, 0, f"{status // 100}xx") for status in (200, 302, 401, 409, 429)),
]


@pytest.mark.parametrize(
    ("ends", "kind", "took_s", "outcome", "opens"),
    [*((*each, True) for each in FAILURES), *((*each, False) for each in NO_FAILURES)],
)
async def test_what_counts_as_a_failure(
    world: World, ends: int | BffError, kind: str, took_s: float, outcome: str, opens: bool
) -> None:
    for _ in range(2):
        try:
            await world.call(ends, world.intent(kind=kind), took_s=took_s)
        except BffError as error:
            assert error is ends
    assert (world.state == "open") is opens
    assert world.heard.count(("called", "alpha", kind, outcome)) == 2


async def test_an_answer_that_breaks_off_counts_once(world: World) -> None:
    for turn in range(2):
        assert world.state == "closed", turn
        with pytest.raises(UpstreamDown):
            async with world.admission.call(world.intent()) as attempt:
                await attempt.answered(200, [])
                raise UpstreamDown("broke")
    assert world.state == "open"
    assert world.heard.count(("called", "alpha", CACHED, "cut")) == 2


@pytest.mark.parametrize(
    ("method", "status", "headers", "pause_s"),
    [("GET", 409, AFTER_3, 3), ("GET", 409, [], 1), ("POST", 409, AFTER_3, 3), ("PUT", 429, [], 1)],
)
async def test_a_throttle_pauses_the_space(
    world: World, method: str, status: int, headers: list[Header], pause_s: float
) -> None:
    await world.call(status, world.intent(method), headers=headers)
    assert world.budget.pauses == [("alpha", pause_s)]


async def test_a_write_in_conflict_pauses_nothing(world: World) -> None:
    await world.call(409, world.intent("POST"))
    assert world.budget.pauses == []


async def test_one_probe_goes_first_and_closes_it(world: World) -> None:
    await world.fail(2)
    world.time.now += 5
    probe = world.intent()
    async with world.admission.call(probe) as attempt:
        assert probe.urgency.priority is Priority.INTERACTIVE
        assert world.state == "half_open"
        with pytest.raises(UpstreamDown):
            await world.call(200)
        await attempt.answered(404, [])
        # Its body may take as long as it likes.
        assert world.state == "closed"
        await world.call(200)
    assert world.state == "closed"


async def test_a_failing_probe_opens_it_for_longer(world: World) -> None:
    await world.fail(2)
    world.time.now += 5
    await world.fail(1)
    assert world.admission.standing("alpha") == BreakerStanding("open", 10)


@pytest.mark.parametrize("where", ["budget", "call"])
async def test_a_cancelled_probe_gives_its_place_back(world: World, where: str) -> None:
    await world.fail(2)
    world.time.now += 5

    async def probing() -> None:
        async with world.admission.call(world.intent()):
            await asyncio.Event().wait()

    if where == "budget":
        world.budget.open.clear()
    probe = asyncio.create_task(probing())
    await settled()
    assert not world.admission.admits("alpha")
    assert world.budget.waiting == (1 if where == "budget" else 0)
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    assert (world.admission.admits("alpha"), world.budget.waiting) == (True, 0)


async def test_a_probe_without_budget_gives_its_place_back(world: World) -> None:
    await world.fail(2)
    world.time.now += 5
    world.budget.shed = True
    with pytest.raises(Overloaded) as refused:
        await world.call(200)
    assert refused.value.retry_after_s == 7
    assert world.admission.admits("alpha")
    assert ("refused", "alpha", CACHED, "budget") in world.heard


async def test_a_lost_probe_is_replaced(world: World) -> None:
    await world.fail(2)
    world.time.now += 5
    async with world.admission.call(world.intent()):
        world.time.now += 4
        await world.call(200)
        assert world.state == "closed"


async def test_whoever_waits_for_the_budget_hears_that_the_breaker_opened(world: World) -> None:
    await world.fail(1)
    async with world.admission.call(world.intent()) as last:
        world.budget.open.clear()
        waiting = [asyncio.create_task(world.call(200)) for _ in range(3)]
        elsewhere = asyncio.create_task(world.call(200, world.intent(space="beta")))
        await settled()
        await last.answered(503, [])
    for each in waiting:
        with pytest.raises(UpstreamDown, match="keeps failing"):
            await each
    assert (world.budget.waiting, len(world.budget.spent)) == (1, 2)
    world.budget.open.set()
    await elsewhere


async def test_a_timeout_of_the_budgets_own_is_not_taken_for_the_breakers(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def late(*_: object, **__: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(Unlimited, "spend", late)
    with pytest.raises(TimeoutError):
        await world.call(200)
    assert world.heard == []


class TestTries:
    async def test_a_call_is_made_again_until_it_is_not_worth_it(self, world: World) -> None:
        tries = world.admission.tries(world.intent(priority=Priority.INTERACTIVE))
        for status in (429, 409):
            async with tries.attempt() as attempt:
                await attempt.answered(status, AFTER_3)
            assert tries.delay() == 0
        async with tries.attempt() as attempt:
            await attempt.answered(429, AFTER_3)
        assert tries.delay() is None
        assert [each[0] for each in world.heard].count("retried") == 2
        assert ("retried", "alpha", CACHED, "throttled") in world.heard

    async def test_in_the_background_once(self, world: World) -> None:
        tries = world.admission.tries(world.intent())
        for expected in (0, None):
            async with tries.attempt() as attempt:
                await attempt.answered(409, AFTER_3)
            assert tries.delay() == expected

    @pytest.mark.parametrize("why", ["final", "not repeatable", "short", "open", "late"])
    async def test_or_not_at_all(self, world: World, why: str) -> None:
        tries = world.admission.tries(world.intent(repeatable=why != "not repeatable"))
        if why == "open":
            await world.fail(1)
        world.budget.short = why == "short"
        async with tries.attempt() as attempt:
            await attempt.answered(500 if why == "final" else 503, [])
            world.time.now += 8 if why == "late" else 0
        assert tries.delay() is None

    async def test_never_after_a_refusal(self, world: World) -> None:
        tries = world.admission.tries(world.intent())
        async with tries.attempt() as attempt:
            await attempt.answered(503, [])
        assert tries.delay() is not None
        world.budget.shed = True
        with pytest.raises(Overloaded):
            async with tries.attempt():
                pass
        assert tries.delay() is None
