"""What stands against a call, and what becomes of an answer then."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.cache.decide import Verdict
from bff.cache.entry import Entry
from bff.cache.tiered import Found
from bff.explain import show
from bff.limits import Limit
from bff.nexudus.budget.contract import Priority, Spending
from bff.ops.explaining import outlook
from bff.ops.explaining.outlook import Conditions
from bff.resources import PROFILES, RELATED
from bff.session.examine import Examined, Plan, Rule

CALM = Conditions("closed", 0.0, 0.0, refreshes_paused=False, patience_s=5.0)


def spending(
    limit: str, used: int, levels: tuple[int, ...] = (), *, writes: bool = False
) -> Spending:
    """A window; without `levels`, every call may use all of it."""
    parsed = Limit.parse(limit)
    return Spending(parsed, writes, used, levels or (parsed.calls,) * len(Priority))


def spent(*windows: Spending) -> Conditions:
    return replace(CALM, windows=windows)


SPENT = spent(spending("8/m", 8))
SHARES = (8, 7, 6, 4)
"""Of eight calls: members, tokens yet to be accepted, calls passed through, refreshes."""


def examined(
    plan: Plan,
    *,
    under_way_s: float = 0.0,
    proves: bool = False,
    stranger: bool = False,
    related: bool = False,
    status: int = 0,
) -> Examined:
    """One document; with a `status`, one of which an entry is kept."""
    entry = Entry(status, b"{}", 0.0, ()) if status else None
    found = cast(Found, SimpleNamespace(value=entry)) if entry else None
    return Examined(
        RELATED if related else PROFILES, "", (), plan, Verdict.DEAD, Rule.FRESHNESS, "why",
        found=found, under_way_s=under_way_s, proves=proves, stranger=stranger,
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
    assert (found.status, found.calls, found.behind) == (status, calls, 0)
    assert words in found.sentence


@pytest.mark.parametrize(
    ("one", "status", "calls", "behind", "words"),
    [
        (examined(Plan.SERVE), 200, 0, 0, "without a call to Nexudus"),
        (examined(Plan.REFRESH), 200, 0, 1, "stale at once, and fetched anew behind the answer:"),
        (examined(Plan.FALL_BACK), None, 1, 0, "what is kept stands in if it fails"),
        (examined(Plan.FETCH), None, 1, 0, "Nexudus is asked: profiles, why"),
        (examined(Plan.OPEN, related=True), None, 1, 0, "Nexudus is asked: related, why"),
    ],
)
def test_what_becomes_of_an_answer_where_nothing_stands_against_calls(
    one: Examined, status: int | None, calls: int, behind: int, words: str
) -> None:
    found = outlook.cached([one], CALM, whole=True)
    assert (found.status, found.calls, found.behind) == (status, calls, behind)
    assert words in found.sentence
    assert found.as_json() == {
        "status": status, "calls": calls, "behind": behind, "rule": 0,
        "rule_text": "How old an answer may be is in the table before the rules.",
        "sentence": found.sentence,
    }  # fmt: skip


def test_a_list_on_its_own_has_the_status_that_is_kept() -> None:
    gone = examined(Plan.SERVE, related=True, status=404)
    assert outlook.cached([gone], CALM, whole=False).status == 404
    assert outlook.cached([gone], CALM, whole=True).status == 200
    assert outlook.cached([examined(Plan.SERVE)], CALM, whole=False).status is None


def test_a_bootstrap_goes_without_a_part_and_not_without_its_profiles() -> None:
    parts = [examined(Plan.SERVE), examined(Plan.FETCH, related=True)]
    found = outlook.cached(parts, SPENT, whole=True)
    assert (found.status, found.calls) == (200, 0)
    assert "cannot be had" in found.sentence
    assert outlook.cached(parts, SPENT, whole=False).status == 503
    missing = [examined(Plan.FETCH), examined(Plan.OPEN, related=True)]
    assert outlook.cached(missing, SPENT, whole=True).status == 503


@pytest.mark.parametrize("plan", [Plan.OPEN, Plan.FETCH, Plan.REFRESH])
def test_nothing_is_called_for_what_follows_a_list_that_cannot_be_had(plan: Plan) -> None:
    part = examined(plan, related=True)
    first = examined(Plan.FETCH, stranger=True)
    conditions = spent(spending("8/m", 1, (8, 0, 6, 4)))
    found = outlook.cached([first, part], conditions, whole=True)
    assert (found.status, found.calls, found.behind) == (503, 0, 0)
    hinted = outlook.cached([first, replace(part, hinted=True)], conditions, whole=True)
    assert hinted.calls + hinted.behind == 1, "it is read at the same time"


def test_what_is_read_for_a_hint_alone_decides_nothing() -> None:
    hinted = replace(examined(Plan.FETCH, related=True), hinted=True)
    found = outlook.cached([examined(Plan.SERVE), hinted], CALM, whole=True)
    assert (found.status, found.calls) == (200, 1)
    assert "without a call" in found.sentence


@pytest.mark.parametrize(
    ("used", "refused"),
    [
        (3, set[str]()),
        (4, {"refresh"}),
        (6, {"refresh", "forwarded"}),
        (7, {"refresh", "forwarded", "stranger"}),
        (8, {"refresh", "forwarded", "stranger", "member"}),
    ],
)
def test_a_call_is_refused_by_the_share_of_its_kind(used: int, refused: set[str]) -> None:
    conditions = spent(spending("8/m", used, SHARES))
    told = {
        "refresh": outlook.cached([examined(Plan.REFRESH)], conditions, whole=True),
        "stranger": outlook.cached([examined(Plan.FETCH, stranger=True)], conditions, whole=True),
        "member": outlook.cached([examined(Plan.FETCH)], conditions, whole=True),
        "forwarded": outlook.forwarded("GET", conditions, writes=False, listed=""),
    }
    assert {kind for kind, found in told.items() if found.calls + found.behind == 0} == refused
    assert {kind for kind, found in told.items() if "spent (" in found.sentence} == refused
    assert {kind for kind, found in told.items() if found.status == 503} == refused - {"refresh"}
    # Whose part it is, unless nobody has any more.
    generic = {kind for kind, found in told.items() if "the calls that" in found.sentence}
    assert generic == (refused if used == 8 else set())


@pytest.mark.parametrize("plan", [Plan.FALL_BACK, Plan.FETCH])
def test_a_stranger_is_not_proven_by_a_call_that_its_part_does_not_allow(plan: Plan) -> None:
    conditions = spent(spending("8/m", 1, (8, 0, 6, 4)))
    one = examined(plan, proves=True, stranger=True)
    found = outlook.cached([one], conditions, whole=False)
    assert (found.status, found.calls) == (503, 0)
    assert "whose token is yet to be accepted may use is spent (1 of 8/m)" in found.sentence


@given(
    st.integers(0, 9),
    st.tuples(*[st.integers(0, 8)] * len(Priority)),
    st.sampled_from(Priority),
    st.booleans(),
    st.booleans(),
)
def test_a_window_stands_against_a_call_if_it_is_full_for_it_and_lasts(
    used: int, levels: tuple[int, ...], priority: Priority, write: bool, writes_only: bool
) -> None:
    short, long = (spending(each, used, levels, writes=writes_only) for each in ("8/2s", "8/m"))
    assert spent(short).obstacle(priority, write=write) == ""
    found = spent(short, long).obstacle(priority, write=write)
    assert bool(found) is (used >= levels[priority] and (write or not writes_only))


@pytest.mark.parametrize(
    ("limit", "used", "stands"),
    [
        ("120/m", 120, True),
        ("120/m", 119, False),
        ("1/100ms", 1, False),  # it only keeps calls apart
        ("10/5s", 10, False),  # there is room again before a call gives up
        ("10/1h", 11, True),
    ],
)
def test_a_window_is_spent_once_a_call_may_not_have_its_turn(
    limit: str, used: int, stands: bool
) -> None:
    assert bool(spent(spending(limit, used)).obstacle(Priority.INTERACTIVE)) is stands


def test_a_breaker_or_a_pause_says_more_than_a_spent_budget() -> None:
    first = Priority.INTERACTIVE
    assert "left alone" in replace(SPENT, failing_s=3.0).obstacle(first)
    assert replace(SPENT, failing_s=3.0).throttle(first) == ""
    assert "throttles" in replace(SPENT, paused_s=30.0).throttle(first)
    assert "spent" in replace(SPENT, paused_s=3.0).throttle(first), "that pause can be waited for"
    assert CALM.obstacle(first) == CALM.obstacle(first, write=True) == ""


@pytest.mark.parametrize(("method", "status"), [("GET", None), ("PUT", 503), ("DELETE", 503)])
def test_the_limits_of_writes_stand_against_writes_only(method: str, status: int | None) -> None:
    conditions = spent(spending("60/m", 60, writes=True), spending("500/h", 60))
    found = outlook.forwarded(method, conditions, writes=True, listed="")
    assert found.status == status
    assert ("(60 of 60/m writes)" in found.sentence) is (status == 503)


@pytest.mark.parametrize(
    ("writes", "listed", "words"),
    [
        (True, "", "all lists of its user are dropped first"),
        (False, "related", "because GET of the related list is asked for with a parameter"),
        (False, "", "only exact routes are cached"),
    ],
)
def test_what_is_forwarded_says_why(writes: bool, listed: str, words: str) -> None:
    found = outlook.forwarded("GET", CALM, writes=writes, listed=listed)
    assert (found.status, found.calls, found.behind) == (None, 2 if writes else 1, 0)
    assert words in found.sentence


@pytest.mark.parametrize("plan", [Plan.FETCH, Plan.REFRESH])
def test_that_little_is_left_is_said(plan: Plan) -> None:
    assert "little is left" not in outlook.cached([examined(plan)], CALM, whole=True).sentence
    found = outlook.cached([examined(plan)], replace(CALM, short=True), whole=True)
    assert "if the budget, of which little is left, has room" in found.sentence


def test_that_strangers_elsewhere_are_not_heard_of_is_said_to_strangers() -> None:
    unheard = replace(spending("8/m", 5), strangers_unheard=True)
    for stranger in (True, False):
        one = examined(Plan.FETCH, stranger=stranger)
        found = outlook.cached([one], spent(unheard), whole=True)
        assert (found.status, found.calls) == (None, 1)
        assert ("if other processes left room" in found.sentence) is stranger


def test_the_command_does_not_say_that_nexudus_answers_for_the_gateway() -> None:
    request = {"method": "GET", "path": "/healthz", "route": "own"}
    first, *_ = show({"request": request, "answer": outlook.own().as_json()})
    assert first == "GET /healthz: as the gateway itself answers"


def test_a_pause_that_ends_in_time_is_waited_for() -> None:
    found = outlook.cached([examined(Plan.FETCH)], replace(CALM, paused_s=2.0), whole=True)
    assert "once its pause is over, in 2.0 s" in found.sentence
    assert found.calls == 1


def test_nothing_is_fetched_behind_an_answer_while_operators_have_paused_that() -> None:
    paused = replace(CALM, refreshes_paused=True)
    found = outlook.cached([examined(Plan.REFRESH)], paused, whole=True)
    assert (found.status, found.calls, found.behind) == (200, 0, 0)
    assert "operators have paused refreshes" in found.sentence


@pytest.mark.parametrize(("by_token", "rule"), [(True, Rule.PROOF), (False, None)])
def test_what_is_refused_names_the_rule_of_tokens_or_none(
    by_token: bool, rule: Rule | None
) -> None:
    found = outlook.refused(401, "No token.", by_token=by_token)
    assert (found.status, found.rule) == (401, rule)
    cited = " (cache rule 1)." if by_token else "."
    assert found.sentence == f"It is refused with 401: No token{cited}"


@pytest.mark.parametrize(("held", "status"), [(True, 304), (False, 200)])
def test_finished_bytes_are_served_unless_their_caller_holds_them(held: bool, status: int) -> None:
    found = outlook.from_finished(200, 12.4, held=held)
    assert (found.status, found.calls, found.rule) == (status, 0, Rule.TIERS)
    assert ("with 304" in found.sentence) is held


def test_an_answer_that_is_yet_to_be_made_may_be_the_one_that_is_held() -> None:
    found = outlook.conditional(outlook.cached([examined(Plan.SERVE)], CALM, whole=True))
    assert found.sentence.endswith("A 200 becomes a 304 if If-None-Match names what comes of it.")
