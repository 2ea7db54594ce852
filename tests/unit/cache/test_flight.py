"""One piece of work per key, whoever of its callers is cancelled."""

from __future__ import annotations

import asyncio
import gc
import random
import weakref

import pytest
from structlog.testing import capture_logs

from bff.cache.flight import Course, Flights, Landed
from bff.errors import Overloaded
from tests.support.manual_time import settled

SPACE = "acme"


class Work:
    """Something to do that waits for the test's word; counts how often it was begun."""

    def __init__(self) -> None:
        self.begun = 0
        self.cancelled = 0
        self.go = asyncio.Event()

    async def __call__(self) -> int:
        self.begun += 1
        mine = self.begun
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return mine


@pytest.fixture
def flights() -> Flights:
    return Flights()


def call(
    flights: Flights, work: Work, key: str = "k", tags: tuple[str, ...] = ()
) -> asyncio.Task[tuple[int, bool]]:
    async def one() -> tuple[int, bool]:
        landed = await flights.run(key, SPACE, tags, work)
        return landed.value, landed.joined

    return asyncio.create_task(one())


async def test_pitfall_21_concurrent_misses_of_one_key_do_one_piece_of_work(
    flights: Flights,
) -> None:
    work = Work()
    callers = [call(flights, work) for _ in range(1_000)]
    await settled()
    assert (len(flights), flights.waiters) == (1, 1_000)
    work.go.set()
    results = await asyncio.gather(*callers)
    assert work.begun == 1
    assert results == [(1, False)] + [(1, True)] * 999


async def test_other_keys_fly_by_themselves(flights: Flights) -> None:
    work = Work()
    callers = [call(flights, work, key) for key in "ab"]
    await settled()
    work.go.set()
    assert await asyncio.gather(*callers) == [(1, False), (2, False)]


async def test_who_comes_after_the_landing_starts_anew(flights: Flights) -> None:
    work = Work()
    work.go.set()
    assert await call(flights, work) == (1, False)
    assert await call(flights, work) == (2, False)


@pytest.mark.parametrize("cancelled", [[0], [3], [0, 1, 2], [1, 2, 3, 4]])
async def test_pitfall_7_a_cancelled_caller_disturbs_nobody(
    flights: Flights, cancelled: list[int]
) -> None:
    work = Work()
    callers = [call(flights, work) for _ in range(5)]
    await settled()
    for index in cancelled:
        callers[index].cancel()
    await settled()
    assert flights.waiters == 5 - len(cancelled)
    work.go.set()
    results = await asyncio.gather(*callers, return_exceptions=True)
    for index, result in enumerate(results):
        if index in cancelled:
            assert isinstance(result, asyncio.CancelledError)
        else:
            assert result == (1, index > 0)
    assert (work.begun, work.cancelled) == (1, 0)


async def test_a_flight_that_all_its_callers_left_lands_all_the_same(flights: Flights) -> None:
    work = Work()
    callers = [call(flights, work) for _ in range(3)]
    await settled()
    for caller in callers:
        caller.cancel()
    await settled()
    assert (len(flights), flights.waiters) == (1, 0)
    late = call(flights, work)
    await settled()
    work.go.set()
    assert await late == (1, True)
    assert work.cancelled == 0


async def test_a_failure_reaches_every_caller(flights: Flights) -> None:
    async def fail() -> int:
        await settled()
        raise OSError("down")

    callers = [asyncio.create_task(flights.run("k", SPACE, (), fail)) for _ in range(3)]
    results = await asyncio.gather(*callers, return_exceptions=True)
    assert [str(result) for result in results] == ["down"] * 3
    assert len(flights) == 0


async def test_a_failure_that_nobody_waits_for_is_nobodys(flights: Flights) -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, about: complaints.append(about))

    async def fail() -> None:
        raise OSError("down")

    assert flights.start("k", SPACE, (), fail)
    await settled()
    assert len(flights) == 0
    assert complaints == []


async def test_work_that_cannot_even_begin_leaves_nothing_behind(flights: Flights) -> None:
    def broken() -> asyncio.Future[int]:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await flights.run("k", SPACE, (), broken)
    work = Work()
    work.go.set()
    assert await call(flights, work) == (1, False)


async def test_a_flight_behind_the_callers_back_is_started_once_and_may_be_joined(
    flights: Flights,
) -> None:
    work = Work()
    assert flights.start("k", SPACE, (), work)
    assert not flights.start("k", SPACE, (), work)
    caller = call(flights, work)
    await settled()
    work.go.set()
    assert await caller == (1, True)


