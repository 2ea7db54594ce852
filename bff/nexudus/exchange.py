"""One request and its response, in a task that is never cancelled from outside.

A connection of httpcore that is being closed stays open for good if the task that does so is
cancelled. So the exchange has a task of its own, which it cancels itself, once and never while it
closes, whatever happens to the task that waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from typing import Final, Protocol, TypeVar, cast

import httpcore

from bff.errors import BffError, Overloaded, RequestStalled, UpstreamDown, UpstreamTimeout
from bff.nexudus.delivery import End, Event, Head, Parcel, Pieces
from bff.nexudus.errors_map import translated
from bff.nexudus.places import Place

T = TypeVar("T")

_DRAIN_S: Final = 10.0
_DRAIN_BYTES: Final = 2**20
_CUT_S: Final = 1.0


class Transport(Protocol):
    """What makes requests, as httpcore's pools do, and fails as they do."""

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """The response's head; its `stream` is the body, and is to be closed."""
        ...

    async def aclose(self) -> None:
        """Closes every connection."""
        ...


class Departure(Protocol):
    """When a request may be sent: a connection that was slow to make may have cost it its turn."""

    @property
    def is_due(self) -> bool:
        """Whether it may go now."""
        ...

    async def renewed(self) -> None:
        """Returns once it may; raises UpstreamError."""
        ...

    def gone(self) -> None:
        """Its first byte has gone, or never will. May be repeated."""
        ...


class Anytime:
    """A Departure of what nobody counts."""

    is_due = True

    async def renewed(self) -> None:
        """At once."""

    def gone(self) -> None:
        """Nobody asks."""


def _nothing() -> None:
    return None


class _TurnMissedError(Exception):
    """Nothing has been sent, and the connection is there."""


async def settled(task: asyncio.Task[T]) -> asyncio.Task[T]:
    """`task` once it is done, waited for even when the caller is cancelled meanwhile.

    The cancellation is raised afterwards, so `task` must bound itself.
    """
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return task


