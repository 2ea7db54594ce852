from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from bff.sandbox.throttle import DOCUMENTED_LIMITS, WRITES, Limit, Throttle
from tests.unit.sandbox.space import CURRENT, PROFILES, ManualClock, Space, fixture

MakeSpace = Callable[..., Space]


async def test_a_second_request_within_100_ms_is_answered_as_documented(
    make_space: MakeSpace,
) -> None:
    space = make_space(throttle=True)
    assert (await space.get(PROFILES)).status_code == 200
    answer, expected = await space.get(PROFILES), fixture("throttled_409.json")
    assert answer.status_code == expected["status"]
    assert answer.content == b""
    assert dict(answer.headers) == {k.lower(): v for k, v in expected["headers"].items()}
    space.clock.now += 0.1001
    assert (await space.get(PROFILES)).status_code == 200


async def test_the_whole_sandbox_is_one_client(make_space: MakeSpace) -> None:
    space = make_space(throttle=True)
    assert (await space.get("/api/public/configuration", None)).status_code == 200
    assert (await space.get(PROFILES, space.token(7002))).status_code == 409


async def test_a_refused_write_is_not_carried_out(make_space: MakeSpace) -> None:
    space = make_space(throttle=True)
    await space.get(PROFILES)
    refused = await space.call("PUT", CURRENT, params={"coworkerId": 145})
    assert refused.status_code == 409
    assert space.sandbox.world.member(7001).current_id == 101


async def test_it_can_be_turned_off_and_on(make_space: MakeSpace) -> None:
    space = make_space(throttle=True)
    space.sandbox.throttle.enabled = False
    assert [(await space.get(PROFILES)).status_code for _ in range(5)] == [200] * 5
    space.sandbox.throttle.enabled = True
    assert [(await space.get(PROFILES)).status_code for _ in range(2)] == [200, 409]
    assert space.sandbox.throttle.refused == 1
    space.sandbox.throttle.reset()
    assert (await space.get(PROFILES)).status_code == 200


def admitted(throttle: Throttle, clock: ManualClock, method: str, every_s: float, n: int) -> int:
    count = 0
    for _ in range(n):
        count += throttle.admit(method)
        clock.now += every_s
    return count


def test_the_documented_windows() -> None:
    def passing(method: str, every_s: float, n: int) -> int:
        clock = ManualClock()
        return admitted(Throttle(clock, enabled=True), clock, method, every_s, n)

    assert passing("GET", 0.05, 40) == 20  # 1 / 100 ms
    assert passing("GET", 0.2, 299) == 120  # 120 / minute, within one
    assert passing("POST", 0.5, 119) == 60  # 60 writes / minute
    assert passing("PATCH", 0.5, 119) == 119  # not in the documented list of writes
    assert passing("GET", 0.55, 6_500) == 5_000  # 5,000 / hour
    assert passing("DELETE", 10, 8_000) == 5_000  # 5,000 writes / day
    assert passing("GET", 10, 8_000) == 8_000


limits = st.lists(
    st.builds(Limit, st.integers(1, 4), st.sampled_from([0.5, 1.0, 4.0]), st.booleans()),
    min_size=1,
    max_size=3,
)
arrivals = st.lists(
    st.tuples(st.sampled_from([0.0, 0.25, 0.5, 2.0]), st.sampled_from(["GET", "POST", "PATCH"])),
    max_size=40,
)


@given(limits, arrivals)
def test_what_is_admitted_stays_within_every_window(
    declared: list[Limit], calls: list[tuple[float, str]]
) -> None:
    clock = ManualClock()
    throttle = Throttle(clock, enabled=True, limits=tuple(declared))
    taken: list[tuple[float, str]] = []
    for gap_s, method in calls:
        clock.now += gap_s
        full = [
            limit
            for limit in declared
            if (method in WRITES or not limit.writes_only)
            and sum(
                at > clock.now - limit.window_s and (each in WRITES or not limit.writes_only)
                for at, each in taken
            )
            >= limit.calls
        ]
        assert throttle.admit(method) == (not full)
        if not full:
            taken.append((clock.now, method))


def test_the_documented_numbers() -> None:
    numbers = {(each.calls, each.window_s, each.writes_only) for each in DOCUMENTED_LIMITS}
    assert numbers == {
        (1, 0.1, False),
        (120, 60, False),
        (5_000, 3_600, False),
        (200_000, 86_400, False),
        (60, 60, True),
        (5_000, 86_400, True),
    }
