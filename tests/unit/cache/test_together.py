"""Loads of one turn of the event loop are one, and nobody's: who leaves takes nothing with it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from bff.cache import patience
from bff.cache.guarded import FAILURES_TO_OPEN, GuardedStore, StoreObserver
from bff.cache.keys import Container, Scope
from bff.cache.patience import OutOfPatience, Unanswered, limited
from bff.cache.store import Loaded
from bff.cache.together import Together
from bff.errors import StoreUnavailable
from tests.support.manual_time import ManualTime, settled
from tests.unit.cache.test_guarded import Scripted

CONTAINER = Container("acme", Scope.TOKEN, "d")
WANTS = [(CONTAINER, "f")]


class Asked:
    """What is asked for, as one each time; answered once `gate` is open, or with `failure`."""

    def __init__(self) -> None:
        self.loads: list[int] = []
        self.patience: list[object] = []
        self.gate = asyncio.Event()
        self.failure: Exception | None = None

    async def load(self, space: str, wants: Sequence[tuple[Container, str]]) -> Loaded:
        self.loads.append(len(wants))
        self.patience.append(patience.current())
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return Loaded(1, (None,) * len(wants))


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
