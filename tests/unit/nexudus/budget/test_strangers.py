"""What counts against the part of strangers, and for how long."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from bff.limits import Limit
from bff.nexudus.budget.contract import Priority
from bff.nexudus.budget.strangers import AGAIN_S, ANSWERED_S, Strangers
from bff.nexudus.budget.windows import Window

MINUTE = Window(Limit(8, 60.0))
WRITES = Window(Limit(4, 60.0), True)
NOW = 1_000.0


def test_a_full_part_is_looked_at_again_soon_while_an_answer_may_be_on_its_way() -> None:
    strangers = Strangers((MINUTE, WRITES), 0.5)
    for _ in range(4):
        assert strangers.wait_s(0, NOW, 1.0, 1) == 0.0
        strangers.count(Priority.STRANGER, False, NOW)
    strangers.count(Priority.INTERACTIVE, False, NOW)
    assert (strangers.used(0, NOW), strangers.used(1, NOW)) == (4, 0)
    assert strangers.wait_s(0, NOW, 1.0, 1) == AGAIN_S
    assert strangers.wait_s(0, NOW + ANSWERED_S, 1.0, 1) > 50.0
    assert strangers.hoped_s(0.03, NOW) == 0.03


def test_an_accepted_token_makes_room_at_once_and_only_where_its_call_counted() -> None:
    strangers = Strangers((MINUTE, WRITES), 0.5)
    for write in (True, True, False, False):
        strangers.count(Priority.STRANGER, write, NOW)
    strangers.accepted(False, NOW)
    assert (strangers.used(0, NOW), strangers.used(1, NOW)) == (3, 2)
    assert strangers.wait_s(0, NOW, 1.0, 1) == 0.0
    assert strangers.wait_s(1, NOW, 1.0, 1) > 0
    strangers.accepted(True, NOW)
    assert strangers.wait_s(1, NOW, 1.0, 1) == 0.0


@given(
    calls=st.lists(
        st.tuples(st.floats(0.0, 30.0), st.booleans(), st.sampled_from((0.0, 0.2, 70.0))),
        max_size=40,
    )
)
def test_only_what_is_on_its_way_refused_or_failed_counts(
    calls: list[tuple[float, bool, float]],
) -> None:
    strangers, now, answers = Strangers((MINUTE,), 0.5), NOW, list[tuple[float, float]]()
    refused = []
    for gap_s, known, took_s in calls:
        now += gap_s
        for due, until in [each for each in answers if each[0] <= now]:
            answers.remove((due, until))
            strangers.accepted(False, until)
        strangers.count(Priority.STRANGER, False, now)
        if known:
            answers.append((now + took_s, now))
        else:
            refused.append(now)
    counting = [at for at in refused if MINUTE.end(at) + MINUTE.keep_s() > now]
    under_way = [at for _, at in answers if MINUTE.end(at) + MINUTE.keep_s() > now]
    assert strangers.used(0, now) == len(counting) + len(under_way)
    wait_s = strangers.wait_s(0, now + ANSWERED_S, 1.0, 1)
    assert (wait_s > 0) == (strangers.used(0, now + ANSWERED_S) >= 4)
    assert not math.isinf(wait_s)
