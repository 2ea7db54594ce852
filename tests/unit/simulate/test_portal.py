"""The apps repeat, reload and give up as they are said to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

import pytest

from tests.simulate.calling import Reply
from tests.simulate.portal import (
    PAGES,
    RELOAD_S,
    RETRIES,
    Begun,
    Failed,
    Repeating,
    Seat,
    Visitor,
    play_all,
)
from tests.simulate.tally import NEVER, Tally, percentile
from tests.simulate.trace import Card, Device, Visit
from tests.simulate.virtual_time import VirtualClock, play

OK = Reply(200, [], b"{}")


def refused(retry_after_s: int) -> Reply:
    return Reply(503, [(b"retry-after", str(retry_after_s).encode())], b"")


@pytest.mark.parametrize(
    ("replies", "status", "took_s"),
    [
        ([OK], 200, 0),
        ([Reply(404, [], b"")], 404, 0),
        ([Reply(401, [], b"")], 401, 0),
        ([Reply(409, [], b""), Reply(409, [], b""), OK], 200, 1 + 2),
        ([Reply(409, [], b"")] * (RETRIES + 1), 409, 1 + 2 + 4),
        ([refused(7), refused(1), OK], 200, 7 + 2),
    ],
)
def test_a_request_is_repeated_after_a_growing_while_or_when_told_to(
    replies: list[Reply], status: int, took_s: float
) -> None:
    clock, tally, left = VirtualClock(0), Tally(), list(replies)

    async def send() -> Reply:
        return left.pop(0)

    async def main() -> tuple[int, float]:
        reply = await Repeating(clock, tally).reply(send)
        return reply.status, clock.monotonic()

    assert play(main()) == (status, took_s)
    assert not left
    assert tally.statuses.total() == len(replies)


class _Way:
    """Sessions begin as told; every other request succeeds at once."""

    def __init__(self, begins: Callable[[int], bool]) -> None:
        self._begins = begins
        self.pages = 0
        self.asked_at: list[float] = []

    async def session(self, seat: Seat) -> Begun | Failed:
        await asyncio.sleep(1)
        self.pages += 1
        return Begun(complete=True) if self._begins(self.pages) else Failed()

    async def get(self, seat: Seat, target: str) -> Reply:
        self.asked_at.append(asyncio.get_running_loop().time())
        return OK

    async def put(self, seat: Seat, target: str) -> Reply:
        return OK


def visited(way: _Way, visits: tuple[Visit, ...]) -> Tally:
    clock, tally = VirtualClock(0), Tally()
    device = Device(1, 0, 2, visits)
    seat = Seat("token", 2, Random(1))
    play(play_all(Visitor(way, clock, tally, opens_s=100), [(device, seat)]))
    return tally


def test_cards_follow_the_session_and_a_switch_begins_another_one() -> None:
    way = _Way(lambda _: True)
    tally = visited(way, (Visit(0, (Card(5, 7), Card(9, 8)), switch_to=3),))
    assert way.asked_at == [106, 110]  # a second after 100 the session stands
    assert (tally.cards, tally.switches, way.pages) == (2, 1, 2)
    assert tally.worth == 2 + 2 + 1 + 2
    assert tally.first_waits_s == [1]


def test_who_sees_errors_only_gives_up_and_opens_nothing() -> None:
    way = _Way(lambda _: False)
    tally = visited(way, (Visit(0, (Card(5, 7),)),))
    assert (way.pages, tally.error_pages, way.asked_at) == (PAGES, PAGES, [])
    assert tally.given_up == 1
    assert percentile(tally.first_waits_s, 50) == NEVER
    assert (tally.waiting.now, tally.waiting.peak) == (0, 1)


def test_a_reloaded_page_counts_from_the_first_attempt() -> None:
    tally = visited(_Way(lambda page: page == 2), (Visit(0, ()),))
    (waited_s,) = tally.first_waits_s
    assert RELOAD_S[0] + 2 <= waited_s <= RELOAD_S[1] + 2
