"""What operators post: how long it is waited for, how large it may be, what it may hold."""

from __future__ import annotations

import asyncio

import pytest
from starlette.requests import Request
from starlette.types import Message

from bff.errors import BodyTooLarge, ParameterError, RequestStalled
from bff.ops.access import bodies


def sent(body: bytes) -> Request:
    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    return Request({"type": "http", "headers": []}, receive)


async def test_a_body_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many drops it comes in."""
    monkeypatch.setattr(bodies, "BODY_WITHIN_S", 0.02)

    async def dripping() -> Message:
        await asyncio.sleep(0.001)
        return {"type": "http.request", "body": b" ", "more_body": True}

    with pytest.raises(RequestStalled):
        await bodies.json_object(Request({"type": "http", "headers": []}, dripping))


async def test_an_object_within_bounds_is_read() -> None:
    assert await bodies.json_object(sent(b'{"user":7}')) == {"user": 7}
    with pytest.raises(BodyTooLarge):
        await bodies.json_object(sent(b" " * (bodies.MAX_BODY + 1)))
    assert await bodies.json_object(sent(b"{}" + b" " * 5_000), bodies.MAX_QUESTION) == {}
    for other in (b"", b"[]", b"nonsense", b"[" * 4_000):
        with pytest.raises(ParameterError):
            await bodies.json_object(sent(other))
