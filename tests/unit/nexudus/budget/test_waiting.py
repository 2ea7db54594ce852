"""Who is next: by priority, then by the begin of the request, whoever came, rose or left."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection

from hypothesis import given
from hypothesis import strategies as st

from bff.nexudus.budget.contract import Grant, Priority, Urgency
from bff.nexudus.budget.waiting import (
    KINDS,
    Caller,
    Waiting,
    not_for,
    passed_by,
)

WRITES = {kind for kind in KINDS if kind[1]}

steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("join"), st.sampled_from(Priority), st.tuples(st.booleans(), st.integers(0, 5))
        ),
        st.tuples(st.just("rise"), st.integers(0, 30), st.sampled_from(Priority)),
        st.tuples(st.just("leave"), st.integers(0, 30), st.none()),
    ),
    max_size=40,
)


@given(steps=steps)
def test_the_head_is_that_of_a_sorted_list(
    steps: list[tuple[str, int, object]],
) -> None:
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(_play(steps))
    finally:
        loop.close()


async def _play(steps: list[tuple[str, int, object]]) -> None:
    waiting, there, ever = Waiting(), list[Caller](), list[Caller]()
    for what, number, detail in steps:
        if what == "join":
            assert isinstance(detail, tuple)
            write, since = detail
            caller = waiting.join(Urgency(Priority(number), float(since)), write, 10.0)
            there.append(caller)
            ever.append(caller)
        elif ever:
            caller = ever[number % len(ever)]
            if what == "rise":
                assert isinstance(detail, Priority)
                caller.urgency.raise_to(detail)
                waiting.rose(caller)
            else:
                waiting.leave(caller)
                there = [each for each in there if each is not caller]
        _compare(waiting, there)


def _compare(waiting: Waiting, there: list[Caller]) -> None:
    order = sorted(there, key=_place)
    reads = [each for each in order if not each.write]
    assert waiting.head() is (order[0] if order else None)
    assert waiting.head(WRITES) is (reads[0] if reads else None)
    for passing in ({(Priority.STRANGER, False)}, {*WRITES, (Priority.INTERACTIVE, False)}):
        rest = [c for c in order if (c.urgency.priority, c.write) not in passing]
        assert waiting.head(passing) is (rest[0] if rest else None)
    assert len(waiting) == len(there)
    assert set(map(id, waiting)) == set(map(id, there))
    for priority in Priority:
        for since in (0.0, 2.0, math.inf):
            before = [each for each in order if _place(each) < (priority, since, math.inf)]
            writes = sum(each.write for each in before)
            assert waiting.ahead(Urgency(priority, since)) == (len(before), writes)
            if priority > Priority.STRANGER:
                known = [c for c in before if c.urgency.priority is not Priority.STRANGER]
                ahead = waiting.ahead(Urgency(priority, since), math.inf, (Priority.STRANGER,))
                assert ahead == (len(known), sum(each.write for each in known))
        for write in (False, True):
            mine = [c for c in order if (c.urgency.priority, c.write) == (priority, write)]
            assert waiting.last(priority, write) is (mine[-1] if mine else None)
        equal = [each for each in order if each.urgency.priority == priority]
        assert waiting.at(priority, write=False) == sum(not each.write for each in equal)
    for index, each in enumerate(order):
        assert waiting.ahead(each.urgency, each.arrival)[0] == index


def _place(caller: Caller) -> tuple[Priority, float, float]:
    return caller.urgency.priority, caller.urgency.since, caller.arrival


async def test_a_caller_waits_until_its_turn() -> None:
    caller = Waiting().join(Urgency(Priority.FORWARDED), False, 10.0)
    assert caller.waits
    caller.turn.set_result(Grant())
    assert not caller.waits


def test_a_grant_is_for_whoever_could_have_had_it() -> None:
    forwarded = Grant(write=True, priority=Priority.FORWARDED)
    strangers = {(Priority.STRANGER, False), (Priority.STRANGER, True)}
    assert not_for(forwarded) == strangers
    assert not_for(Grant(priority=Priority.INTERACTIVE)) == strangers | WRITES
    assert not_for(Grant(write=True, priority=Priority.STRANGER)) == set()
    assert not_for(Grant(priority=Priority.STRANGER)) == WRITES


async def test_where_members_alone_could_keep_it_busy_one_turn_of_four_is_for_others() -> None:
    def run(came: str, *, in_turn: bool, passing: Collection[Priority] = ()) -> str:
        waiting, went = Waiting(), ""
        for kind in came:
            waiting.join(Urgency(Priority("msfb".index(kind))), False, 10.0)
        passed = {kind for kind in KINDS if kind[0] in passing}
        while (caller := waiting.next(passed, in_turn=in_turn)) is not None:
            waiting.went(caller)
            went += "msfb"[caller.counted]
        return went

    assert run("bfmmmmmmmmssf", in_turn=False) == "mmmmmmmmssffb"
    assert run("bfmmmmmmmmssf", in_turn=True) == "mmmfmmmsmmsfb"
    assert run("bmmmmmsf", in_turn=True, passing={Priority.STRANGER}) == "mmmfmmb"
    assert run("bmmmmmsf", in_turn=True, passing={Priority.INTERACTIVE}) == "sfb"
    assert run("mmmbmm", in_turn=True) == "mmmmmb"


async def test_one_that_left_has_had_no_turn() -> None:
    waiting = Waiting()
    for kind in (Priority.INTERACTIVE,) * 3:
        waiting.went(waiting.join(Urgency(kind), False, 10.0))
    gone, there = (waiting.join(Urgency(Priority.FORWARDED), False, 10.0) for _ in range(2))
    waiting.join(Urgency(Priority.INTERACTIVE), False, 10.0)
    gone.turn.cancel()
    waiting.went(gone)
    assert waiting.next(in_turn=True) is there


def test_only_strangers_may_be_passed_and_only_by_those_below() -> None:
    assert {each for each in Priority if passed_by(each)} == {
        Priority.FORWARDED,
        Priority.BACKGROUND,
    }
    assert passed_by(Priority.FORWARDED) == (Priority.STRANGER,)
    assert {each: passed_by(each, in_turn=True) for each in Priority} == {
        each: passed_by(each) for each in Priority
    } | {
        Priority.STRANGER: (Priority.INTERACTIVE,),
        Priority.FORWARDED: (Priority.INTERACTIVE, Priority.STRANGER),
    }
