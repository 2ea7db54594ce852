"""An exchange whose reader leaves, over a transport that takes its time to close, or fails to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpcore
import pytest

from bff.errors import RequestStalled
from bff.nexudus.client import ANYTIME
from bff.nexudus.delivery import AHEAD
from bff.nexudus.exchange import Exchange, Transport
from bff.nexudus.places import Party, Place, Places
from tests.support.fake_clock import FakeClock


class Slow:
    """A body of which nothing comes, or all at once; and that is closed once it `goes_on`.

    `itself`: as soon as it is cancelled, as httpcore's do.
    """

    def __init__(self, *, comes: bool, itself: bool) -> None:
        self.comes, self.itself = comes, itself
        self.begun, self.closing, self.goes_on = (asyncio.Event() for _ in range(3))
        self.closed = False

    async def handle_async_request(self, _: httpcore.Request) -> httpcore.Response:
        response = httpcore.Response(200)
        response.stream = self
        return response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.begun.set()
        try:
            if not self.comes:
                await asyncio.get_running_loop().create_future()
        finally:
            if self.itself:
                await self.aclose()
        yield b"whole"

    async def aclose(self) -> None:
        if not self.closing.is_set():  # as httpcore: whoever comes later takes it to be closed
            self.closing.set()
            self.closed = await self.goes_on.wait()


class Failing:
    """More than is read, and a failure when it is closed."""

    async def handle_async_request(self, _: httpcore.Request) -> httpcore.Response:
        response = httpcore.Response(200)
        response.stream = self
        return response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(2 * AHEAD):
            yield b"x"

    async def aclose(self) -> None:
        raise httpcore.WriteError


def begun(transport: Transport, places: Places) -> tuple[Exchange, Place]:
    place = places.place(Party("acme"))
    timeouts = {"timeout": {"pool": 1.0}}
    request = httpcore.Request("GET", "http://acme.test/", extensions=timeouts)
    return Exchange(transport, request, place, ANYTIME), place


@pytest.mark.parametrize("lost", [True, False])
async def test_pitfall_8_one_that_fails_as_it_closes_waits_for_no_reader(lost: bool) -> None:
    exchange, place = begun(Failing(), Places(1, FakeClock(), shared=False))
    for _ in range(2 * AHEAD):
        await asyncio.sleep(0)
    if lost:
        place.lose()
    else:
        leaving = asyncio.create_task(exchange.release())
    done, _ = await asyncio.wait({exchange.task}, timeout=1)
    assert done
    if lost:
        with pytest.raises(RequestStalled):
            await exchange.head()
    else:
        await leaving


async def test_pitfall_8_what_is_being_closed_is_closed_whoever_leaves_meanwhile() -> None:
    for comes, itself in ((True, False), (False, False), (False, True)):
        slow, places = Slow(comes=comes, itself=itself), Places(1, FakeClock(), shared=False)
        exchange, _ = begun(slow, places)
        await (slow.closing if comes else slow.begun).wait()
        leaving = asyncio.create_task(exchange.release())
        await slow.closing.wait()
        drained = asyncio.create_task(exchange.drained())
        for _ in range(3):
            await asyncio.sleep(0)
            leaving.cancel()
            drained.cancel()
        assert not leaving.done()
        slow.goes_on.set()
        await asyncio.wait({leaving, drained, exchange.task})
        assert slow.closed
        await places.take(places.place(Party("acme")), 0)
