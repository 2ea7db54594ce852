"""Any other call, streamed to Nexudus and back: bodies are never whole in memory, never touched.

Three tasks take part: the exchange (it also pulls the request body), one that passes the response
on, and one that waits for the client to leave.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeVar

from starlette.types import Message, Receive, Scope, Send

from bff.errors import (
    BffError,
    BodyTooLarge,
    TargetError,
    UnusableAnswer,
    UpstreamDown,
    UpstreamError,
)
from bff.nexudus.admission import Attempt, Tries
from bff.nexudus.client import Call, NexudusClient
from bff.nexudus.delivery import Head
from bff.nexudus.exchange import Exchange, settled
from bff.nexudus.headers import Header, content_length, downward, upward
from bff.nexudus.location import relocated
from bff.nexudus.upload import ClientGoneError, ClientStalledError, Upload
from bff.spaces import Space

T = TypeVar("T")

CLIENT_CLOSED: Final = 499
"""The status of a `Forwarded` whose client left before the upstream's status was known."""


class Outcome(Enum):
    """What is known about the request's effect on Nexudus."""

    ANSWERED = "answered"  # the status says it
    UNKNOWN = "unknown"  # sent, at least in part, and no status came: it may have been executed
    NOT_SENT = "not_sent"


@dataclass(frozen=True, slots=True)
class Forwarded:
    """How a forwarded call went. `complete`: the client got the whole response."""

    status: int
    bytes_up: int
    bytes_down: int
    took_s: float
    complete: bool
    outcome: Outcome


class ResponseCutError(BffError):
    """The response broke off after it had started: the server must cut the connection.

    A clean end would make the part that was sent look like the whole.
    """

    def __init__(self, message: str, forwarded: Forwarded) -> None:
        super().__init__(message)
        self.forwarded = forwarded


async def _unchanged(_status: int, headers: list[Header]) -> list[Header]:
    return headers


async def _nothing() -> None:
    return None


@dataclass(frozen=True, slots=True)
class Plan:
    """How to forward one call. Both hooks run to their end even when the call is cancelled.

    `before_start(status, headers)` gets what Nexudus answered and returns the headers to send; the
    client sees nothing before it is done. `on_unknown()` runs instead of it when the request was
    sent and no status came. `idle_s` bounds each wait, for Nexudus and for the client. `finishes`:
    once it is sent, a client that leaves after its whole body does not end the call.
    """

    max_body: int
    idle_s: float
    before_start: Callable[[int, list[Header]], Awaitable[list[Header]]] = _unchanged
    on_unknown: Callable[[], Awaitable[None]] = _nothing
    finishes: bool = False


@dataclass(frozen=True, slots=True)
class Passage:
    """The way to Nexudus for one call. `tries(call)`: when it may go, and whether again.

    That is asked once the call can be made: a body may have taken its time to come.
    """

    client: NexudusClient
    space: Space
    tries: Callable[[Call], Tries]


async def forward(
    scope: Scope, receive: Receive, send: Send, *, passage: Passage, plan: Plan
) -> Forwarded:
    """Passes the call on and its response back; a client that leaves ends it and is no error.

    Before the response starts: raises RequestError (413, 404, 400) or UpstreamError for the caller
    to render. Afterwards: ResponseCutError. Where neither hook ran, nothing was sent to Nexudus.
    """
    upload = Upload(receive, plan.max_body, plan.idle_s)
    relay = _Relay(scope, send, upload, passage, plan)
    work = asyncio.create_task(relay.run())
    gone = asyncio.create_task(upload.client_gone())
    try:
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if plan.finishes and _left(gone) and relay.outcome is not Outcome.NOT_SENT:
                await asyncio.wait({work})
        finally:
            await _ended(work, gone, *upload.pending)
    finally:
        if relay.outcome is Outcome.UNKNOWN:
            await _hooked(plan.on_unknown())
    error = _failure(work) or _failure(gone)
    if error is None or isinstance(error, ClientGoneError):
        return relay.summary()
    if relay.started and isinstance(error, BffError):
        raise ResponseCutError(str(error), relay.summary()) from None
    raise error


def _left(gone: asyncio.Task[None]) -> bool:
    return gone.done() and _failure(gone) is None


def _failure(task: asyncio.Task[None]) -> BaseException | None:
    return None if task.cancelled() else task.exception()


