"""How long an operator's request body is waited for."""

from __future__ import annotations

import asyncio

import pytest
from starlette.requests import Request
from starlette.types import Message

from bff.errors import RequestStalled
from bff.ops import admin


async def test_a_body_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many drops it comes in."""
    monkeypatch.setattr(admin, "BODY_WITHIN_S", 0.02)

    async def dripping() -> Message:
        await asyncio.sleep(0.001)
        return {"type": "http.request", "body": b" ", "more_body": True}

    with pytest.raises(RequestStalled):
        await admin._json_body(Request({"type": "http", "headers": []}, dripping))
