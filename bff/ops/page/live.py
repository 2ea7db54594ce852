"""The operators' page and what keeps it up to date. Absent when no operator token is set."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, fields, replace
from typing import Final, Protocol

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from bff.clock import Clock
from bff.errors import Overloaded, ParameterError
from bff.ops.access.operators import Handler
from bff.ops.figures import Snapshot
from bff.ops.page.charts import charts

TICK_S: Final = 2.0
"""Between two pictures; the fleet's processes report as often."""
LOOK_S: Final = 0.5
"""Within which a stream notices that the server is about to end."""
HEARTBEAT_S: Final = 10.0
"""After which a stream says that it is alive while its next picture takes its time."""
MOST_VIEWERS: Final = 32
MOST_EVENTS: Final = 100
MOST_PROBLEMS: Final = 50
"""Of those, the newest are in a stream: an outage must not make it heavy for a phone."""
IS_STOPPING: Final = "bff.is_stopping"
"""In the ASGI `state` of a request: whether the server is about to stop, by then or later."""

_EVENTS: Final = "text/event-stream"
_HEARTBEAT: Final = b": alive\n\n"
_RETRY_AFTER_S: Final = 15


class Guard(Protocol):
    """Who may ask; `bff.ops.access.operators` knows them."""

    def guarded(self, route: str, handler: Handler) -> Handler:
        """The handler for those who present an operator token with the right to read."""
        ...


class Snapshots(Protocol):
    """The figures of the fleet."""

    async def of(self, space: str) -> Snapshot:
        """As of now, of one space, or of all with an empty name."""
        ...


@dataclass(frozen=True, slots=True)
class _Frame:
    tick: int
    body: bytes


class Live:
    """Figures as JSON, once or as a stream of events (HTML living standard, 9.2).

    An event `snapshot` carries a Snapshot with one more member: `charts`, SVG documents by name.
    It is made once a tick for all who look at the same space.
    """

    def __init__(self, snapshots: Snapshots, spaces: Collection[str], clock: Clock) -> None:
        self.viewers = 0
        self._snapshots = snapshots
        self._spaces = spaces
        self._clock = clock
        self._frames: dict[str, _Frame] = {}
        self._making: dict[str, asyncio.Lock] = {}

    def routes(self, guard: Guard) -> list[Route]:
        """To be put before everything that belongs to a space."""
        handlers = {"/ops/api/snapshot": self.snapshot, "/ops/api/live": self.stream}
        return [
            Route(path, guard.guarded(path, handler), methods=["GET"])
            for path, handler in handlers.items()
        ]

    async def snapshot(self, request: Request) -> Response:
        """One Snapshot. Raises ParameterError for a space that is not served."""
        found = await self._snapshots.of(self._space(request))
        return Response(orjson.dumps(found), media_type="application/json")

    async def stream(self, request: Request) -> Response:
        """Snapshots until the viewer leaves or the server stops. Raises ParameterError, Overloaded
        where there are too many viewers."""
        space = self._space(request)
        if request.method == "HEAD":
            return Response(media_type=_EVENTS)
        if self.viewers >= MOST_VIEWERS:
            raise Overloaded(
                f"{MOST_VIEWERS} viewers watch this process already: close a page that nobody "
                "looks at, or read /ops/api/snapshot.",
                retry_after_s=_RETRY_AFTER_S,
            )
        stopping: object = request.scope.get("state", {}).get(IS_STOPPING)
        return _Stream(self, self._events(space, stopping if callable(stopping) else _never))

    def _space(self, request: Request) -> str:
        space = request.query_params.get("space", "")
        if space and space not in self._spaces:
            raise ParameterError(f"`space` must be one of: {', '.join(sorted(self._spaces))}.")
        return space

    async def _events(self, space: str, stopping: Callable[[], bool]) -> AsyncIterator[bytes]:
        yield b"retry: 2000\n\n"
        while not stopping():
            making = asyncio.ensure_future(self._frame(space))
            try:
                while not (await asyncio.wait({making}, timeout=HEARTBEAT_S))[0]:
                    yield _HEARTBEAT
                yield making.result().body
            finally:
                making.cancel()
            await self._until_next_tick(stopping)

    async def _frame(self, space: str) -> _Frame:
        """This tick's; made by whoever asks first, the others wait for it."""
        async with self._making.setdefault(space, asyncio.Lock()):
            tick = self._tick()
            frame = self._frames.get(space)
            if frame is None or frame.tick != tick:
                made = event(await self._snapshots.of(space))
                frame = self._frames[space] = _Frame(tick, made)
            return frame

    def _tick(self) -> int:
        return int(self._clock.monotonic() // TICK_S)

    async def _until_next_tick(self, stopping: Callable[[], bool]) -> None:
        next_s = (self._tick() + 1) * TICK_S
        while not stopping() and (left_s := next_s - self._clock.monotonic()) > 0:
            await self._clock.sleep(min(LOOK_S, left_s))


class _Stream(StreamingResponse):
    """A stream that counts as a viewer for as long as it is sent."""

    def __init__(self, live: Live, events: AsyncIterator[bytes]) -> None:
        super().__init__(events, media_type=_EVENTS)
        # nginx and the like would hand it on in heaps.
        self.headers["x-accel-buffering"] = "no"
        self._live = live

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._live.viewers += 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._live.viewers -= 1


def event(snapshot: Snapshot) -> bytes:
    """One event `snapshot`, its JSON on one line."""
    told = replace(
        snapshot,
        events=snapshot.events[:MOST_EVENTS],
        problems=snapshot.problems[:MOST_PROBLEMS],
    )
    members = {each.name: getattr(told, each.name) for each in fields(told)}
    data = orjson.dumps({**members, "charts": dict(charts(snapshot))})
    return b"event: snapshot\ndata: " + data + b"\n\n"


def _never() -> bool:
    return False
