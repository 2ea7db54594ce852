"""From the task that reads an answer to whoever asked."""

from __future__ import annotations

import asyncio
import contextlib
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.errors import UnusableAnswer, UpstreamDown, UpstreamError
from bff.nexudus.delivery import AHEAD, TURN, End, Head, Parcel, Pieces
from bff.nexudus.places import Party, Places
from tests.support.fake_clock import FakeClock

HEAD = Head(200, ((b"a", b"b"),))


def pieces() -> Pieces:
    return Pieces(Places(1, FakeClock(), shared=False).place(Party("acme")))


async def waiting(delivery: Parcel) -> asyncio.Task[tuple[Head, bytes]]:
    """A reader, who waits for it by now."""
    reader = asyncio.create_task(delivery.opened())
    await asyncio.sleep(0)
    return reader


@given(st.lists(st.binary(max_size=4), max_size=5), st.integers(0, 12))
def test_a_parcel_is_the_whole_answer_or_too_long(chunks: list[bytes], most: int) -> None:
    async def delivered() -> tuple[Head, bytes]:
        parcel = Parcel(most)
        reader = await waiting(parcel)
        await parcel.put(HEAD)
        for chunk in chunks:
            await parcel.put(chunk)
        await parcel.put(End.END)
        return await reader

    body = b"".join(chunks)
    if len(body) <= most:
        assert asyncio.run(delivered()) == (HEAD, body)
    else:
        with pytest.raises(UnusableAnswer):
            asyncio.run(delivered())


async def test_who_waits_for_a_parcel_is_woken_at_its_end_or_when_it_is_too_long() -> None:
    parcel = Parcel(2)
    reader = await waiting(parcel)
    for event in (HEAD, b"ab"):
        await parcel.put(event)
        await asyncio.sleep(0)
        assert not reader.done()
    await parcel.put(b"c")
    with pytest.raises(UnusableAnswer):
        await reader
    await parcel.put(b"d" * 2**20)
    await parcel.put(UpstreamDown("it broke off then"))
    with pytest.raises(UnusableAnswer):
        await parcel.opened()


@pytest.mark.parametrize("put", [True, False])
async def test_a_parcel_that_fails_is_no_answer_whatever_was_put(put: bool) -> None:
    parcel = Parcel(9)
    await parcel.put(HEAD)
    await parcel.put(b"ab")
    error = UpstreamDown("it broke off")
    if put:
        await parcel.put(error)
    else:
        parcel.end_with(error)
    with pytest.raises(UpstreamError, match="broke off"):
        await parcel.opened()


async def test_a_reader_that_left_disturbs_nobody_who_goes_on() -> None:
    parcel = Parcel(9)
    reader = await waiting(parcel)
    reader.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await reader
    parcel.discard()
    await parcel.put(HEAD)
    await parcel.put(End.END)
    parcel.end_with(UpstreamDown("nobody hears it"))


async def test_what_nobody_reads_any_more_takes_no_room() -> None:
    parcel = Parcel(9)
    for event in (HEAD, b"abc"):
        await parcel.put(event)
    parcel.discard()
    await parcel.put(End.END)
    assert await parcel.opened() == (HEAD, b"")


async def test_a_failure_holds_nothing_of_what_came_before_or_after_it() -> None:
    parcel, large = Parcel(2**21), b"x" * 2**20
    tracemalloc.start()
    try:
        await parcel.put(large)
        parcel.end_with(UpstreamDown("it broke off"))
        await parcel.put(large)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < len(large)
    with pytest.raises(UpstreamDown):
        await parcel.opened()


@pytest.mark.parametrize("most", [10 * TURN, 1])
async def test_an_answer_in_many_pieces_keeps_nobody_else_waiting_for_its_end(most: int) -> None:
    parcel, turns = Parcel(most), 0

    async def another() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(another())
    for _ in range(10 * TURN):
        await parcel.put(b"x")
    beside.cancel()
    assert turns == 10


async def test_pieces_wait_for_their_reader_and_give_way_to_an_error() -> None:
    delivery = pieces()
    await delivery.put(HEAD)
    for _ in range(AHEAD - 1):
        await delivery.put(b"x")
    writer = asyncio.create_task(delivery.put(b"y"))
    await asyncio.sleep(0)
    assert not writer.done()
    assert await delivery.next() == HEAD
    await writer
    delivery.end_with(UpstreamDown("it broke off"))
    with pytest.raises(UpstreamError, match="broke off"):
        await delivery.next()
