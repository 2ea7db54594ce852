"""Who is next: by priority, then by arrival, whoever came, rose or left in between."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from bff.nexudus.budget.contract import Priority, Urgency
from bff.nexudus.budget.waiting import BELIEVED_S, Caller, Denied, Waiting

steps = st.lists(
    st.one_of(
        st.tuples(st.just("join"), st.sampled_from(Priority), st.booleans()),
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
            caller = waiting.join(Urgency(Priority(number)), bool(detail), 10.0)
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
    order = sorted(there, key=lambda each: (each.urgency.priority, each.arrival))
    reads = [each for each in order if not each.write]
    assert waiting.head() is (order[0] if order else None)
    assert waiting.head(writes=False) is (reads[0] if reads else None)
    assert len(waiting) == len(there)
    assert set(map(id, waiting)) == set(map(id, there))
    for priority in Priority:
        before = [each for each in order if each.urgency.priority <= priority]
        assert waiting.up_to(priority) == len(before)
        assert waiting.up_to(priority, writes_only=True) == sum(c.write for c in before)
        equal = [each for each in order if each.urgency.priority == priority]
        assert waiting.reads_at(priority) == sum(not each.write for each in equal)


async def test_a_caller_waits_until_its_turn() -> None:
    caller = Waiting().join(Urgency(Priority.FORWARDED), False, 10.0)
    assert caller.waits
    caller.turn.set_result(None)
    assert not caller.waits


def test_what_was_denied_holds_for_those_below_and_is_believed_for_a_second() -> None:
    denied = Denied(Priority.FORWARDED, said_at=100.0, delay_s=40.0)
    assert denied.wait_s(Priority.FORWARDED, 100.5) == 39.5
    assert denied.wait_s(Priority.BACKGROUND, 100.5) == 39.5
    assert denied.wait_s(Priority.INTERACTIVE, 100.5) == 0.0
    assert denied.wait_s(Priority.BACKGROUND, 100.0 + BELIEVED_S) == 0.0
    assert Denied(Priority.FORWARDED, 100.0, 0.2).wait_s(Priority.FORWARDED, 100.5) == 0.0
    assert Denied().wait_s(Priority.INTERACTIVE, 0.0) == 0.0
