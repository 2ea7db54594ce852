"""When a request leaves: not after its turn, however long its connection took to make."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import httpcore
import pytest

from bff.clock import SystemClock
from bff.errors import Overloaded, UpstreamTimeout
from bff.nexudus.client import Call, NexudusClient, Timeouts, open_pools
from bff.nexudus.headers import Variants, cached_request_headers
from bff.spaces import Origin, Space
from tests.support.h2_upstream import H2Stream, http2
from tests.support.nexudus_client import client_and_upstream
from tests.support.raw_upstream import Peer, answering, upstream
from tests.support.tls import TestTls

HEADERS = cached_request_headers("t0ken", Variants())


class Reticent:
    """A transport that tells nothing of its doings."""

    async def handle_async_request(self, _: httpcore.Request) -> httpcore.Response:
        return httpcore.Response(200, content=b"[]")

    async def aclose(self) -> None:
        pass


@dataclass(slots=True)
class Turn:
    """A Departure that is over until `open` is set, and then is renewed, or refused."""

    is_due: bool = False
    refusal: Overloaded | None = None
    open: asyncio.Event = field(default_factory=asyncio.Event)
    log: list[str] = field(default_factory=list)

    async def renewed(self) -> None:
        self.log.append("late")
        await self.open.wait()
        if self.refusal is not None:
            raise self.refusal
        self.is_due = True

    def gone(self) -> None:
        self.log.append("gone")

    async def was_late(self) -> None:
        async with asyncio.timeout(20):
            while not self.log:  # noqa: ASYNC110 - nothing else tells it
                await asyncio.sleep(0.001)


async def test_a_request_whose_turn_is_over_waits_on_its_connection_for_another() -> None:
    seen = []

    async def handler(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.answer()

    async with client_and_upstream(handler) as (client, up):
        turn = Turn()
        call = asyncio.create_task(client.get(up.space, "/late", HEADERS, 5, turn))
        await turn.was_late()
        assert len(up.peers) == 1
        assert seen == []
        turn.open.set()
        assert (await call).status == 200
        assert turn.log[:2] == ["late", "gone"]
        assert [each.target for each in seen] == [b"/late"]
        assert len(up.peers) == 1


async def test_one_in_time_leaves_at_once_and_says_so_before_its_answer_is_there() -> None:
    answers = asyncio.Event()

    async def handler(peer: Peer) -> None:
        await peer.request()
        await answers.wait()
        await peer.answer()

    async with client_and_upstream(handler) as (client, up):
        turn = Turn(is_due=True)
        async with client.stream(up.space, Call("GET", b"/", ()), 5, turn) as exchange:
            await turn.was_late()
            assert turn.log == ["gone"]
            assert exchange.sent
            answers.set()
            await exchange.head()


async def test_one_that_gets_no_other_turn_was_never_sent() -> None:
    async with client_and_upstream(answering(b"x")) as (client, up):
        turn = Turn(refusal=Overloaded("spent", retry_after_s=3))
        turn.open.set()
        with pytest.raises(Overloaded, match="spent"):
            await client.get(up.space, "/", HEADERS, 5, turn)
        assert turn.log == ["late", "gone"]
        assert (await client.get(up.space, "/", HEADERS, 5)).body == b"x"


async def test_a_turn_that_comes_when_nobody_waits_any_more_is_given_back_unused() -> None:
    seen = []

    async def handler(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.answer()

    async with client_and_upstream(handler) as (client, up):
        turn = Turn()
        with pytest.raises(UpstreamTimeout):
            await client.get(up.space, "/", HEADERS, 0.05, turn)
        assert turn.log == ["late"]
        turn.open.set()
        assert (await client.get(up.space, "/next", HEADERS, 5)).status == 200
        assert turn.log == ["late", "gone"]
        assert [each.target for each in seen] == [b"/next"]


async def test_on_a_shared_connection_nobody_waits_for_one_that_is_late(tmp_path: Path) -> None:
    async def echo(stream: H2Stream) -> None:
        await stream.answer(stream.target)

    tls = TestTls(tmp_path)
    async with upstream(http2(echo, Peer.closed), tls.server) as up:
        client = NexudusClient(open_pools(tls=tls.client), Timeouts(read_s=5), SystemClock())
        try:
            await client.get(up.space, "/first", HEADERS, 5)
            turns = [Turn() for _ in range(3)]
            late = [
                asyncio.create_task(client.get(up.space, f"/late{i}", HEADERS, 5, turn))
                for i, turn in enumerate(turns)
            ]
            for turn in turns:
                await turn.was_late()
            others = [client.get(up.space, f"/{i}", HEADERS, 5) for i in range(5)]
            assert [a.body for a in await asyncio.gather(*others)] == [b"/%d" % i for i in range(5)]
            for turn in reversed(turns):
                turn.open.set()
            bodies = [answer.body for answer in await asyncio.gather(*late)]
            assert bodies == [b"/late0", b"/late1", b"/late2"]
            assert all(turn.log[:2] == ["late", "gone"] for turn in turns)
            assert len(up.peers) == 1
        finally:
            await client.aclose()


async def test_what_a_server_that_goes_has_not_looked_at_waits_for_its_turn_again(
    tmp_path: Path,
) -> None:
    turn, seen = Turn(is_due=True), list[bytes]()

    async def answer(stream: H2Stream) -> None:
        seen.append(stream.target)
        if seen == [b"/first", b"/again"]:
            turn.is_due = False
            await stream.refuse()
        else:
            await stream.answer(stream.target)

    tls = TestTls(tmp_path)
    async with upstream(http2(answer), tls.server) as up:
        client = NexudusClient(open_pools(tls=tls.client), Timeouts(read_s=5), SystemClock())
        try:
            await client.get(up.space, "/first", HEADERS, 5)
            call = asyncio.create_task(client.get(up.space, "/again", HEADERS, 5, turn))
            async with asyncio.timeout(20):
                while "late" not in turn.log and not call.done():  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0.001)
            assert seen == [b"/first", b"/again"]
            turn.open.set()
            assert (await call).body == b"/again"
            assert len(up.peers) == 2
        finally:
            await client.aclose()


async def test_a_transport_that_tells_nothing_of_its_doings_is_taken_to_have_sent_at_its_end() -> (
    None
):
    turn = Turn(is_due=True)
    client = NexudusClient(Reticent(), Timeouts(), SystemClock())
    space = Space("alpha", Origin("http", "alpha.test", 80))
    assert (await client.get(space, "/", HEADERS, 5, turn)).status == 200
    assert set(turn.log) == {"gone"}
    await client.aclose()
