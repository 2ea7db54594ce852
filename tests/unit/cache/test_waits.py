"""Who waits is told exactly what concerns it, whenever that is said."""

from __future__ import annotations

import asyncio

from bff.cache.endings import Nothing, Stored, Unshared
from bff.cache.waits import Waits


async def test_a_wait_hears_of_its_owner_alone_before_and_after_it_asks() -> None:
    waits = Waits()
    with waits.wait("acme", "k") as early, waits.wait("acme", "k") as late:
        waits.tell("acme", "k", "a", Stored())
        assert await early.ended("a") == Stored()
        task = asyncio.create_task(late.ended("b"))
        await asyncio.sleep(0)
        for place in (("acme", "other"), ("beta", "k")):
            waits.tell(*place, "b", Stored())
        waits.tell("acme", "k", "c", Stored())
        await asyncio.sleep(0)
        assert not task.done()
        waits.tell("acme", "k", "b", Unshared())
        assert await task == Unshared()


async def test_everybody_is_told_when_something_may_have_been_missed() -> None:
    waits = Waits()
    with waits.wait("acme", "k") as one, waits.wait("beta", "l") as other:
        assert len(waits) == 2
        waits.tell_all(Nothing())
        assert await one.ended("a") == await other.ended("b") == Nothing()


def test_nobody_who_went_is_kept() -> None:
    waits = Waits()
    with waits.wait("acme", "k"):
        with waits.wait("acme", "k"):
            pass
        assert len(waits) == 1
    assert len(waits) == 0
    assert not waits._waits
    waits.tell("acme", "k", "a", Stored())
