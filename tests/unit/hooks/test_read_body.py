"""A webhook body is read whole, or not at all when it is too large."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from bff.errors import BodyTooLarge, HeaderError, RequestStalled
from bff.hooks import read_body
from bff.hooks import receive as receiving


def arriving(*messages: Message) -> tuple[Receive, list[Message]]:
    """An ASGI receive that hands out `messages`, and those not yet handed out."""
    left = list(messages)

    async def receive() -> Message:
        return left.pop(0)

    return receive, left


def chunk(body: bytes, *, more: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=8), st.integers(0, 100))
async def test_a_body_passes_exactly_when_it_is_within_the_limit(
    chunks: list[bytes], limit: int
) -> None:
    *first, last = chunks
    receive, left = arriving(*(chunk(part, more=True) for part in first), chunk(last, more=False))
    whole = b"".join(chunks)
    if len(whole) > limit:
        with pytest.raises(BodyTooLarge, match=f"passes {limit} bytes"):
            await read_body(receive, limit)
    else:
        assert await read_body(receive, limit) == whole
        assert left == []


async def test_reading_ends_with_the_chunk_that_passes_the_limit() -> None:
    receive, left = arriving(*[chunk(b"x" * 4, more=True)] * 5)
    with pytest.raises(BodyTooLarge):
        await read_body(receive, 6)
    assert len(left) == 3


async def test_a_declared_length_beyond_the_limit_is_refused_unread() -> None:
    receive, left = arriving(chunk(b"x", more=False))
    with pytest.raises(BodyTooLarge):
        await read_body(receive, 6, [(b"Content-Length", b"7")])
    assert len(left) == 1


async def test_a_declared_length_is_not_believed() -> None:
    receive, _ = arriving(chunk(b"x" * 7, more=False))
    with pytest.raises(BodyTooLarge):
        await read_body(receive, 6, [(b"content-length", b"1")])


async def test_a_declared_length_within_the_limit_is_read() -> None:
    receive, _ = arriving(chunk(b"x" * 6, more=False))
    headers = [(b"host", b"bff"), (b"content-length", b"6")]
    assert await read_body(receive, 6, headers) == b"x" * 6


@pytest.mark.parametrize(
    "value", [b"", b"-1", b"+1", b" 1", b"1_0", b"0x1", b"1, 1", b"\xb2", b"9" * 5_000]
)
async def test_pitfall_15_a_malformed_length_is_refused_unread(value: bytes) -> None:
    receive, left = arriving(chunk(b"", more=False))
    with pytest.raises(HeaderError):
        await read_body(receive, 6, [(b"content-length", value)])
    assert len(left) == 1


async def test_pitfall_15_two_lengths_are_refused_unread() -> None:
    receive, left = arriving(chunk(b"", more=False))
    with pytest.raises(HeaderError):
        await read_body(receive, 6, [(b"content-length", b"0"), (b"content-length", b"0")])
    assert len(left) == 1


async def test_a_request_without_a_body_is_empty() -> None:
    receive, _ = arriving({"type": "http.request"})
    assert await read_body(receive) == b""


async def test_a_sender_who_leaves_sends_nothing() -> None:
    receive, _ = arriving(chunk(b"[", more=True), {"type": "http.disconnect"})
    with pytest.raises(ClientDisconnect):
        await read_body(receive)


async def test_the_limit_of_a_webhook_is_one_mebibyte() -> None:
    receive, _ = arriving(chunk(b"x" * 2**20, more=False), chunk(b"x" * (2**20 + 1), more=False))
    assert len(await read_body(receive)) == 2**20
    with pytest.raises(BodyTooLarge):
        await read_body(receive)


async def test_a_body_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many drops it comes in."""
    monkeypatch.setattr(receiving, "BODY_WITHIN_S", 0.02)

    async def dripping() -> Message:
        await asyncio.sleep(0.001)
        return chunk(b"x", more=True)

    with pytest.raises(RequestStalled):
        await read_body(dripping)