async def _ended(*tasks: asyncio.Task[None] | asyncio.Task[bytes]) -> None:
    for task in tasks:
        task.cancel()
    await settled(asyncio.create_task(asyncio.wait(tasks)))


async def _hooked(hook: Awaitable[T]) -> T:
    async def run() -> T:
        return await hook

    return (await settled(asyncio.create_task(run()))).result()


class _Relay:
    """The course of one call."""

    def __init__(
        self,
        scope: Scope,
        send: Send,
        upload: Upload,
        passage: Passage,
        plan: Plan,
    ) -> None:
        self._scope = scope
        self._send = send
        self._upload = upload
        self._client = passage.client
        self._space = passage.space
        self._tries = passage.tries
        self._plan = plan
        self._began = passage.client.clock.monotonic()
        self._exchange: Exchange | None = None
        self._status = CLIENT_CLOSED
        self._bytes_down = 0
        self._complete = False
        self._answered = False
        self.started = False

    @property
    def outcome(self) -> Outcome:
        if self._answered:
            return Outcome.ANSWERED
        sent = self._exchange is not None and self._exchange.sent
        return Outcome.UNKNOWN if sent else Outcome.NOT_SENT

    def summary(self) -> Forwarded:
        return Forwarded(
            status=self._status,
            bytes_up=self._upload.size,
            bytes_down=self._bytes_down,
            took_s=self._client.clock.monotonic() - self._began,
            complete=self._complete,
            outcome=self.outcome,
        )

    async def run(self) -> None:
        call = await self._call()
        self._upload.read_ahead()
        tries = self._tries(call)
        while (delay_s := await self._attempt(call, tries)) is not None:
            await self._client.clock.sleep(delay_s)
        await self._pass({"body": b"", "more_body": False})
        self._complete = True

    async def _attempt(self, call: Call, tries: Tries) -> float | None:
        """Passes the response on, or returns how long to wait before the call is made again."""
        try:
            async with tries.attempt() as attempt:
                return await self._exchanged(call, attempt, tries)
        except UpstreamError:
            delay_s = None if self._answered or call.body is not None else tries.delay()
            if delay_s is None:
                raise
            return delay_s

    async def _exchanged(self, call: Call, attempt: Attempt, tries: Tries) -> float | None:
        async with self._client.stream(self._space, call, self._plan.idle_s, attempt) as exchange:
            self._exchange = exchange
            try:
                head = await exchange.head()
            except UpstreamDown:
                if call.body is not None and exchange.sent:
                    attempt.excuse()  # servers also break off what they do not want to read
                raise
            await attempt.answered(head.status, head.headers)
            delay_s = None if call.body is not None else tries.delay()
            if delay_s is not None:
                return delay_s
            await self._start(head)
            async for chunk in exchange.chunks():
                await self._pass({"body": chunk, "more_body": True})
                self._bytes_down += len(chunk)
        return None

    async def _call(self) -> Call:
        """The call to make, once enough of the body is there or it is known to be empty."""
        raw = self._scope["headers"]
        declared = content_length(raw)
        if declared is not None and declared > self._plan.max_body:
            raise BodyTooLarge(f"the request body is longer than {self._plan.max_body} bytes")
        headers = upward(raw)
        path, query = self._scope.get("raw_path"), self._scope["query_string"]
        if path is None:
            # What the client wrote cannot be told from the decoded path: `%2F` and `/` are one.
            raise TargetError("the server does not say how the path was written")
        target = path + b"?" + query if query else path
        body: AsyncIterator[bytes] | None = await self._upload.opened()
        return Call(self._scope["method"], target, headers, body, self._upload.arriving)

    async def _start(self, head: Head) -> None:
        if head.status < 200:
            raise UnusableAnswer("Nexudus switched to another protocol")
        headers = relocated(downward(head.headers), self._space.origin)
        self._status = head.status
        self._answered = True
        headers = await _hooked(self._plan.before_start(head.status, headers))
        self.started = True
        await self._pass({"status": head.status, "headers": headers}, "http.response.start")

    async def _pass(self, content: Message, kind: str = "http.response.body") -> None:
        try:
            async with asyncio.timeout(self._plan.idle_s):
                await self._send({"type": kind, **content})
        except TimeoutError:
            raise ClientStalledError("the client stopped reading the response") from None
        except OSError:
            raise ClientGoneError("the client left") from None
