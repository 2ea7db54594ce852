"""Loads of one turn of the event loop are one, and nobody's: who leaves takes nothing with it."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import Callable

import pytest

from bff.cache import patience
from bff.cache.guarded import CONCURRENT, FAILURES_TO_OPEN, GuardedStore, StoreObserver
from bff.cache.keys import Container, Scope
from bff.cache.patience import HURRY, TICK_S, OutOfPatience, Pace, Unanswered, limited
from bff.cache.store import Loaded, Refused
from bff.cache.together import Together, Wants
from bff.errors import StoreUnavailable
from tests.support.manual_time import ManualTime, settled
from tests.unit.cache.test_guarded import Scripted
from tests.unit.cache.test_patience import Loop

CONTAINER = Container("acme", Scope.TOKEN, "d")
WANTS = [(CONTAINER, "f")]


class Asked:
    """What is asked for, as one each time; answered once `gate` is open, or with `failure`."""

    def __init__(self) -> None:
        self.loads: list[int] = []
        self.patience: list[object] = []
        self.gate = asyncio.Event()
        self.failure: Exception | None = None

    async def load(self, space: str, taken: Callable[[], Wants]) -> Loaded:
        wants = taken()
        self.loads.append(len(wants))
        self.patience.append(patience.current())
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return Loaded(1, (None,) * len(wants))


@pytest.fixture
def paced(monkeypatch: pytest.MonkeyPatch) -> Loop:
    """Whose time is that of all waits."""
    loop = Loop()
    pace = Pace(loop)  # type: ignore[arg-type]
    monkeypatch.setattr(time, "thread_time", lambda: loop.worked)
    monkeypatch.setattr(patience, "pace", lambda: pace)
    return loop


async def load(together: Together, wait_s: float = 9.0) -> Loaded:
    with limited(wait_s):
        return await together.load("acme", WANTS)


async def test_pitfall_7_they_go_on_without_those_who_began_them() -> None:
    asked = Asked()
    together = Together(asked.load)
    first, impatient, last = (asyncio.create_task(load(together, s)) for s in (9.0, 0.01, 9.0))
    await settled()
    first.cancel()
    with pytest.raises(OutOfPatience):
        await impatient
    asked.gate.set()
    assert (await last).values == (None,)
    assert first.cancelled()
    assert (asked.loads, asked.patience) == ([3], [None])


@pytest.mark.parametrize("failure", [Unanswered("late"), OutOfPatience(), StoreUnavailable("no")])
async def test_a_failure_is_told_to_all_who_asked(failure: Exception) -> None:
    asked = Asked()
    asked.failure = failure
    asked.gate.set()
    together = Together(asked.load)
    spent = []

    async def caller() -> None:
        with limited(9.0):
            with pytest.raises(type(failure)):
                await together.load("acme", WANTS)
            spent.append(patience.is_spent())

    await asyncio.gather(*(caller() for _ in range(3)))
    in_vain = isinstance(failure, Unanswered | OutOfPatience)
    assert spent == [in_vain] * 3, "who waited in vain has no patience left"
    assert asked.loads == [3]


async def test_closing_tells_those_who_wait() -> None:
    together = Together(Asked().load)
    waiting = [asyncio.create_task(load(together)) for _ in range(2)]
    await settled()
    await together.aclose()
    for each in waiting:
        with pytest.raises(StoreUnavailable, match="closed"):
            await each
    assert len(asyncio.all_tasks()) == 1


async def test_pitfall_21_a_burst_of_loads_is_one_call_and_one_failure() -> None:
    inner, heard = Scripted(), list[str]()
    store = GuardedStore(inner, ManualTime())
    store.observer = StoreObserver(lambda *_: heard.append("answered"), heard.append)
    await asyncio.gather(*(store.load("acme", WANTS) for _ in range(100)))
    inner.up = False
    for _ in range(FAILURES_TO_OPEN):
        assert store.available
        burst = (store.load("acme", WANTS) for _ in range(100))
        failed = await asyncio.gather(*burst, return_exceptions=True)
        assert all(isinstance(each, StoreUnavailable) for each in failed)
    assert not store.available
    assert inner.calls == ["load"] * 4
    assert heard == ["answered", "load", "load", "load"]
    await store.aclose()


async def test_pitfall_23_who_waited_in_vain_goes_on_once_the_guard_knows_of_it(
    monkeypatch: pytest.MonkeyPatch, paced: Loop
) -> None:
    """Also where others had the machine before the store was asked."""
    inner, parts = Scripted(), list[float]()

    async def hung(*_: object) -> Loaded:
        paced.at += 0.8 * TICK_S
        parts.append(patience._part.get())
        await patience.wait(loop_future(), 3.5 * TICK_S)
        raise AssertionError

    monkeypatch.setattr(inner, "load", hung)
    store = GuardedStore(inner, ManualTime())

    async def caller() -> None:
        with limited(3.5 * TICK_S), pytest.raises(StoreUnavailable):
            await store.load("acme", WANTS)
        with pytest.raises(StoreUnavailable):
            await store.load("acme", WANTS)

    call = asyncio.create_task(caller())
    while not call.done():
        await settled()
        paced.at += TICK_S / 2
        await settled()
        paced.at += TICK_S / 2
        paced.due()
    await call
    assert parts == [1.0, HURRY]
    await store.aclose()


def loop_future() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


async def test_pitfall_21_those_in_line_are_one_call_however_long_it_is() -> None:
    inner = Scripted()
    store = GuardedStore(inner, ManualTime())
    inner.gate.clear()
    busy = [asyncio.create_task(store.flag("acme", "f")) for _ in range(CONCURRENT)]
    await settled()
    line = []
    for number in range(3 * CONCURRENT):
        line.append(asyncio.create_task(store.load("acme", WANTS * (number % 3))))
        await asyncio.sleep(0)
    line[0].cancel()
    inner.gate.set()
    loaded = await asyncio.gather(*line[1:])
    assert [len(one.values) for one in loaded] == [n % 3 for n in range(1, 3 * CONCURRENT)]
    assert inner.calls.count("load") == 1
    await asyncio.gather(*busy)
    await store.aclose()


async def test_pitfall_23_a_call_that_was_refused_in_line_is_joined_by_nobody() -> None:
    inner = Scripted()
    store = GuardedStore(inner, ManualTime())
    inner.gate.clear()
    busy = [asyncio.create_task(store.flag("acme", "f")) for _ in range(CONCURRENT)]
    await settled()
    refused = asyncio.create_task(store.load("acme", WANTS))
    await settled()
    inner.up = False
    store.keep_away()
    inner.gate.set()
    with pytest.raises(Refused):
        await refused
    await asyncio.gather(*busy, return_exceptions=True)
    assert store._together._gathering == {}
    await store.aclose()


async def test_pitfall_23_answers_that_come_late_add_up_within_a_request(paced: Loop) -> None:
    inner = Scripted()
    store = GuardedStore(inner, ManualTime())

    async def request() -> None:
        with limited(3 * TICK_S):
            await store.load("acme", WANTS)
            inner.gate.clear()
            with pytest.raises(OutOfPatience):
                await store.load("acme", WANTS)

    inner.gate.clear()
    call = asyncio.create_task(request())
    for tick in range(4):
        await settled()
        assert not call.done()
        if tick == 2:
            inner.gate.set()
            await settled()
        paced.at += TICK_S
        paced.due()
    await settled()
    assert call.done()
    await call
    inner.gate.set()
    await store.aclose()


async def test_a_failure_that_nobody_waits_for_any_more_is_nobodys() -> None:
    heard: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda *said: heard.append(said))
    asked = Asked()
    asked.failure = StoreUnavailable("no")
    call = asyncio.create_task(load(Together(asked.load)))
    await settled()
    call.cancel()
    asked.gate.set()
    await asyncio.wait((call,))
    assert call.cancelled()
    del call
    await settled()
    gc.collect()
    assert heard == []


async def test_a_failure_does_not_keep_those_who_were_told_of_it() -> None:
    asked = Asked()
    asked.failure = Unanswered("late")
    asked.gate.set()
    together, requests = Together(asked.load), list[weakref.ref[set[int]]]()

    async def caller() -> None:
        request = set[int]()
        requests.append(weakref.ref(request))
        with pytest.raises(Unanswered):
            await kept(request)

    async def kept(_request: set[int]) -> None:
        await together.load("acme", WANTS)

    gc.disable()
    try:
        await asyncio.gather(*(caller() for _ in range(3)))
        asked.failure = None
        assert [request() for request in requests] == [None] * 3
    finally:
        gc.enable()
