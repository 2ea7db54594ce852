"""An exchange whose reader leaves, over a transport that takes its time to close."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpcore

from bff.nexudus.client import ANYTIME
from bff.nexudus.exchange import Exchange
from bff.nexudus.places import Party, Places
from tests.support.fake_clock import FakeClock


class Slow:
    """A body of which nothing comes, or all at once; and that is closed once it `goes_on`."""

    def __init__(self, *, comes: bool) -> None:
        self.comes = comes
        self.begun, self.closing, self.goes_on = (asyncio.Event() for _ in range(3))
        self.closed = False

    async def handle_async_request(self, _: httpcore.Request) -> httpcore.Response:
        response = httpcore.Response(200)
        response.stream = self
        return response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.begun.set()
        if not self.comes:
            await asyncio.get_running_loop().create_future()
        yield b"whole"

    async def aclose(self) -> None:
        self.closing.set()
        await self.goes_on.wait()
        self.closed = True


async def test_pitfall_8_what_is_being_closed_is_closed_whoever_leaves_meanwhile() -> None:
    for comes in (True, False):
        slow, places = Slow(comes=comes), Places(1, FakeClock(), shared=False)
        place = places.place(Party("acme"))
        timeouts = {"timeout": {"pool": 1.0}}
        request = httpcore.Request("GET", "http://acme.test/", extensions=timeouts)
        exchange = Exchange(slow, request, place, ANYTIME)
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