class Exchange:
    """Begins `request` on `transport`, for one reader: `head` and `chunks`, and always `release`.

    `most`: that reader wants the answer `whole`, if it has no more bytes than this. `place` is
    taken first; an exchange that does not get it within the request's pool timeout is Overloaded,
    and one that loses it later RequestStalled.
    """

    def __init__(
        self,
        transport: Transport,
        request: httpcore.Request,
        place: Place,
        departure: Departure,
        most: int | None = None,
    ) -> None:
        self._departure = departure
        self._delivery = Pieces(place) if most is None else Parcel(most)
        self._transport = transport
        self._request = request
        self._place = place
        self._network: httpcore.AsyncNetworkStream | None = None
        self._admitted = False
        self._http2 = False
        self._discarding = False
        self._discarded = 0
        self._sent = False
        self._lost = False
        self._closing = False
        self._stopped = False
        place.on_lost = self._lose
        request.extensions["trace"] = self._trace
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(self._ended)

    @property
    def sent(self) -> bool:
        """Whether a byte of the request may have reached Nexudus."""
        return self._sent

    @property
    def task(self) -> asyncio.Task[None]:
        """Ends when the connection is closed or back in the pool; never fails."""
        return self._task

    async def head(self) -> Head:
        """The response's head, once it is there. Raises UpstreamError, or the body's BffError."""
        assert isinstance(self._delivery, Pieces)
        event = await self._delivery.next()
        assert isinstance(event, Head)
        return event

    async def chunks(self) -> AsyncIterator[bytes]:
        """The response's body as it came, still encoded. UpstreamError if it is not whole."""
        assert isinstance(self._delivery, Pieces)
        while not isinstance(event := await self._delivery.next(), End):
            assert isinstance(event, bytes)
            yield event

    async def whole(self, within_s: float) -> tuple[Head, bytes]:
        """Head and encoded body, once all is there. UpstreamError, also if it is late or long."""
        assert isinstance(self._delivery, Parcel)
        late = UpstreamTimeout("Nexudus did not answer within the deadline")
        alarm = asyncio.get_running_loop().call_later(within_s, self._delivery.end_with, late)
        try:
            return await self._delivery.opened()
        finally:
            alarm.cancel()

    async def release(self) -> None:
        """Ends the exchange: its connection is closed, unless the response has been read.

        Where httpcore cannot do that cleanly, the exchange goes on, unread: see `drained`. It does
        not reset an HTTP/2 stream, nor give back its share of the connection's flow-control window;
        and a connection that is being made would leak. When it is made, nothing is sent on it.
        """
        if self._task.done():
            return
        if self._http2 or (self._admitted and not self._sent):
            self._discard()
            return
        self._stop()
        await settled(self._task)

    async def drained(self) -> None:
        """After `release`, in the background: the exchange's end, by force if it takes too long."""
        try:
            await asyncio.wait({self._task}, timeout=_DRAIN_S)
            if not self._task.done():
                await self._cut()
                await asyncio.wait({self._task}, timeout=_CUT_S)
        finally:
            self._stop()
            await settled(self._task)

    async def _cut(self) -> None:
        """Closes a shared connection so that httpcore meets the failure in a read and retires it.

        Cancelling the read would leave the connection in the pool, with its window used up.
        """
        if self._network is not None:
            await self._network.aclose()

    async def _put(self, event: Event) -> None:
        if not self._discarding:
            await self._delivery.put(event)
        elif isinstance(event, bytes):
            self._discarded += len(event)
            if self._discarded > _DRAIN_BYTES:
                await self._cut()

    def _discard(self) -> None:
        self._discarding = True
        self._delivery.discard()

    async def _run(self) -> None:
        outcome: Event = End.END
        try:
            await self._admit()
            try:
                await self._transfer()
            finally:
                self._departure.gone()
                self._place.give_back()
        except BffError as error:
            outcome = error
        except Exception as error:
            outcome = translated(error)
        await self._put(outcome)

    def _stop(self) -> None:
        """Whatever it waits for, it does so no more; what it closes it closes, though unread."""
        if not (self._closing or self._stopped):
            self._stopped = True
            self._task.cancel()
        # It is not cancelled again: nothing that comes of that may wait for the reader.
        self._discard()

    def _lose(self) -> None:
        # Only streams stand, once they are sent: HTTP/1.1 bears to be cancelled then.
        if not self._closing:
            self._lost = True
            self._stop()

    async def _admit(self) -> None:
        try:
            await self._place.take(self._request.extensions["timeout"]["pool"])
        except TimeoutError:
            raise Overloaded("every connection to Nexudus is busy", retry_after_s=1) from None
        self._admitted = True

    async def _transfer(self) -> None:
        response = await self._handed_over()
        self._sent = True
        self._departure.gone()
        network = response.extensions.get("network_stream")
        if isinstance(network, httpcore.AsyncNetworkStream):
            self._network = network
        try:
            await self._put(Head(response.status, tuple(response.headers)))
            async for chunk in cast(AsyncIterable[bytes], response.stream):
                await self._put(chunk)
        finally:
            self._closing = True
            await response.aclose()

    async def _handed_over(self) -> httpcore.Response:
        while True:
            try:
                return await self._transport.handle_async_request(self._request)
            except _TurnMissedError:
                await self._departure.renewed()

    async def _trace(self, event: str, _info: Mapping[str, object]) -> None:
        if event.endswith(".send_request_headers.started"):
            http2 = event.startswith("http2.")
            if not self._departure.is_due and not self._discarding:
                if http2:
                    # The stream has its number: whoever overtakes it now would have the same.
                    raise _TurnMissedError
                await self._departure.renewed()
            if self._discarding:
                raise UpstreamDown("nobody waits for the answer any more")
            self._sent = True
            self._http2 = http2
            if not http2:
                # No more is of interest: not to be told of it saves a few awaits. Over HTTP/2 it
                # goes out again if a server that leaves did not look at it (RFC 9113, 6.8).
                del self._request.extensions["trace"]
        elif event.endswith(".send_request_headers.complete"):
            self._departure.gone()

    def _ended(self, task: asyncio.Task[None]) -> None:
        # Both hold it, and it them: nobody else does now, and the garbage collector has less to do.
        self._place.on_lost = _nothing
        self._request.extensions.pop("trace", None)
        # Somebody else's cancellation, such as the end of the loop: the reader must not hang.
        if task.cancelled() or self._lost:
            self._delivery.end_with(
                RequestStalled("The client stood still while others waited for its connection.")
                if self._lost
                else UpstreamDown("the call was cancelled")
            )