@pytest.mark.parametrize(
    ("dropped", "joins"),
    [
        ({"k:mine"}, False),
        ({"p:mine", "p:other"}, False),
        ({"k:other"}, True),
        ({"d:related"}, True),
        (set(), True),
        ({"u:5"}, False),
        ({"c:9"}, False),
        ({"r:related"}, False),
        ({"k:other", "u:5"}, False),
    ],
)
async def test_pitfall_14_who_comes_after_a_drop_joins_no_flight_it_may_concern(
    flights: Flights, dropped: set[str], joins: bool
) -> None:
    work = Work()
    before = call(flights, work, tags=("k:mine", "p:mine"))
    await settled()
    flights.detach(SPACE, frozenset(dropped))
    after = call(flights, work, tags=("k:mine", "p:mine"))
    await settled()
    work.go.set()
    assert await before == (1, False)
    assert await after == ((1, True) if joins else (2, False))
    assert len(flights) == 0


async def test_a_drop_in_another_space_detaches_nothing(flights: Flights) -> None:
    work = Work()
    before = call(flights, work)
    await settled()
    flights.detach("beta", frozenset({"u:5"}))
    after = call(flights, work)
    await settled()
    work.go.set()
    assert (await before, await after) == ((1, False), (1, True))


async def test_a_detached_flight_that_lands_leaves_its_successor_joinable(
    flights: Flights,
) -> None:
    first, second = Work(), Work()
    before = call(flights, first)
    await settled()
    flights.detach_all()
    after = call(flights, second)
    await settled()
    first.go.set()
    assert await before == (1, False)
    await settled()
    joining = call(flights, second)
    await settled()
    second.go.set()
    assert await after == (1, False)
    assert await joining == (1, True)


@pytest.mark.unmeasured
async def test_ten_thousand_flights_leave_nothing_behind(flights: Flights) -> None:
    draw = random.Random(7)
    tasks_before = len(asyncio.all_tasks())

    async def work() -> int:
        if draw.random() < 0.5:
            await asyncio.sleep(0)
        if draw.random() < 0.2:
            raise OSError("down")
        return 1

    async def caller() -> None:
        await flights.run(str(draw.randrange(2_000)), SPACE, ("k:x",), work)

    for _ in range(10):
        callers = [asyncio.create_task(caller()) for _ in range(1_000)]
        await asyncio.sleep(0)
        for each in draw.sample(callers, 200):
            each.cancel()
        if draw.random() < 0.5:
            flights.detach(SPACE, frozenset({"u:1"}))
        await asyncio.gather(*callers, return_exceptions=True)
    await settled()
    assert (len(flights), flights.waiters) == (0, 0)
    assert flights._joinable == {}
    assert len(asyncio.all_tasks()) == tasks_before


async def test_closing_ends_what_is_under_way_and_begins_nothing_more(flights: Flights) -> None:
    work = Work()
    callers = [call(flights, work, key) for key in "ab"]
    await settled()
    await flights.aclose()
    results = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(result) for result in results] == [asyncio.CancelledError] * 2
    assert work.cancelled == 2
    assert len(flights) == flights.waiters == 0
    assert not flights.start("k", SPACE, (), work)
    with pytest.raises(RuntimeError, match="closed"):
        await flights.run("k", SPACE, (), work)


async def test_a_flight_behind_the_scenes_is_told_of_everybody_who_begins_to_wait(
    flights: Flights,
) -> None:
    work, told = Work(), []
    flights.start("k", SPACE, (), work, Course(joined=lambda: told.append("joined")))
    assert (flights.behind, flights.behind_of(SPACE), flights.behind_of("other")) == (1, 1, 0)
    callers = [call(flights, work) for _ in range(2)]
    await settled()
    assert told == ["joined", "joined"]
    work.go.set()
    assert [await caller for caller in callers] == [(1, True), (1, True)]


async def test_more_callers_than_may_wait_are_turned_away_and_the_others_are_served() -> None:
    flights, work = Flights(most_waiters=2), Work()
    callers = [call(flights, work) for _ in range(2)]
    await settled()

    with pytest.raises(Overloaded) as shed:
        await call(flights, work)
    assert shed.value.retry_after_s == 1

    work.go.set()
    assert [await caller for caller in callers] == [(1, False), (1, True)]
    assert await call(flights, work) == (2, False)


async def test_a_space_that_hangs_turns_away_nobody_of_another_space() -> None:
    flights, work = Flights(most_waiters=1), Work()
    waiting = call(flights, work)
    await settled()

    async def other() -> int:
        return 7

    assert (await flights.run("of beta", "beta", (), other)).value == 7
    work.go.set()
    assert await waiting == (1, False)


async def test_pitfall_14_a_flight_that_has_not_begun_may_be_joined_after_an_invalidation(
    flights: Flights,
) -> None:
    """It waits for its turn; what it will bring is from after the invalidation."""
    work, course = Work(), Course()
    first = asyncio.create_task(flights.run("k", SPACE, (), work, course))
    await settled()
    flights.detach(SPACE, frozenset(("u:1",)))
    second = call(flights, work)
    await settled()
    assert work.begun == 1

    course.begun = True
    flights.detach(SPACE, frozenset(("u:1",)))
    third = call(flights, work)
    await settled()
    assert work.begun == 2
    work.go.set()
    assert ((await first).value, await second, await third) == (1, (1, True), (2, False))


