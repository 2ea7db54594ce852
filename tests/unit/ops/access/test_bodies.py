"""What operators post: how long it is waited for, how large it may be, what it may hold."""

from __future__ import annotations

import asyncio

import pytest
from starlette.requests import Request
from starlette.types import Message

from bff.errors import BodyTooLarge, ParameterError, RequestStalled
from bff.ops.access import bodies
from bff.spaces import Space, SpaceTable

ONE = SpaceTable.single(Space.parse("acme"))
TWO = SpaceTable.parse([("members.acme.example", "acme"), ("app.beta.example", "beta")])


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


def test_only_where_one_space_is_served_need_it_not_be_named() -> None:
    assert bodies.named_space({}, ONE) == bodies.named_space({"space": "acme"}, ONE) == "acme"
    assert bodies.named_space({"space": "beta"}, TWO) == "beta"
    with pytest.raises(ParameterError):
        bodies.named_space({}, TWO)


@pytest.mark.parametrize("table", [ONE, TWO], ids=["one", "two"])
@pytest.mark.parametrize("name", ["gamma", "", 7, ["acme"], "ACME "])
def test_pitfall_4_a_space_that_is_not_served_is_not_taken_for_another(
    table: SpaceTable, name: object
) -> None:
    with pytest.raises(ParameterError):
        bodies.named_space({"space": name}, table)
