"""What stands before a call, and what its end tells breaker, budget and metrics."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from bff.errors import (
    BffError,
    BodyTooLarge,
    Overloaded,
    UnusableAnswer,
    UpstreamDown,
    UpstreamTimeout,
)
from bff.nexudus.admission import Admission, AdmissionPolicy
from bff.nexudus.blame import Asked
from bff.nexudus.breaker import BreakerPolicy
from bff.nexudus.budget.contract import Priority, Urgency
from bff.nexudus.gate import BreakerStanding
from bff.nexudus.headers import Header
from bff.nexudus.intent import FORWARDED, Intent, Observer, Purpose, Reason
from bff.nexudus.retry import RetryPolicy
from tests.support.manual_time import ManualTime, settled
from tests.support.unlimited import Unlimited

POLICY = AdmissionPolicy(
    BreakerPolicy(failures=2, rate=1, open_s=5, probe_s=4), RetryPolicy(2), patience_s=1
)
CACHED = Purpose("profiles", Reason.INTERACTIVE)
AFTER_3: list[Header] = [(b"Retry-After", b"3")]
EMPTY: list[Header] = [*AFTER_3, (b"Content-Length", b"0")]


@dataclass(slots=True)
class World:
    """An admission over a budget that never runs out, in time that stands still."""

    time: ManualTime = field(default_factory=ManualTime)
    budget: Unlimited = field(default_factory=Unlimited)
    heard: list[tuple[object, ...]] = field(default_factory=list)
    admission: Admission = field(init=False)

    def __post_init__(self) -> None:
        self.admission = Admission(self.budget, POLICY, self.time, lambda: 0.0)
        self.admission.observer = Observer(
            called=self._note("called"),
            refused=self._note("refused"),
            retried=self._note("retried"),
            turned=lambda space, state: self.heard.append(("turned", space, state)),
        )

    def _note(self, what: str) -> Callable[[str, Purpose, str], None]:
        return lambda space, purpose, detail: self.heard.append((what, space, purpose, detail))

    def intent(
        self,
        method: str = "GET",
        *,
        space: str = "alpha",
        purpose: Purpose = CACHED,
        priority: Priority = Priority.BACKGROUND,
        repeatable: bool = True,
    ) -> Intent:
        until = self.time.now + 8
        return Intent(space, purpose, Urgency(priority), until, method, repeatable)

    def forwarded(
        self, path: str = "/api/a", method: str = "GET", *, bodied: bool = False, whole: bool = True
    ) -> Intent:
        """A call passed through; `whole`: nothing of it is still to come."""
        asked = Asked(method, path, bodied, not whole)
        return replace(self.intent(method, purpose=FORWARDED, repeatable=not bodied), asked=asked)

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
    await world.call(201, world.intent("PATCH", purpose=FORWARDED, priority=Priority.FORWARDED))
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
    (UpstreamDown("x"), FORWARDED, 0, "UpstreamDown"),
]
NO_FAILURES = [
    (UpstreamTimeout("x"), CACHED, 0.9, "UpstreamTimeout"),
    (UnusableAnswer("x"), CACHED, 5, "UnusableAnswer"),
    (Overloaded("x"), CACHED, 5, "Overloaded"),
    (BodyTooLarge("x"), FORWARDED, 5, "abandoned"),
    (UpstreamTimeout("x"), FORWARDED, 5, "UpstreamTimeout"),
    *((status, FORWARDED, 0, "5xx") for status in (500, 501, 502, 503, 504)),
    *((status, FORWARDED, 0, f"{status // 100}xx") for status in (200, 302, 401, 409, 429)),
]


@pytest.mark.parametrize(
    ("ends", "purpose", "took_s", "outcome", "opens"),
    [*((*each, True) for each in FAILURES), *((*each, False) for each in NO_FAILURES)],
)
async def test_what_counts_as_a_failure(
    world: World, ends: int | BffError, purpose: Purpose, took_s: float, outcome: str, opens: bool
) -> None:
    for number in range(2 if opens else 9):
        try:
            intent = world.intent() if purpose == CACHED else world.forwarded(f"/api/a/{number}")
            await world.call(ends, intent, took_s=took_s)
        except BffError as error:
            assert error is ends
    assert (world.state == "open") is opens
    assert world.heard.count(("called", "alpha", purpose, outcome)) == (2 if opens else 9)


@pytest.mark.parametrize("ends", [502, UpstreamTimeout("x")])
async def test_a_nexudus_that_fails_on_several_routes_does(
    world: World, ends: int | BffError
) -> None:
    for path in ("/api/a", "/api/b"):
        assert world.state == "closed"
        with contextlib.suppress(UpstreamTimeout):
            await world.call(ends, world.forwarded(path), took_s=5)
    assert world.state == "open"


async def test_the_tries_of_one_request_count_once(world: World) -> None:
    tries = world.admission.tries(world.intent(priority=Priority.INTERACTIVE))
    for _ in range(3):
        async with tries.attempt() as attempt:
            await attempt.answered(503, [])
    assert world.state == "closed"
    await world.call(200)
    for ends in (503, 200):
        async with tries.attempt() as attempt:
            await attempt.answered(ends, [])
    with pytest.raises(UpstreamDown):
        await world.call(UpstreamDown("no connection"))
    assert world.state == "closed"


async def test_an_answer_that_breaks_off_counts_once(world: World) -> None:
    for turn in range(2):
        assert world.state == "closed", turn
        with pytest.raises(UpstreamDown):
            async with world.admission.call(world.intent()) as attempt:
                await attempt.answered(200, [])
                raise UpstreamDown("broke")
    assert world.state == "open"
    assert world.heard.count(("called", "alpha", CACHED, "cut")) == 2


async def test_operators_hear_how_long_it_took_and_of_each_pause_once(world: World) -> None:
    heard: list[tuple[object, ...]] = []
    world.admission.observer = Observer(
        called=lambda *of: heard.append(("called", *of)),
        took=lambda *of: heard.append(("took", *of)),
        waited=lambda *of: heard.append(("waited", *of)),
        throttled=lambda *of: heard.append(("throttled", *of)),
        paused=lambda *of: heard.append(("paused", *of)),
    )
    await world.call(200, world.intent(priority=Priority.INTERACTIVE), took_s=2)
    assert heard == [
        ("waited", Priority.INTERACTIVE, 0.0),
        ("called", "alpha", CACHED, "2xx"),
        ("took", CACHED, 2.0),
    ]
    heard.clear()
    await world.call(409, headers=AFTER_3)
    world.budget.paused_s = 3
    await world.call(409, headers=AFTER_3)
    assert [each for each in heard if each[0] in ("throttled", "paused", "called")] == [
        ("throttled", "alpha"),
        ("paused", "alpha", 3),
        ("called", "alpha", CACHED, "throttled"),
        ("throttled", "alpha"),
        ("called", "alpha", CACHED, "throttled"),
    ]


async def test_a_call_that_nobody_waits_for_took_no_time(world: World) -> None:
    took: list[float] = []
    world.admission.observer = Observer(took=lambda _, seconds: took.append(seconds))
    with pytest.raises(BodyTooLarge):
        await world.call(BodyTooLarge("x"), world.forwarded())
    assert took == []


@pytest.mark.parametrize(
    ("purpose", "method", "status", "headers", "pauses"),
    [
        (CACHED, "GET", 409, AFTER_3, [3]),
        (CACHED, "GET", 409, [], [1]),
        (CACHED, "GET", 429, [(b"Retry-After", b"300")], [300]),
        (FORWARDED, "POST", 409, EMPTY, [3]),
        (FORWARDED, "PUT", 429, AFTER_3, [3]),
        (FORWARDED, "POST", 429, [(b"Retry-After", b"300")], [5]),
        (FORWARDED, "GET", 409, AFTER_3, []),
        (FORWARDED, "GET", 409, [(b"Content-Length", b"0")], []),
        (FORWARDED, "GET", 429, [], []),
    ],
)
async def test_a_throttle_pauses_the_space(
    world: World,
    purpose: Purpose,
    method: str,
    status: int,
    headers: list[Header],
    pauses: list[float],
) -> None:
    intent = world.intent() if purpose == CACHED else world.forwarded("/api/a", method)
    tries = world.admission.tries(intent)
    async with tries.attempt() as attempt:
        await attempt.answered(status, headers)
    assert [pause_s for _, pause_s in world.budget.pauses] == pauses
    # Nothing holds a repetition back where nothing is paused, or not for as long as asked.
    assert (tries.delay() == 0) is (pauses in ([1], [3]))


async def test_a_path_throttled_for_itself_pauses_nothing(world: World) -> None:
    for paused in (1, 2):
        await world.call(409, world.forwarded(), headers=EMPTY)
        assert len(world.budget.pauses) == paused, "nobody else was answered"
    async with world.admission.call(world.forwarded("/api/b")) as other:
        await world.call(409, world.forwarded(), headers=EMPTY)
        await other.answered(200, [])
    for answered in (1, 0):
        world.time.now += 50
        if answered:
            await world.call(200)
        await world.call(409, world.forwarded(), headers=EMPTY)
    await world.call(200, world.forwarded())
    await world.call(409, world.forwarded(), headers=EMPTY)
    assert len(world.budget.pauses) == 3
    await world.call(409, world.forwarded("/api/b"), headers=EMPTY)
    world.time.now += 61
    await world.call(409, world.forwarded(), headers=EMPTY)
    assert len(world.budget.pauses) == 5


class TestProbes:
    """The breaker has been opened by Nexudus, and the time for a probe has come."""

    @pytest.fixture(autouse=True)
    async def opened(self, world: World) -> None:
        with pytest.raises(UpstreamDown, match="no connection"):
            await world.call(UpstreamDown("no connection"))
        await world.call(503, world.forwarded("/api/bad"))
        assert world.state == "open"
        world.time.now += 5

    async def refused(self, world: World, intent: Intent) -> bool:
        try:
            async with world.admission.call(intent):
                return False
        except UpstreamDown:
            return True

    async def test_a_body_that_is_arriving_is_none(self, world: World) -> None:
        world.time.now += 60
        upload = world.forwarded(method="POST", bodied=True, whole=False)
        assert await self.refused(world, upload)
        await world.call(200)
        assert not await self.refused(world, upload)

    @pytest.mark.parametrize("lesser", ["POST", "/api/bad", "/API/Bad/"])
    async def test_what_may_fail_by_itself_leaves_the_way_to_others(
        self, world: World, lesser: str
    ) -> None:
        intent = (
            world.forwarded(method="POST", bodied=True)
            if lesser == "POST"
            else world.forwarded(lesser)
        )
        assert await self.refused(world, intent)
        world.time.now += 1
        async with world.admission.call(intent) as attempt:
            assert await self.refused(world, intent)
            async with world.admission.call(world.forwarded("/api/good")) as better:
                await attempt.answered(503, [])
                assert world.state == "half_open"
                await better.answered(404, [])
        assert world.state == "closed"

    async def test_where_nothing_else_comes_it_may_close_it(self, world: World) -> None:
        world.time.now += 1
        await world.call(503, world.forwarded("/api/bad"))
        assert world.admission.standing("alpha") == BreakerStanding("open", 0)
        world.time.now += 4.9
        assert await self.refused(world, world.forwarded("/api/bad"))
        world.time.now += 0.1
        await world.call(404, world.forwarded("/api/bad"))
        assert world.state == "closed"
        for path in ("/api/bad", "/api/good"):
            await world.call(503, world.forwarded(path))
        assert world.state == "open", "from then on every route counts again"

    async def test_a_route_is_on_trial_once(self, world: World) -> None:
        slow = world.forwarded("/api/slow")
        async with world.admission.call(slow):
            assert await self.refused(world, world.intent())
        assert await self.refused(world, slow)
        await world.call(200)
        assert world.state == "closed"

    async def test_another_route_that_fails_opens_it_for_longer(self, world: World) -> None:
        await world.call(503, world.forwarded("/api/good"))
        assert world.admission.standing("alpha") == BreakerStanding("open", 10)
        world.time.now += 11
        with pytest.raises(UpstreamDown):
            await world.call(UpstreamDown("no connection"), world.forwarded("/api/bad"))
        assert world.admission.standing("alpha") == BreakerStanding("open", 10)


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
    assert not world.admission.admits(world.intent())
    assert world.budget.waiting == (1 if where == "budget" else 0)
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    assert (world.admission.admits(world.intent()), world.budget.waiting) == (True, 0)


async def test_a_probe_without_budget_gives_its_place_back(world: World) -> None:
    await world.fail(2)
    world.time.now += 5
    world.budget.shed = True
    with pytest.raises(Overloaded) as refused:
        await world.call(200)
    assert refused.value.retry_after_s == 7
    assert world.admission.admits(world.intent())
    assert ("refused", "alpha", CACHED, "budget") in world.heard


@pytest.mark.parametrize(("paused_s", "reason"), [(0.0, "budget"), (3.0, "pause")])
async def test_a_call_that_a_pause_holds_back_is_not_one_of_a_spent_budget(
    world: World, paused_s: float, reason: str
) -> None:
    world.budget.shed, world.budget.paused_s = True, paused_s
    with pytest.raises(Overloaded):
        await world.call(200)
    assert world.heard == [("refused", "alpha", CACHED, reason)]


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


async def test_a_call_whose_turn_is_over_gets_another_and_both_are_accounted_for(
    world: World,
) -> None:
    now = world.time.now
    world.budget.untils = [now + 0.25, now + 0.3, now + 9]
    back: list[float] = []
    world.budget.on_returned = back.append
    async with world.admission.call(world.intent()) as attempt:
        due = [attempt.is_due]
        await attempt.renewed()
        assert len(world.budget.grants) == 1
        world.time.now += 0.5
        due.append(attempt.is_due)
        await attempt.renewed()
        assert [*due, attempt.is_due] == [True, False, True]
        attempt.gone()
        world.time.now += 1
        await attempt.answered(409, AFTER_3)
    assert [grant.sent_at for grant in world.budget.grants] == [now + 0.5] * 3
    assert back == [now + 0.5] * 2
    assert world.budget.blamed == [world.budget.grants[-1]]
    assert world.budget.spent == [("alpha", Priority.BACKGROUND, False)] * 3


async def test_a_call_that_was_never_sent_says_so_when_it_ends(world: World) -> None:
    with pytest.raises(UpstreamDown):
        await world.call(UpstreamDown("no connection"), took_s=2)
    assert [grant.sent_at for grant in world.budget.grants] == [world.time.now]


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
