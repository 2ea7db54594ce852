"""The deadline: around whatever a request waits for."""

from __future__ import annotations

import asyncio

import pytest

from bff.errors import UpstreamTimeout
from bff.session.deadline import in_time


async def said(answer: str) -> str:
    await asyncio.sleep(0)
    return answer


async def test_what_comes_in_time_is_passed_on() -> None:
    assert await in_time(30.0, said("yes")) == "yes"


async def test_what_does_not_is_cancelled_and_a_timeout_of_nexudus() -> None:
    asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    with pytest.raises(UpstreamTimeout, match="within the deadline"):
        await in_time(0.001, asked)
    assert asked.cancelled()


async def test_a_timeout_of_its_own_is_nexudus_too() -> None:
    """The shared store's is none: it is patience that ends there."""

    async def late() -> None:
        raise TimeoutError

    with pytest.raises(UpstreamTimeout):
        await in_time(30.0, late())


async def test_whoever_leaves_is_no_timeout() -> None:
    asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    leaving = asyncio.create_task(in_time(30.0, asked))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert asked.cancelled()
