"""Which connection a request goes on, and which are kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpcore
import pytest

from bff.nexudus.connections import Connections
from tests.support.manual_time import ManualTime

ACME, BETA = "https://acme.test", "https://beta.test"
KEEPALIVE_S = 20.0


class Line(httpcore.AsyncConnectionInterface):
    """A connection as httpcore's behave, which is there once it `goes_on`.

    `offered`: whether it may turn out to be HTTP/2; `http2`: whether it does.
    """

    def __init__(self, offered: bool, http2: bool, goes_on: asyncio.Event) -> None:
        self.offered, self.http2, self.goes_on = offered, http2, goes_on
        self.connected = self.closed = self.ended = self.retired = False
        self.requests = 0

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        await self.goes_on.wait()
        self.connected = True
        if self.closed or self.retired or (self.requests and not self.http2):
            raise httpcore.ConnectionNotAvailable
        if request.url.target == b"/breaks":
            raise httpcore.ReadError
        self.requests += 1
        return httpcore.Response(200, content=self._body(fails=request.url.target == b"/fails"))

    async def _body(self, *, fails: bool) -> AsyncIterator[bytes]:
        try:
            yield b"whole"
        finally:
            self.requests -= 1
            if fails:
                raise httpcore.WriteError

    async def aclose(self) -> None:
        self.closed = True

    def is_available(self) -> bool:
        if self.closed or self.retired:
            return False
        return self.http2 or not self.requests if self.connected else self.offered

    def has_expired(self) -> bool:
        return self.ended

    def is_idle(self) -> bool:
        return self.connected and not self.requests and not self.closed

    def is_closed(self) -> bool:
        return self.closed


@dataclass
class World:
    """A pool, and the connections that it opened. While not `goes_on`, none of them gets there."""

    offered: bool = False
    http2: bool = False
    most: int = 10
    clock: ManualTime = field(default_factory=ManualTime)
    goes_on: asyncio.Event = field(default_factory=asyncio.Event)
    lines: list[Line] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.goes_on.set()
        self.pool = Connections(
            lambda _: self._opened(),
            most=self.most,
            keepalive_s=KEEPALIVE_S,
            clock=self.clock.monotonic,
        )

    def _opened(self) -> Line:
        self.lines.append(Line(self.offered, self.http2, self.goes_on))
        return self.lines[-1]

    async def begin(self, origin: str = ACME, path: str = "/") -> httpcore.Response:
        return await self.pool.handle_async_request(httpcore.Request("GET", origin + path))

    async def end(self, *answers: httpcore.Response) -> None:
        for answer in answers:
            assert await answer.aread() == b"whole"
            await answer.aclose()

    @property
    def open(self) -> list[bool]:
        return [not line.closed for line in self.lines]


async def test_the_one_used_last_is_used_next() -> None:
    world = World()
    await world.end(*[await world.begin() for _ in range(3)])
    again = await world.begin()
    assert [line.requests for line in world.lines] == [0, 0, 1]
    await world.end(again)


async def test_one_whose_response_fails_as_it_closes_is_given_back_all_the_same() -> None:
    world = World()
    answer = await world.begin(path="/fails")
    async for _ in answer.aiter_stream():
        break
    with pytest.raises(httpcore.WriteError):
        await answer.aclose()
    await world.end(await world.begin())
    assert len(world.lines) == 1


async def test_one_that_has_ended_is_closed_and_passed_over() -> None:
    world = World()
    await world.end(*[await world.begin() for _ in range(2)])
    world.lines[1].ended = True
    await world.end(await world.begin())
    assert world.open == [True, False]


async def test_pitfall_17_no_connection_serves_two_origins() -> None:
    world = World()
    await world.end(await world.begin(ACME))
    await world.end(await world.begin(BETA))
    assert len(world.lines) == 2


async def test_idle_ones_of_any_origin_are_closed_once_they_have_ended() -> None:
    world = World()
    await world.end(await world.begin(BETA))
    world.lines[0].ended = True
    await world.end(await world.begin(ACME))
    assert world.open == [True, True]
    await world.clock.advance(KEEPALIVE_S / 2)
    await world.end(await world.begin(ACME))
    assert world.open == [False, True]


async def test_no_more_are_kept_than_may_be_in_use() -> None:
    world = World(most=2)
    await world.end(*[await world.begin() for _ in range(4)])
    assert sum(world.open) == 2


async def test_http2_is_shared_from_before_it_is_there() -> None:
    world = World(offered=True, http2=True)
    world.goes_on.clear()
    asking = [asyncio.create_task(world.begin()) for _ in range(5)]
    await asyncio.sleep(0)
    world.goes_on.set()
    await world.end(*await asyncio.gather(*asking))
    assert len(world.lines) == 1


async def test_a_shared_one_in_use_is_not_closed_though_its_idle_time_was_up() -> None:
    world = World(offered=True, http2=True)
    first = await world.begin()
    world.lines[0].ended = True  # httpcore takes that back some turns after it was taken
    await world.clock.advance(KEEPALIVE_S)
    other = await world.begin(BETA)
    await world.end(other)
    second = await world.begin()
    assert [line.requests for line in world.lines] == [2, 0]
    assert world.open == [True, True]
    await world.end(first, second)


async def test_who_hoped_for_http2_gets_connections_that_are_reused() -> None:
    world = World(offered=True)
    for _ in range(2):
        world.goes_on.clear()
        asking = [asyncio.create_task(world.begin()) for _ in range(5)]
        await asyncio.sleep(0)
        world.goes_on.set()
        await world.end(*await asyncio.gather(*asking))
    assert world.open == [True] * 5


async def test_a_retired_one_serves_its_last_request_and_is_closed() -> None:
    world = World(offered=True, http2=True)
    first, last = await world.begin(), await world.begin()
    world.lines[0].retired = True
    other = await world.begin()
    await world.end(first)
    assert world.open == [True, True]
    await world.end(last, other)
    assert world.open == [False, True]


async def test_pitfall_8_what_breaks_before_it_was_sent_is_not_left_behind() -> None:
    world = World()
    world.goes_on.clear()
    cancelled = asyncio.create_task(world.begin())
    await asyncio.sleep(0)
    world.lines[0].retired = True
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert world.open == [False]


async def test_a_failure_is_raised_and_the_connection_goes_on_if_it_can() -> None:
    world = World()
    with pytest.raises(httpcore.ReadError):
        await world.begin(path="/breaks")
    await world.end(await world.begin())
    assert world.open == [True]


async def test_all_are_closed_in_the_end() -> None:
    world = World()
    under_way = await world.begin()
    await world.end(await world.begin())
    await world.pool.aclose()
    assert world.open == [False, False]
    await world.end(under_way)
