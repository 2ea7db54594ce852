"""What stands against a call, and what becomes of an answer then."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bff.cache.decide import Verdict
from bff.explain import show
from bff.ops import outlook
from bff.ops.outlook import Conditions
from bff.resources import PROFILES
from bff.session.examine import Examined, Plan, Rule

CALM = Conditions("closed", 0.0, 0.0, refreshes_paused=False, patience_s=5.0)
SPENT = replace(CALM, spent="8 of 8/m", spent_for_writes="8 of 8/m")


def examined(plan: Plan, *, under_way_s: float = 0.0, proves: bool = False) -> Examined:
    return Examined(
        PROFILES, "", (), plan, Verdict.DEAD, Rule.FRESHNESS, "why", under_way_s=under_way_s,
        proves=proves,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("one", "status", "calls", "words"),
    [
        (examined(Plan.SERVE), 200, 0, "served from the cache"),
        (examined(Plan.REFRESH), 200, 0, "cannot be fetched anew, because the calls"),
        (examined(Plan.FALL_BACK), 200, 0, "old as it is, because the calls"),
        (examined(Plan.FALL_BACK, proves=True), 503, 0, "cannot be proven, because the calls"),
        (examined(Plan.FETCH), 503, 0, "spent (8 of 8/m), unless there is room again within 5 s"),
        (examined(Plan.FETCH, under_way_s=0.5), None, 1, "under way for 0.5 s is waited for"),
    ],
)
def test_what_becomes_of_an_answer_once_the_calls_are_spent(
    one: Examined, status: int | None, calls: int, words: str
) -> None:
    found = outlook.cached([one], SPENT, whole=True)
    assert (found.status, found.calls) == (status, calls)
    assert words in found.sentence


def test_a_breaker_or_a_pause_says_more_than_a_spent_budget() -> None:
    assert "left alone" in replace(SPENT, failing_s=3.0).obstacle
    assert replace(SPENT, failing_s=3.0).throttle == ""
    assert "throttles" in replace(SPENT, paused_s=30.0).throttle
    assert "spent" in replace(SPENT, paused_s=3.0).throttle, "that pause can be waited for"
    assert CALM.obstacle == CALM.obstacle_of_writes == ""


@pytest.mark.parametrize(("method", "status"), [("GET", None), ("PUT", 503), ("DELETE", 503)])
def test_the_limits_of_writes_stand_against_writes_only(method: str, status: int | None) -> None:
    conditions = replace(CALM, spent_for_writes="60 of 60/m writes")
    found = outlook.forwarded(method, conditions, writes=True, listed="")
    assert found.status == status
    assert ("60 of 60/m writes" in found.sentence) is (status == 503)


@pytest.mark.parametrize("plan", [Plan.FETCH, Plan.REFRESH])
def test_that_little_is_left_is_said(plan: Plan) -> None:
    assert "little is left" not in outlook.cached([examined(plan)], CALM, whole=True).sentence
    found = outlook.cached([examined(plan)], replace(CALM, short=True), whole=True)
    assert "if the budget, of which little is left, has room" in found.sentence


def test_the_command_does_not_say_that_nexudus_answers_for_the_gateway() -> None:
    request = {"method": "GET", "path": "/healthz", "route": "own"}
    first, *_ = show({"request": request, "answer": outlook.own().as_json()})
    assert first == "GET /healthz: as the gateway itself answers"


def test_a_pause_that_ends_in_time_is_waited_for() -> None:
    found = outlook.cached([examined(Plan.FETCH)], replace(CALM, paused_s=2.0), whole=True)
    assert "once its pause is over, in 2.0 s" in found.sentence
    assert found.calls == 1
