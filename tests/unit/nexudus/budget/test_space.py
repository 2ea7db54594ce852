"""Who waits, who is turned away and how often the ledger is asked; time is in the test's hands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextvars import ContextVar
from typing import Any

import pytest
from structlog.testing import capture_logs

from bff.errors import Overloaded, StoreUnavailable
from bff.limits import Limit
from bff.nexudus.budget.budgets import SpaceBudgets
from bff.nexudus.budget.config import BudgetConfig
from bff.nexudus.budget.contract import Grant, Priority, Urgency
from tests.support.budget_ledger import ScriptedLedger, raw
from tests.support.manual_time import ManualTime, settled

SPACE = "north"
OF_A_REQUEST = ContextVar("of_a_request", default="nobody's")
CONFIG = BudgetConfig(calls=(Limit(10, 1.0),), writes=())
SPACED = BudgetConfig(calls=(Limit(1, 0.1),), writes=())


class Desk:
    """One process's budget over a scripted ledger; `answers` are given in turn, the last for ever.

    An answer that is an exception is raised.
    """

    def __init__(self) -> None:
        self.time = ManualTime()
        self.answers: list[list[Any] | Exception] = [raw(1)]
        self.ledger = ScriptedLedger(self._reply)
        self.budgets = self.of(CONFIG)
        self.calls: list[asyncio.Task[Grant]] = []

    def of(self, config: BudgetConfig) -> SpaceBudgets:
        return SpaceBudgets(config, [SPACE], self.ledger, process="p0", clock=self.time)

    def _reply(self, args: Sequence[str | bytes | int]) -> list[Any]:
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def call(
        self,
        priority: Priority | Urgency = Priority.INTERACTIVE,
        *,
        write: bool = False,
        within_s: float = 10.0,
    ) -> asyncio.Task[Grant]:
        """A call that has got as far as it can without time passing."""
        urgency = priority if isinstance(priority, Urgency) else Urgency(priority)
        spending = self.budgets.spend(SPACE, urgency, write=write, within_s=within_s)
        task = asyncio.create_task(spending)
        self.calls.append(task)
        await settled()
        return task


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    opened = Desk()
    yield opened
    await opened.budgets.aclose()
    await asyncio.gather(*opened.calls, return_exceptions=True)


def refusal(task: asyncio.Task[Grant]) -> Overloaded:
    error = task.exception()
    assert isinstance(error, Overloaded)
    return error


async def test_an_idle_budget_costs_one_question_a_call(desk: Desk) -> None:
    for _ in range(3):
        assert (await desk.call()).done()
    assert desk.ledger.questions == len(desk.ledger.asked) == 3


async def test_one_question_is_under_way_at_a_time_and_nothing_spins(desk: Desk) -> None:
    desk.ledger.gate.clear()
    tasks = [await desk.call() for _ in range(5)]
    assert len(desk.ledger.asked) == 1
    desk.answers = [raw(0, wait_ms=400)]
    desk.ledger.gate.set()
    await settled()
    assert len(desk.ledger.asked) == 1
    await desk.time.advance(0.39)
    assert len(desk.ledger.asked) == 1
    desk.answers = [raw(1)]
    await desk.time.advance(0.02)
    assert all(task.done() for task in tasks)
    assert len(desk.ledger.asked) == 6


async def test_a_wait_beyond_the_deadline_is_refused_at_once_and_so_is_who_comes_next(
    desk: Desk,
) -> None:
    desk.answers = [raw(0, wait_ms=30_000)]
    first = await desk.call(Priority.FORWARDED)
    assert refusal(first).retry_after_s == 30
    assert "spent" in str(refusal(first))
    assert refusal(await desk.call(Priority.BACKGROUND)).retry_after_s == 30
    assert desk.ledger.questions == 1
    assert (await desk.call(Priority.INTERACTIVE)).done()
    assert desk.ledger.questions == 2


async def test_a_deadline_ends_the_wait(desk: Desk) -> None:
    desk.answers = [raw(0, wait_ms=5)]
    patient, hasty = await desk.call(within_s=5.0), await desk.call(within_s=0.4)
    for _ in range(3):
        await desk.time.advance(0.13)
    assert not hasty.done()
    await desk.time.advance(0.02)
    assert refusal(hasty).retry_after_s == 1
    assert not patient.done()


async def test_a_queue_that_is_too_long_is_not_joined(desk: Desk) -> None:
    desk.answers = [raw(0, wait_ms=500)]
    for _ in range(20):
        await desk.call(within_s=5.0)
    assert refusal(await desk.call(within_s=1.5)).retry_after_s == 2
    assert not (await desk.call(within_s=2.5)).done()


async def test_a_pause_turns_away_who_cannot_outlast_it(desk: Desk) -> None:
    desk.answers = [raw(0, wait_ms=100)]
    hasty, patient = await desk.call(within_s=2.0), await desk.call(within_s=60.0)
    desk.answers = [raw(0, wait_ms=5_000, paused_ms=5_000)]
    with capture_logs() as lines:
        await desk.budgets.throttled(SPACE, 5.0, Grant())
        await desk.budgets.throttled(SPACE, 5.0, Grant())
    await settled()
    assert (refusal(hasty).retry_after_s, str(refusal(hasty)).count("pause")) == (5, 1)
    assert not patient.done()
    assert [line["event"] for line in lines] == ["space_paused"]
    assert (lines[0]["space"], lines[0]["seconds"], lines[0]["factor"]) == (SPACE, 5.0, 0.8)
    assert desk.budgets.is_short(SPACE)
    assert desk.budgets.standing(SPACE).paused_s == 5.0


async def test_an_arrival_that_is_more_urgent_is_asked_for_at_once_one_that_is_not_waits(
    desk: Desk,
) -> None:
    desk.answers = [raw(0, wait_ms=900)]
    await desk.call(Priority.FORWARDED)
    await desk.call(Priority.BACKGROUND)
    assert desk.ledger.questions == 1
    await desk.call(Priority.INTERACTIVE)
    assert desk.ledger.questions == 2
    assert desk.ledger.asked[-1][1] == Priority.INTERACTIVE
    assert desk.ledger.asked[-1][4:7] == [0, 0, 1]


async def test_one_that_becomes_urgent_goes_before_others(desk: Desk) -> None:
    desk.answers = [raw(0, wait_ms=500)]
    before = await desk.call(Priority.FORWARDED)
    urgency = Urgency(Priority.BACKGROUND)
    rising = await desk.call(urgency)
    desk.answers = [raw(1), raw(0, wait_ms=500)]
    urgency.raise_to(Priority.INTERACTIVE)
    await settled()
    assert rising.done()
    assert not before.done()
    urgency.raise_to(Priority.INTERACTIVE)  # it waits no more: nobody is asked for
    assert desk.ledger.questions == 3


async def test_writes_that_wait_for_their_own_limits_let_reads_pass(desk: Desk) -> None:
    desk.answers = [raw(0, wait_ms=8_000, writes_only=True), raw(1)]
    write = await desk.call(Priority.FORWARDED, write=True)
    read = await desk.call(Priority.BACKGROUND)
    assert read.done()
    assert not write.done()
    assert desk.ledger.questions == 2
    desk.answers = [raw(1)]
    await desk.time.advance(1.0)
    assert write.done()


async def test_strangers_that_have_used_up_their_part_are_passed_by_calls_that_are_passed_on(
    desk: Desk,
) -> None:
    desk.answers = [raw(0, wait_ms=8_000, strangers_only=True), raw(1)]
    strangers = [await desk.call(Priority.STRANGER) for _ in range(12)]
    assert desk.ledger.questions == 1
    forwarded = await desk.call(Priority.FORWARDED, write=True)
    assert forwarded.result().priority is Priority.FORWARDED
    assert (await desk.call(Priority.FORWARDED, within_s=0.5)).exception() is None
    assert (await desk.call(Priority.INTERACTIVE, within_s=0.5)).exception() is None
    assert (await desk.call(Priority.BACKGROUND, within_s=0.5)).exception() is None
    assert refusal(await desk.call(Priority.STRANGER, within_s=2.0)).retry_after_s == 8
    assert [int(args[1]) for args in desk.ledger.asked] == [1, 2, 2, 0, 3]
    assert desk.ledger.asked[-1][4:7] == [0, 12, 0]
    assert not any(task.done() for task in strangers)
    await desk.time.advance(1.0)
    assert all(task.done() for task in strangers)


async def test_a_stranger_that_is_accepted_makes_room_for_those_who_wait_at_once(
    desk: Desk,
) -> None:
    desk.answers = [raw(1), raw(0, wait_ms=100, strangers_only=True)]
    first = (await desk.call(Priority.STRANGER)).result()
    waiting = await desk.call(Priority.STRANGER)
    assert (waiting.done(), desk.ledger.questions) == (False, 2)
    first.sent(desk.time.now)
    await settled()
    assert desk.ledger.questions == 2
    desk.answers = [raw(1)]
    first.accepted(desk.time.now)
    first.accepted(desk.time.now)
    await settled()
    assert (waiting.done(), desk.ledger.questions) == (True, 3)
    assert desk.ledger.asked[-1][16] == 2  # that it was sent, and that it was accepted


async def test_that_a_stranger_was_accepted_is_told_soon_also_if_nobody_asks(desk: Desk) -> None:
    await desk.budgets.start()
    grant = (await desk.call(Priority.STRANGER)).result()
    grant.sent(desk.time.now)
    asked = len(desk.ledger.asked)
    grant.accepted(desk.time.now)
    await _seconds(desk, 0.5)
    assert [args[16] for args in desk.ledger.asked[asked:]] == [2]


async def test_while_the_ledger_is_away_an_accepted_stranger_makes_room_too(desk: Desk) -> None:
    desk.answers = [raw(0, names=["p0"])]
    await desk.budgets.start()
    desk.answers = [StoreUnavailable("away")]
    grants = [(await desk.call(Priority.STRANGER)).result() for _ in range(5)]
    waiting = await desk.call(Priority.STRANGER)
    for grant in grants:
        grant.sent(desk.time.now)
    await settled()
    assert not waiting.done()
    grants[2].accepted(desk.time.now)
    await settled()
    assert waiting.exception() is None


async def test_what_was_asked_for_another_is_not_a_strangers(desk: Desk) -> None:
    desk.answers = [raw(0, wait_ms=900, strangers_only=True), raw(1)]
    strange = await desk.call(Priority.STRANGER)
    desk.ledger.gate.clear()
    gone = await desk.call(Priority.FORWARDED)
    gone.cancel()
    desk.ledger.gate.set()
    await settled()
    assert desk.ledger.questions == 2
    assert not strange.done()


async def test_where_a_share_is_used_up_the_next_call_is_a_strangers(desk: Desk) -> None:
    desk.answers = [raw(0, wait_ms=400, share_only=True)]
    forwarded = [await desk.call(Priority.FORWARDED) for _ in range(3)]
    strange = await desk.call(Priority.STRANGER)
    assert desk.ledger.questions == 2
    desk.answers = [raw(1), raw(0, wait_ms=400, share_only=True)]
    await desk.time.advance(0.41)
    assert strange.done()
    assert not any(task.done() for task in forwarded)
    assert [int(args[1]) for args in desk.ledger.asked] == [2, 1, 1, 2]


async def alone(desk: Desk, window: Limit, *, forward: float) -> None:
    """Without the ledger, after five calls of members: others are to have their turn."""
    desk.answers = [StoreUnavailable("away")]
    desk.budgets = desk.of(
        BudgetConfig(calls=(window,), writes=(), forward_share=forward, processes=1)
    )
    for _ in range(5):
        (await desk.call()).result().sent(desk.time.now)


@pytest.mark.parametrize("other", [Priority.STRANGER, Priority.FORWARDED])
async def test_while_the_ledger_is_away_members_that_wait_leave_others_their_turn(
    desk: Desk, other: Priority
) -> None:
    await alone(desk, Limit(5, 1.0), forward=1.0)
    members = [await desk.call() for _ in range(20)]
    others = [await desk.call(other, within_s=3.0) for _ in range(3)]
    for _ in range(14):
        await desk.time.advance(0.1)
    assert [task.done() for task in others] == [True, True, False]
    assert all(task.exception() is None for task in others[:2])
    assert sum(task.done() for task in members) == 3


async def test_with_the_ledger_members_that_wait_go_first_however_many_went(desk: Desk) -> None:
    for _ in range(5):
        assert (await desk.call()).done()
    desk.answers = [raw(1), raw(0, wait_ms=100), raw(1), raw(0, wait_ms=900)]
    desk.ledger.gate.clear()
    forwarded = await desk.call(Priority.FORWARDED)
    first, second = await desk.call(), await desk.call()
    desk.ledger.gate.set()
    await desk.time.advance(0.11)
    assert (first.done(), second.done(), forwarded.done()) == (True, True, False)
    assert [int(args[1]) for args in desk.ledger.asked[5:]] == [2, 0, 0, 2]


@pytest.mark.parametrize("other", [Priority.INTERACTIVE, Priority.STRANGER])
async def test_a_turn_of_those_whose_share_is_used_up_is_taken_from_nobody(
    desk: Desk, other: Priority
) -> None:
    await alone(desk, Limit(10, 60.0), forward=0.5)
    desk.ledger.gate.clear()  # both wait when the first is asked for
    forwarded, their = await desk.call(Priority.FORWARDED, within_s=90.0), await desk.call(other)
    desk.ledger.gate.set()
    await settled()
    assert their.done()
    assert not forwarded.done()


async def test_what_was_asked_for_a_member_goes_past_no_share_of_one_that_came_meanwhile(
    desk: Desk,
) -> None:
    await alone(desk, Limit(10, 60.0), forward=0.5)
    desk.ledger.gate.clear()
    member, forwarded = await desk.call(), await desk.call(Priority.FORWARDED, within_s=90.0)
    desk.ledger.gate.set()
    await settled()
    assert member.done()
    assert not forwarded.done()


async def test_whose_turn_it_is_but_has_to_wait_longer_holds_up_no_member(desk: Desk) -> None:
    await alone(desk, Limit(10, 1.0), forward=0.5)
    await desk.time.advance(0.5)
    for _ in range(5):
        assert (await desk.call()).done()
    forwarded, member = await desk.call(Priority.FORWARDED), await desk.call()
    for _ in range(8):
        await desk.time.advance(0.1)
    assert member.done()
    assert not forwarded.done()


async def test_a_grant_of_a_caller_that_left_is_the_next_ones_or_nobodys(desk: Desk) -> None:
    desk.ledger.gate.clear()
    gone, there = await desk.call(), await desk.call()
    gone.cancel()
    await settled()
    desk.answers = [raw(1), raw(0, wait_ms=900)]
    desk.ledger.gate.set()
    await settled()
    assert gone.cancelled()
    assert there.done()
    assert desk.ledger.questions == 1
    desk.ledger.gate.clear()
    alone = await desk.call()
    alone.cancel()
    await settled()
    desk.answers = [raw(1), raw(0, wait_ms=900)]
    desk.ledger.gate.set()
    await settled()
    assert not (await desk.call()).done()
    args = desk.ledger.asked[-1]
    assert (args[16], args[-2]) == (1, 4)  # a report, of a place that is given back


async def test_whoever_gives_its_place_back_is_not_turned_away_for_what_was_said_before(
    desk: Desk,
) -> None:
    first = await desk.call()
    desk.answers = [raw(0, wait_ms=48_000)]
    assert refusal(await desk.call()).retry_after_s == 48
    desk.answers = [raw(1)]
    first.result().returned(desk.time.monotonic())
    assert (await desk.call()).done()
    assert desk.calls[-1].result().lasts(desk.time.monotonic())


async def test_a_grant_that_comes_with_the_cancellation_is_passed_on(desk: Desk) -> None:
    desk.ledger.gate.clear()
    gone, there = await desk.call(), await desk.call()
    desk.answers = [raw(1), raw(0, wait_ms=900)]
    desk.ledger.gate.set()
    # Until the grant is there and its caller has not run since.
    caller = next(iter(desk.budgets._spaces[SPACE]._waiting))
    while not caller.turn.done():  # noqa: ASYNC110 - the very step after it is what counts
        await asyncio.sleep(0)
    gone.cancel()
    await settled()
    assert gone.cancelled()
    assert there.done()
    assert there.exception() is None


async def test_while_the_ledger_is_away_calls_go_on_and_it_is_said_once(desk: Desk) -> None:
    desk.answers = [raw(1, used=1)]
    await desk.budgets.start()
    await desk.call()
    with capture_logs() as lines:
        desk.answers = [StoreUnavailable("away")]
        granted = [(await desk.call(within_s=0.5)).exception() for _ in range(12)]
        assert granted.count(None) == 9
        assert not desk.budgets.standing(SPACE).shared
        desk.answers = [raw(1, used=1)]
        await _seconds(desk, 0.3)
        assert (await desk.call(within_s=0.5)).exception() is None
    assert [line["event"] for line in lines] == ["budget_local", "budget_shared"]
    assert desk.ledger.asked[-2][-1] == 9  # told once, and not again with the next question
    assert len(desk.ledger.asked[-1]) < len(desk.ledger.asked[-2])
    assert desk.budgets.standing(SPACE).shared


@pytest.mark.parametrize(("processes", "granted"), [(1, 10), (2, 5), (4, 2)])
async def test_one_that_never_reached_the_ledger_goes_by_the_number_that_it_was_told(
    desk: Desk, processes: int, granted: int
) -> None:
    desk.budgets = desk.of(BudgetConfig(calls=(Limit(10, 1.0),), writes=(), processes=processes))
    desk.answers = [StoreUnavailable("away")]
    calls = [await desk.call(within_s=0.5) for _ in range(11)]
    assert [call.exception() for call in calls].count(None) == granted


async def test_a_question_that_came_too_late_is_put_again_once(desk: Desk) -> None:
    await desk.call()
    desk.answers = [[3, b"2000000"], raw(1)]
    assert (await desk.call()).exception() is None
    assert desk.budgets.standing(SPACE).shared
    assert desk.ledger.asked[-1][13] == 2_000_250
    desk.answers = [[3, b"2000000"]]
    assert (await desk.call()).exception() is None
    assert not desk.budgets.standing(SPACE).shared
    assert len(desk.ledger.asked) == 5


async def test_a_defect_reaches_whoever_waits_and_the_next_call_starts_anew(desk: Desk) -> None:
    desk.answers = [KeyError("defect")]
    with capture_logs() as lines:
        assert isinstance((await desk.call()).exception(), KeyError)
    assert [line["event"] for line in lines] == ["budget_failed"]
    desk.answers = [raw(1)]
    assert (await desk.call()).exception() is None


async def test_the_ledger_is_not_asked_in_the_name_of_one_request(desk: Desk) -> None:
    seen = []

    def reply(args: Sequence[str | bytes | int]) -> list[Any]:
        seen.append(OF_A_REQUEST.get())
        return raw(1)

    desk.ledger.reply = reply
    OF_A_REQUEST.set("spent")
    await desk.call()
    await desk.budgets.throttled(SPACE, 1.0, Grant())
    assert seen == ["nobody's", "nobody's"]


async def test_without_accounting_pauses_are_looked_for_ten_times_a_second(desk: Desk) -> None:
    desk.budgets = desk.of(BudgetConfig(enabled=False))
    desk.answers = [raw(1, windows=0)]
    for _ in range(50):
        assert (await desk.call(write=True)).exception() is None
    assert desk.ledger.questions == 1
    await desk.time.advance(0.11)
    desk.answers = [raw(0, windows=0, wait_ms=2_000, paused_ms=2_000)]
    assert refusal(await desk.call(within_s=1.0)).retry_after_s == 2


@pytest.mark.parametrize("turns", range(16))
async def test_without_accounting_nobody_overtakes_one_whose_turn_has_come(
    desk: Desk, turns: int
) -> None:
    """However many turns of the loop it comes after the ledger has answered."""
    desk.budgets = desk.of(BudgetConfig(enabled=False))
    desk.answers = [raw(1, windows=0)]
    desk.ledger.gate.clear()
    went = []

    async def go(name: str) -> None:
        await desk.budgets.spend(SPACE, Urgency(Priority.STRANGER), write=False, within_s=10.0)
        went.append(name)

    first = asyncio.create_task(go("first"))
    await settled()
    desk.ledger.gate.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    await asyncio.gather(first, go("second"))
    assert went == ["first", "second"]


async def test_it_tells_that_it_lives_often_while_busy_and_seldom_while_idle(desk: Desk) -> None:
    await desk.budgets.start()
    assert len(desk.ledger.asked) == 1
    await _seconds(desk, 10.0)
    assert 2 <= len(desk.ledger.asked) - 1 <= 3
    await desk.call()
    asked = len(desk.ledger.asked)
    await _seconds(desk, 10.0)
    assert 8 <= len(desk.ledger.asked) - asked <= 10
    desk.answers = [StoreUnavailable("away")]
    await _seconds(desk, 1.5)
    asked = len(desk.ledger.asked)
    await _seconds(desk, 1.0)
    assert len(desk.ledger.asked) - asked == 4


async def test_a_heartbeat_outlives_a_defect(desk: Desk) -> None:
    await desk.budgets.start()
    desk.answers = [KeyError("defect"), raw(1)]
    with capture_logs() as lines:
        await _seconds(desk, 12.0)
    assert [line["event"] for line in lines] == ["budget_failed"]
    assert len(desk.ledger.asked) >= 3


async def test_closing_turns_everybody_away_and_nobody_comes_in(desk: Desk) -> None:
    await desk.budgets.start()
    desk.answers = [raw(0, wait_ms=500)]
    waiting = await desk.call()
    await desk.budgets.aclose()
    assert "shutting down" in str(refusal(waiting))
    assert refusal(await desk.call()).retry_after_s == 1


async def test_little_left_is_short_and_spacing_alone_is_not(desk: Desk) -> None:
    desk.budgets = desk.of(BudgetConfig(calls=(Limit(1, 1.0), Limit(10, 1.0)), writes=()))
    desk.answers = [raw(1, windows=2, used=8)]
    (await (await desk.call())).sent(desk.time.now)
    assert not desk.budgets.is_short(SPACE)
    desk.answers = [raw(1, windows=2, used=9)]
    await desk.call()
    assert desk.budgets.is_short(SPACE)
    assert [each.used for each in desk.budgets.standing(SPACE).windows] == [9, 9]


async def test_the_next_is_asked_for_when_the_last_was_sent_and_that_is_told_with_it(
    desk: Desk,
) -> None:
    desk.budgets = desk.of(SPACED)
    first, second = await desk.call(), await desk.call()
    assert first.done()
    assert desk.ledger.questions == 1
    await desk.time.advance(0.02)
    assert desk.ledger.questions == 1
    desk.answers = [raw(0, wait_ms=110), raw(1)]
    first.result().sent(desk.time.now - 0.005)
    await settled()
    assert len(desk.ledger.asked) == desk.ledger.questions == 2
    assert desk.ledger.asked[-1][16] == 1
    assert desk.ledger.asked[-1][29:32] == [1_000_300, 0, 5]
    await desk.time.advance(0.111)
    assert second.done()
    assert desk.ledger.questions == 3


async def test_a_grant_that_is_never_reported_holds_the_next_up_for_as_long_as_it_lasts(
    desk: Desk,
) -> None:
    desk.budgets = desk.of(SPACED)
    await desk.call()
    waiting = await desk.call()
    await desk.time.advance(0.24)
    assert not waiting.done()
    await desk.time.advance(0.011)
    assert waiting.done()


async def test_the_others_hear_at_once_that_a_call_was_sent_one_alone_keeps_it_for_the_next(
    desk: Desk,
) -> None:
    desk.budgets = desk.of(SPACED)
    for names, questions in ((["p0"], 0), (["p0", "p1"], 1)):
        desk.answers = [raw(1, names=names)]
        grant = (await desk.call()).result()
        asked = len(desk.ledger.asked)
        grant.sent(desk.time.now)
        grant.sent(desk.time.now)
        await settled()
        assert len(desk.ledger.asked) - asked == questions


async def test_who_came_before_goes_first_and_the_youngest_is_turned_away(desk: Desk) -> None:
    desk.budgets = desk.of(SPACED)
    desk.answers = [raw(0, wait_ms=100)]
    young = [
        await desk.call(Urgency(Priority.INTERACTIVE, 50.0 + i), within_s=2.0) for i in range(18)
    ]
    assert not any(task.done() for task in young)
    late = await desk.call(Urgency(Priority.INTERACTIVE, 99.0), within_s=2.0)
    assert refusal(late).retry_after_s == 3
    old = await desk.call(Urgency(Priority.INTERACTIVE, 1.0), within_s=2.0)
    assert refusal(young[-1]).retry_after_s == 3
    assert not young[-2].done()
    desk.answers = [raw(1), raw(0, wait_ms=100)]
    await desk.time.advance(0.101)
    assert old.done()
    assert not young[0].done()


async def test_one_refusal_of_calls_that_were_close_is_not_short_for_long(desk: Desk) -> None:
    desk.budgets = desk.of(SPACED)
    grant = (await desk.call()).result()
    grant.sent(desk.time.now)
    desk.answers = [StoreUnavailable("away")]
    await desk.budgets.throttled(SPACE, 1.0, grant)
    assert desk.budgets.is_short(SPACE)
    standing = desk.budgets.standing(SPACE)
    assert (standing.factor, standing.stretch) == (1.0, 1.25)
    await desk.time.advance(1.001)
    assert not desk.budgets.is_short(SPACE)


async def test_what_keeps_it_still_is_a_pause_for_operators_and_members_too(desk: Desk) -> None:
    desk.answers = [StoreUnavailable("gone")]
    desk.budgets = desk.of(BudgetConfig(writes=()))
    for _ in range(5):
        call = await desk.call(within_s=60.0)
        while not call.done():
            await desk.time.advance(0.05)
        call.result().sent(desk.time.monotonic())
        await desk.budgets.throttled(SPACE, 1.0, call.result())
    await desk.time.advance(2.0)  # the pause that was asked for is over
    assert desk.budgets.standing(SPACE).paused_s == pytest.approx(14.0)
    assert desk.budgets.is_short(SPACE)
    assert "pause" in str(refusal(await desk.call(within_s=5.0)))


async def test_one_that_stops_takes_itself_off_the_list(desk: Desk) -> None:
    await desk.budgets.start()
    await desk.budgets.aclose()
    assert desk.ledger.asked[-1][1] == -2
    desk.answers = [StoreUnavailable("away")]
    await desk.budgets.aclose()


async def _seconds(desk: Desk, seconds: float) -> None:
    for _ in range(round(seconds / 0.05)):
        await desk.time.advance(0.05)
