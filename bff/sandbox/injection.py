"""Carries effects out on one request: ASGI in, ASGI out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import assert_never

from starlette.types import ASGIApp, Message, Scope, Send

from bff.clock import Clock
from bff.sandbox.effects import (
    Change,
    Delay,
    Effect,
    Hang,
    Latency,
    NoStore,
    Reply,
    Reset,
    SetCookie,
    SlowBody,
    Truncate,
    canned,
)
from bff.sandbox.holds import Holds, Inbox
from bff.sandbox.latency import sample_s

_SLICES_PER_S = 10


class ConnectionCut(Exception):
    """Raised out of the application on purpose: the server then breaks the connection."""


@dataclass(frozen=True, slots=True)
class Injector:
    """Applies effects. Delays come first, then the first reply or the application, then changes
    to the answer in the rules' order.
    """

    clock: Clock
    rng: Random
    holds: Holds

    async def run(
        self, app: ASGIApp, scope: Scope, inbox: Inbox, send: Send, effects: Sequence[Effect]
    ) -> None:
        """Raises ConnectionCut for a reset, ClientLeft when the client of a held request goes."""
        delays = [effect for effect in effects if isinstance(effect, Delay)]
        replies = [effect for effect in effects if isinstance(effect, Reply)]
        changes = [effect for effect in effects if isinstance(effect, Change)]
        for change in reversed(changes):
            send = self._changed(change, send)
        send = self._delayed([each for each in delays if each.at == "answer"], inbox, send)
        for delay in delays:
            if delay.at == "request":
                await self._wait(delay, inbox)
        if replies:
            await _reply(replies[0], send)
        else:
            await app(scope, inbox, send)

    async def _wait(self, delay: Delay, inbox: Inbox) -> None:
        match delay:
            case Latency():
                await self.clock.sleep(sample_s(delay.distribution, self.rng))
            case Hang():
                await self.holds.hold(inbox)
            case _:
                assert_never(delay)

    def _delayed(self, delays: list[Delay], inbox: Inbox, send: Send) -> Send:
        async def delayed(message: Message) -> None:
            if message["type"] == "http.response.start":
                for delay in delays:
                    await self._wait(delay, inbox)
            await send(message)

        return delayed if delays else send

    def _changed(self, change: Change, send: Send) -> Send:
        match change:
            case Truncate(mode=mode):
                return _truncated(send, keep_length=mode == "length")
            case SetCookie(value=value):
                return _with_header(send, b"set-cookie", value)
            case NoStore(value=value):
                return _with_header(send, b"cache-control", value)
            case Reset(after_bytes=after):
                return _cut(send, after)
            case SlowBody(bytes_per_second=speed):
                return _slowed(send, speed, self.clock)
            case _:
                assert_never(change)


async def _reply(reply: Reply, send: Send) -> None:
    answer = canned(reply)
    headers = list(answer.headers)
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def _with_header(send: Send, name: bytes, value: str) -> Send:
    async def changed(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (name, value.encode("latin-1"))]}
        await send(message)

    return changed


def _truncated(send: Send, *, keep_length: bool) -> Send:
    start: Message = {}
    body = bytearray()

    async def changed(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start":
            start = message
            return
        body.extend(message.get("body", b""))
        if message.get("more_body", False):
            return
        half = bytes(body[: len(body) // 2])
        await send(start if keep_length else _with_length(start, len(half)))
        # In one piece the server would keep the connection open and wait for the rest; an end
        # of its own makes it see that the body is over and close.
        await send({"type": "http.response.body", "body": half, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return changed


def _with_length(start: Message, length: int) -> Message:
    others = [header for header in start["headers"] if header[0] != b"content-length"]
    return {**start, "headers": [*others, (b"content-length", str(length).encode())]}


def _cut(send: Send, after_bytes: int | None) -> Send:
    sent = 0
    held_back = b""

    async def changed(message: Message) -> None:
        nonlocal sent, held_back
        if message["type"] == "http.response.start":
            await send(message)
            return
        body = held_back + message.get("body", b"")
        wanted = len(body) // 2 if after_bytes is None else after_bytes - sent
        # The last byte stays here, so that no answer is whole by the time it breaks.
        part = body[: max(0, min(wanted, len(body) - 1))]
        held_back = body[len(part) :]
        sent += len(part)
        if part:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        if not message.get("more_body", False) or len(part) == wanted:
            raise ConnectionCut

    return changed


def _slowed(send: Send, bytes_per_second: int, clock: Clock) -> Send:
    size = max(1, bytes_per_second // _SLICES_PER_S)

    async def changed(message: Message) -> None:
        body: bytes = message.get("body", b"")
        for at in range(0, len(body), size):
            piece = body[at : at + size]
            await clock.sleep(len(piece) / bytes_per_second)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        if message["type"] == "http.response.start":
            await send(message)
        elif not message.get("more_body", False):
            await send({"type": "http.response.body", "body": b""})

    return changed
