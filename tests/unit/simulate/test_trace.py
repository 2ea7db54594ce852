"""The trace follows from its seed, and is what it is said to be."""

from __future__ import annotations

import statistics
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulate.trace import OPENS_S, Device, Person, Plan, trace_of, zipf

PEOPLE = [
    Person(10_000 + n, (20_000 + n, *((30_000 + n,) if n % 4 == 0 else ()))) for n in range(400)
]
PUBLISHED = [person.coworker_ids[0] for person in PEOPLE]
PLAN = Plan()


def arrivals(devices: tuple[Device, ...]) -> list[float]:
    return [OPENS_S + device.visits[0].at_s for device in devices]


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32))
def test_the_same_seed_gives_the_same_trace_and_another_one_another(seed: int) -> None:
    plan = replace(PLAN, seed=seed)
    trace = trace_of(plan, PEOPLE[:40], PUBLISHED)
    assert trace == trace_of(plan, PEOPLE[:40], PUBLISHED)
    assert trace != trace_of(replace(plan, seed=seed + 1), PEOPLE[:40], PUBLISHED)
    for device in trace:
        times = [visit.at_s for visit in device.visits]
        assert times == sorted(times)
        assert times[0] >= 0
        assert times[-1] <= plan.until_s - OPENS_S


def test_members_come_around_nine_with_one_to_three_devices() -> None:
    devices = trace_of(PLAN, PEOPLE, PUBLISHED)
    owned = {person.user_id: 0 for person in PEOPLE}
    for device in devices:
        owned[device.user_id] += 1
    assert set(owned.values()) == {1, 2, 3}
    assert abs(statistics.mean(arrivals(devices)) - PLAN.nine_s) < 180
    assert 0.7 < statistics.stdev(arrivals(devices)) / PLAN.burst_s < 1.2


def test_few_members_and_few_cards_are_most_of_it() -> None:
    devices = trace_of(PLAN, PEOPLE, PUBLISHED)
    opened = [card.coworker_id for d in devices for visit in d.visits for card in visit.cards]
    popular = set(PUBLISHED[: len(PUBLISHED) // 10])
    assert sum(each in popular for each in opened) > len(opened) / 2
    assert zipf(3, 1.0) == [1.0, 0.5, 1 / 3]


def test_only_who_has_another_profile_switches_and_to_that_one() -> None:
    devices = trace_of(replace(PLAN, until_s=18 * 3_600), PEOPLE, PUBLISHED)
    others = {person.user_id: person.coworker_ids[1:] for person in PEOPLE}
    switches = [
        (device.user_id, visit.switch_to)
        for device in devices
        for visit in device.visits
        if visit.switch_to is not None
    ]
    assert switches
    assert all(target in others[user_id] for user_id, target in switches)
