"""Figures as a stream: one picture a tick for all viewers, few viewers, and an end to each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import orjson
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware

from bff.edge import exchange as exchanges
from bff.edge.middleware import ProblemMiddleware
from bff.ops.access.operators import Handler
from bff.ops.figures import Snapshot
from bff.ops.page import live as lives
from bff.ops.page.charts import charts
from bff.ops.page.live import (
    HEARTBEAT_S,
    IS_STOPPING,
    MOST_EVENTS,
    MOST_PROBLEMS,
    MOST_VIEWERS,
    TICK_S,
    Live,
    event,
)
from tests.support.asgi_call import AsgiCall
from tests.support.gateway import until
from tests.support.manual_time import ManualTime, settled
from tests.support.ops_figures import SPACES, healthy, hostile

LIVE = b"/ops/api/live"


class Doorman:
    """Lets everybody in and remembers at which doors it stood."""

    def __init__(self) -> None:
        self.doors: list[str] = []

    def guarded(self, route: str, handler: Handler) -> Handler:
        self.doors.append(route)
        return handler


class Counting:
    """Snapshots that are counted; while `free` is cleared, they take their time."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.free = asyncio.Event()
        self.free.set()

    async def of(self, space: str) -> Snapshot:
        self.asked.append(space)
        await self.free.wait()
        return healthy(1_800_000_000.0 + len(self.asked))


class Stage:
    """The routes without their server."""

    def __init__(self) -> None:
        self.time = ManualTime(1_000.0)
        self.snapshots = Counting()
        self.live = Live(self.snapshots, SPACES, self.time)
        self.doorman = Doorman()
        self._app = Starlette(
            routes=self.live.routes(self.doorman), middleware=[Middleware(ProblemMiddleware)]
        )
        self.stopping = False

    def call(self, path: bytes = LIVE, query: bytes = b"", method: str = "GET") -> AsgiCall:
        call = AsgiCall(method, path, query, open_end=True)
        call.scope["state"] = {IS_STOPPING: lambda: self.stopping}
        return call

    async def answered(self, call: AsgiCall) -> AsgiCall:
        exchanges.begin(call.scope, call.scope["headers"], 0.0)
        await self._app(call.scope, call.receive, call.send)
        return call

    @asynccontextmanager
    async def viewing(self, number: int = 1, query: bytes = b"") -> AsyncIterator[list[AsgiCall]]:
        """So many viewers, who leave at the end."""
        calls = [self.call(query=query) for _ in range(number)]
        tasks = [asyncio.create_task(self.answered(call)) for call in calls]
        await settled(100)
        try:
            yield calls
        finally:
            for call in calls:
                call.disconnect()
            async with asyncio.timeout(5):
                await asyncio.gather(*tasks)


@pytest.fixture
async def stage() -> Stage:
    return Stage()


def pictures(call: AsgiCall) -> list[dict[str, object]]:
    """What arrived as events `snapshot`."""
    events = call.body.decode().split("\n\n")
    return [orjson.loads(e.split("data: ")[1]) for e in events if e.startswith("event: snapshot\n")]


async def beating(call: AsgiCall) -> bool:
    return call.body.count(b": alive\n\n") >= 2


async def test_the_first_picture_comes_at_once_and_then_one_a_tick(stage: Stage) -> None:
    async with stage.viewing() as [call]:
        assert call.status == 200
        headers = dict(call.headers)
        assert headers[b"content-type"].startswith(b"text/event-stream")
        assert headers[b"x-accel-buffering"] == b"no"
        assert len(pictures(call)) == 1
        await stage.time.advance(TICK_S / 2)
        assert len(pictures(call)) == 1
        for _ in range(4):
            await stage.time.advance(TICK_S / 4)
        assert len(pictures(call)) == 2


async def test_a_picture_is_the_snapshot_and_its_charts(stage: Stage) -> None:
    async with stage.viewing() as [call]:
        [told] = pictures(call)
    snapshot = healthy(1_800_000_001.0)
    assert told.pop("charts") == charts(snapshot)
    assert told == orjson.loads(orjson.dumps(snapshot))


