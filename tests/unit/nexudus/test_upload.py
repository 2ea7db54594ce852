"""How long a request body is waited for."""

from __future__ import annotations

import asyncio

import pytest

from bff.errors import RequestStalled
from bff.nexudus import upload
from bff.nexudus.upload import Upload
from tests.support.asgi_call import AsgiCall


async def whole(body: Upload) -> bytes:
    opened = await body.opened()
    assert opened is not None
    return b"".join([part async for part in opened])


@pytest.mark.parametrize("parts", [[], [b"part"]])
async def test_a_sender_that_stands_still_is_given_up(parts: list[bytes]) -> None:
    call = AsgiCall("POST", parts=parts, open_end=True)
    with pytest.raises(RequestStalled, match="stood still"):
        await whole(Upload(call.receive, 1000, idle_s=0.02))


async def test_a_sender_of_drops_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each comes in time, and all of them are far too slow."""
    monkeypatch.setattr(upload, "GRACE_S", 0.05)
    monkeypatch.setattr(upload, "MIN_RATE", 100_000)
    call = AsgiCall("POST", open_end=True)

    async def dripping() -> None:
        while True:
            call.feed(b"x")
            await asyncio.sleep(0.001)

    drops = asyncio.create_task(dripping())
    with pytest.raises(RequestStalled):
        await whole(Upload(call.receive, 100_000, idle_s=10))
    drops.cancel()


async def test_what_was_there_before_the_call_earns_no_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upload, "GRACE_S", 0.02)
    monkeypatch.setattr(upload, "MIN_RATE", upload.AHEAD / 100)
    call = AsgiCall("POST", parts=[bytes(upload.AHEAD)], open_end=True)
    async with asyncio.timeout(5):
        with pytest.raises(RequestStalled):
            await whole(Upload(call.receive, 2 * upload.AHEAD, idle_s=100))


async def test_a_slow_reader_is_not_the_senders_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "GRACE_S", 0.02)
    call = AsgiCall("POST", parts=[b"x" * upload.AHEAD] * 4)
    body = Upload(call.receive, 10 * upload.AHEAD, idle_s=1.0)
    opened = await body.opened()
    assert opened is not None
    async for _ in opened:
        await asyncio.sleep(0.02)
    assert body.size == 4 * upload.AHEAD


async def test_a_large_body_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """At MIN_RATE and no slower."""
    monkeypatch.setattr(upload, "GRACE_S", 0.02)
    monkeypatch.setattr(upload, "MIN_RATE", 100)
    call = AsgiCall("POST", open_end=True)

    async def trickling() -> None:
        for _ in range(5):
            call.feed(b"x" * 1000)
            await asyncio.sleep(0.02)
        call.finish()

    sender = asyncio.create_task(trickling())
    assert len(await whole(Upload(call.receive, 10_000, idle_s=10))) == 5000
    await sender