async def test_the_age_of_a_flight_is_that_of_the_one_that_would_be_joined() -> None:
    now = 10.0
    flights, work = Flights(clock=lambda: now), Work()
    assert flights.age_s("k") == 0
    flying = call(flights, work)
    await settled()
    now = 12.5
    assert flights.age_s("k") == 2.5
    work.go.set()
    await flying
    assert flights.age_s("k") == 0


async def test_a_flight_that_nobody_waited_for_is_awaited_from_its_first_caller_on() -> None:
    now = 10.0
    flights, work = Flights(clock=lambda: now), Work()
    assert flights.awaited_s("k") == 0
    assert flights.start("k", SPACE, (), work)
    now = 12.5
    assert (flights.age_s("k"), flights.awaited_s("k")) == (2.5, 0)
    flying = call(flights, work)
    await settled()
    now = 13.0
    late = call(flights, work)
    await settled()
    assert (flights.age_s("k"), flights.awaited_s("k")) == (3.0, 0.5)
    work.go.set()
    await asyncio.gather(flying, late)
    assert flights.awaited_s("k") == 0


# Told before the end


def call_told(flights: Flights, work: Work, course: Course) -> asyncio.Task[Landed[int]]:
    return asyncio.create_task(flights.run("k", SPACE, (), work, course))


async def test_callers_are_told_before_the_work_has_ended(flights: Flights) -> None:
    work, course, unheard = Work(), Course(), list[dict[str, object]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, told: unheard.append(told))
    first, second = (call_told(flights, work, course) for _ in range(2))
    await settled()
    course.tell(7)
    assert [await first, await second] == [Landed(7, joined=False), Landed(7, joined=True)]
    assert (len(flights), flights.storing, flights.waiters) == (1, 1, 0), "the work goes on"
    work.go.set()
    await settled()
    assert (len(flights), flights.storing, work.cancelled, unheard) == (0, 0, 0, [])


async def test_pitfall_21_telling_leaves_alone_the_flight_that_took_its_place(
    flights: Flights,
) -> None:
    work, course = Work(), Course()
    first = call_told(flights, work, course)
    await settled()
    flights.detach_all()
    second = call(flights, work)
    await settled()
    course.tell(7)
    third = call(flights, work)
    await settled()
    work.go.set()
    assert (await first).value == 7
    assert (await second, await third) == ((2, False), (2, True))


async def test_pitfall_14_who_comes_after_they_were_told_starts_anew(flights: Flights) -> None:
    """It may have become too old, or refused, since."""
    work, course = Work(), Course()
    first = call_told(flights, work, course)
    await settled()
    course.tell(7)
    assert not flights.is_under_way("k")
    later = call(flights, work)
    await settled()
    assert flights.is_under_way("k")
    work.go.set()
    assert (await first).value == 7
    assert await later == (2, False)
    assert not flights.is_under_way("k")


async def test_a_failure_after_they_were_told_is_logged_and_reaches_none_of_them(
    flights: Flights,
) -> None:
    course = Course()

    async def fail() -> int:
        course.tell(7)
        await settled()
        raise OSError("down")

    with capture_logs() as logs:
        assert (await flights.run("k", SPACE, (), fail, course)).value == 7
        await settled()
    assert [entry["event"] for entry in logs] == ["flight_failed_late"]


async def test_closing_ends_what_goes_on_after_they_were_told(flights: Flights) -> None:
    work, course = Work(), Course()
    first = call_told(flights, work, course)
    await settled()
    course.tell(7)
    with capture_logs() as logs:
        await flights.aclose()
    assert (await first).value == 7
    assert (len(flights), work.cancelled, logs) == (0, 1, [])


async def test_closing_lets_end_what_they_were_told_of(flights: Flights) -> None:
    work, course = Work(), Course()
    first = call_told(flights, work, course)
    await settled()
    course.tell(7)
    closing = asyncio.create_task(flights.aclose())
    await settled()
    work.go.set()
    await closing
    assert ((await first).value, len(flights), work.cancelled) == (7, 0, 0)


class Document:
    pass


@pytest.mark.parametrize("tells", [True, False])
async def test_a_flight_that_has_ended_holds_its_result_no_longer(
    tells: bool, flights: Flights
) -> None:
    """Nor does it wait for the collector: a document that stays parsed takes room."""
    course, brought = Course(), list[weakref.ref[Document]]()

    async def bring() -> Document:
        document = Document()
        brought.append(weakref.ref(document))
        if tells:
            course.tell(document)
        return document

    gc.disable()
    try:
        await flights.run("k", SPACE, (), bring, course)
        await settled()
        assert [each() for each in brought] == [None]
    finally:
        gc.enable()