async def test_all_who_look_at_a_space_share_one_reading_a_tick(stage: Stage) -> None:
    async with stage.viewing(5) as everybody, stage.viewing(3, b"space=beta") as some:
        assert sorted(stage.snapshots.asked) == ["", "beta"]
        for _ in range(4):
            await stage.time.advance(TICK_S / 4)
        assert sorted(stage.snapshots.asked) == ["", "", "beta", "beta"]
        assert {call.body for call in everybody} == {everybody[0].body}
        assert all(len(pictures(call)) == 2 for call in [*everybody, *some])


async def test_a_viewer_who_leaves_in_the_middle_takes_nothing_from_the_others(
    stage: Stage,
) -> None:
    stage.snapshots.free.clear()
    async with stage.viewing() as [staying]:
        async with stage.viewing(2):
            assert len(stage.snapshots.asked) == 1
        stage.snapshots.free.set()
        await settled(100)
        assert len(pictures(staying)) == 1
    async with stage.viewing() as [late]:
        assert len(pictures(late)) == 1


async def test_there_is_room_for_so_many_viewers_and_for_the_next_when_one_left(
    stage: Stage,
) -> None:
    async with stage.viewing(MOST_VIEWERS - 1):
        async with stage.viewing():
            assert stage.live.viewers == MOST_VIEWERS
            refused = await stage.answered(stage.call())
            assert refused.status == 503
            assert int(dict(refused.headers)[b"retry-after"]) > 0
            assert "32 viewers" in orjson.loads(refused.body)["detail"]
            single = await stage.answered(stage.call(b"/ops/api/snapshot"))
            assert single.status == 200
        async with stage.viewing() as [call]:
            assert call.status == 200
    assert stage.live.viewers == 0


async def test_streams_end_by_themselves_once_the_server_stops(stage: Stage) -> None:
    call = stage.call()
    task = asyncio.create_task(stage.answered(call))
    await settled(100)
    stage.stopping = True
    await stage.time.advance(lives.LOOK_S)
    async with asyncio.timeout(5):
        await task
    assert call.ended
    assert stage.live.viewers == 0


async def test_a_stream_says_that_it_lives_while_figures_take_their_time(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert HEARTBEAT_S < 15, "the page takes a stream that says nothing for 15 s for broken"
    monkeypatch.setattr(lives, "HEARTBEAT_S", 0.01)
    stage.snapshots.free.clear()
    async with stage.viewing() as [call]:
        await until(partial(beating, call))
        stage.snapshots.free.set()
        await settled(100)
        assert len(pictures(call)) == 1


@pytest.mark.parametrize("path", [LIVE, b"/ops/api/snapshot"])
async def test_a_space_that_is_not_served_is_refused_by_name(stage: Stage, path: bytes) -> None:
    call = await stage.answered(stage.call(path, b"space=nobody"))
    assert call.status == 400
    assert orjson.loads(call.body)["detail"] == "`space` must be one of: acme, beta."
    assert stage.snapshots.asked == []


async def test_a_snapshot_is_json_with_the_names_of_the_figures(stage: Stage) -> None:
    call = await stage.answered(stage.call(b"/ops/api/snapshot", b"space=beta"))
    assert stage.snapshots.asked == ["beta"]
    assert orjson.loads(call.body) == orjson.loads(orjson.dumps(healthy(1_800_000_001.0)))


async def test_every_route_is_guarded(stage: Stage) -> None:
    """Pitfall 20."""
    assert stage.doorman.doors == ["/ops/api/snapshot", "/ops/api/live"]


async def test_a_head_request_is_no_viewer(stage: Stage) -> None:
    call = await stage.answered(stage.call(method="HEAD"))
    assert (call.status, call.body) == (200, b"")


def test_a_stream_has_the_newest_of_what_happened() -> None:
    """In an outage there are hundreds of each, every other second, for every viewer."""
    well = healthy()
    snapshot = replace(well, events=well.events * 125, problems=well.problems * 66)
    body = event(snapshot)
    told = orjson.loads(body.split(b"data: ")[1])
    assert (len(told["events"]), len(told["problems"])) == (MOST_EVENTS, MOST_PROBLEMS)
    assert told["events"][:4] == orjson.loads(orjson.dumps(well.events))
    assert len(body) < 80_000


def test_an_event_is_one_line_whatever_members_send() -> None:
    """A line break in a shape would begin another field of the stream, or another event."""
    lines = event(hostile()).split(b"\n")
    assert [line.partition(b":")[0] for line in lines] == [b"event", b"data", b"", b""]
