"""What a forwarded call tells its caller when something breaks, and what it leaves behind."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from starlette.types import Message

from bff.errors import (
    BodyTooLarge,
    RequestStalled,
    UpstreamDown,
    UpstreamError,
    UpstreamTimeout,
)
from bff.nexudus import places
from bff.nexudus.admission import Tries
from bff.nexudus.client import Call, NexudusClient
from bff.nexudus.headers import Header
from bff.nexudus.passthrough import (
    CLIENT_CLOSED,
    Forwarded,
    Outcome,
    Plan,
    ResponseCutError,
    forward,
)
from bff.nexudus.upload import AHEAD
from bff.spaces import Space
from tests.support.asgi_call import AsgiCall
from tests.support.manual_time import settled
from tests.support.nexudus_client import client_and_upstream, nexudus_client
from tests.support.raw_upstream import Handler, Peer, answering, once, upstream
from tests.support.unlimited import free

PLAN = Plan(max_body=2 * AHEAD, idle_s=5)
BRIEF = replace(PLAN, idle_s=0.1)
MIB = 2**20
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"


@dataclass(slots=True)
class Told:
    """What the hooks told the caller."""

    answers: list[int] = field(default_factory=list)
    unknown: int = 0

    async def before_start(self, status: int, headers: list[Header]) -> list[Header]:
        self.answers.append(status)
        return headers

    async def on_unknown(self) -> None:
        self.unknown += 1

    def by(self, plan: Plan) -> Plan:
        return replace(plan, before_start=self.before_start, on_unknown=self.on_unknown)


async def run(call: AsgiCall, client: NexudusClient, space: Space, plan: Plan = PLAN) -> Forwarded:
    return await forward(
        call.scope, call.receive, call.send, passage=free(client, space), plan=plan
    )


async def reset(peer: Peer) -> None:
    await peer.request()
    peer.reset()


async def half_and_silence(peer: Peer) -> None:
    await peer.request()
    await peer.send(HALF)
    await peer.closed()


async def test_no_connection_was_not_sent() -> None:
    async with upstream(answering(b"")) as gone:
        pass
    told, call = Told(), AsgiCall("PUT")
    async with nexudus_client() as client:
        with pytest.raises(UpstreamDown):
            await run(call, client, gone.space, told.by(PLAN))
    assert told == Told()
    assert not call.sent


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        (reset, UpstreamDown),
        (once(b""), UpstreamDown),
        (once(b"HTTP/1.1 200"), UpstreamDown),
        (once(b"garbage\r\n\r\n"), UpstreamDown),
        (once(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"), UpstreamError),
        (Peer.closed, UpstreamTimeout),
    ],
    ids=["reset", "closed", "cut", "garbage", "101", "silent"],
)
async def test_no_answer_after_sending_is_unknown(
    handler: Handler, expected: type[UpstreamError]
) -> None:
    told, call = Told(), AsgiCall("PUT")
    async with client_and_upstream(handler) as (client, up):
        with pytest.raises(expected):
            await run(call, client, up.space, told.by(BRIEF))
        await up.until_live(0)
    assert told == Told(unknown=1)
    assert not call.sent


@pytest.mark.parametrize(
    "handler",
    [
        once(HALF),
        once(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
        once(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nxx\r\n"),
        half_and_silence,
    ],
    ids=["short", "no-last-chunk", "bad-chunk", "silence"],
)
async def test_a_response_that_breaks_off_has_no_clean_end(handler: Handler) -> None:
    told, call = Told(), AsgiCall("PUT")
    async with client_and_upstream(handler) as (client, up):
        with pytest.raises(ResponseCutError) as cut:
            await run(call, client, up.space, told.by(BRIEF))
        await up.until_live(0)
    assert (call.body, call.ended) == (b"half", False)
    assert told == Told(answers=[200])
    forwarded = cut.value.forwarded
    assert (forwarded.status, forwarded.bytes_down, forwarded.complete) == (200, 4, False)
    assert forwarded.outcome is Outcome.ANSWERED


async def test_a_reset_in_the_middle_of_a_response_has_no_clean_end() -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(HALF)
        await call.sending.wait()
        peer.reset()

    call = AsgiCall()
    async with client_and_upstream(handler) as (client, up):
        with pytest.raises(ResponseCutError):
            await run(call, client, up.space)
    assert not call.ended


async def test_a_client_that_leaves_before_the_answer_ends_the_upstream_call() -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        call.disconnect()
        await peer.closed()

    told, call = Told(), AsgiCall("PUT")
    async with client_and_upstream(handler) as (client, up):
        forwarded = await run(call, client, up.space, told.by(PLAN))
        await up.until_live(0)
    assert (forwarded.status, forwarded.outcome) == (CLIENT_CLOSED, Outcome.UNKNOWN)
    assert not forwarded.complete
    assert told == Told(unknown=1)
    assert not call.sent


@pytest.mark.parametrize("reading", [True, False])
async def test_a_client_that_leaves_during_the_answer_ends_the_upstream_call(
    reading: bool,
) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(HALF)
        await call.sending.wait()
        call.disconnect()
        await peer.closed()

    told, call = Told(), AsgiCall()
    if not reading:
        call.reading.clear()
    async with client_and_upstream(handler) as (client, up):
        forwarded = await run(call, client, up.space, told.by(PLAN))
        await up.until_live(0)
    assert (forwarded.status, forwarded.complete) == (200, False)
    assert forwarded.outcome is Outcome.ANSWERED
    assert told == Told(answers=[200])
    assert not call.ended


async def test_a_client_that_leaves_during_its_upload_ends_the_upstream_call() -> None:
    async def handler(peer: Peer) -> None:
        await peer.head()
        call.disconnect()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            _ = [part async for part in peer.chunks()]

    told, call = Told(), AsgiCall("POST", parts=[bytes(AHEAD)], open_end=True)
    async with client_and_upstream(handler) as (client, up):
        forwarded = await run(call, client, up.space, told.by(PLAN))
        await up.until_live(0)
    assert (forwarded.outcome, forwarded.bytes_up) == (Outcome.UNKNOWN, AHEAD)
    assert told == Told(unknown=1)


async def test_a_client_that_leaves_before_its_body_costs_no_upstream_call() -> None:
    told, call = Told(), AsgiCall("POST", open_end=True)
    call.disconnect()
    async with client_and_upstream(answering(b"")) as (client, up):
        forwarded = await run(call, client, up.space, told.by(PLAN))
        assert not up.peers
    assert (forwarded.status, forwarded.outcome) == (CLIENT_CLOSED, Outcome.NOT_SENT)
    assert told == Told()


async def test_a_server_that_reports_the_loss_in_send() -> None:
    async def send(message: Message) -> None:
        raise BrokenPipeError

    call = AsgiCall()
    async with client_and_upstream(half_and_silence) as (client, up):
        forwarded = await forward(
            call.scope, call.receive, send, passage=free(client, up.space), plan=PLAN
        )
        await up.until_live(0)
    assert (forwarded.status, forwarded.complete) == (200, False)


async def test_a_client_that_stops_reading_is_cut_off() -> None:
    call = AsgiCall()
    call.reading.clear()
    async with client_and_upstream(half_and_silence) as (client, up):
        with pytest.raises(ResponseCutError):
            await run(call, client, up.space, BRIEF)
        await up.until_live(0)


@pytest.mark.parametrize(("parts", "calls"), [([], 0), ([b"part"], 0), ([bytes(AHEAD)], 1)])
async def test_a_client_that_stops_sending_is_given_up(parts: list[bytes], calls: int) -> None:
    """Without a call to Nexudus, unless much of its body was there."""
    told, call = Told(), AsgiCall("POST", parts=parts, open_end=True)
    async with client_and_upstream(Peer.closed) as (client, up):
        with pytest.raises(RequestStalled):
            await run(call, client, up.space, told.by(BRIEF))
        await up.until_live(0)
        assert len(up.peers) == calls
    assert told == Told(unknown=calls)


async def test_a_body_that_grows_past_the_limit_is_never_whole_upstream() -> None:
    async def handler(peer: Peer) -> None:
        await peer.head()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            _ = [part async for part in peer.chunks()]
        broken_off.set()

    broken_off = asyncio.Event()
    told, call = Told(), AsgiCall("POST", parts=[bytes(1000)] * 1000)
    async with client_and_upstream(handler) as (client, up):
        with pytest.raises(BodyTooLarge):
            await run(call, client, up.space, told.by(PLAN))
        await asyncio.wait_for(broken_off.wait(), 5)
    assert told == Told(unknown=1)
    assert call.received <= PLAN.max_body + 1000
    assert not call.sent


@pytest.mark.parametrize(("size", "passes"), [(PLAN.max_body, True), (PLAN.max_body + 1, False)])
async def test_the_limit_is_the_last_size_that_passes(size: int, passes: bool) -> None:
    call = AsgiCall("POST", parts=[b"x" * (size - 1), b"x"])
    async with client_and_upstream(answering(b"ok")) as (client, up):
        if passes:
            assert (await run(call, client, up.space)).bytes_up == size
        else:
            with pytest.raises(BodyTooLarge):
                await run(call, client, up.space)


async def test_a_body_shorter_than_declared_is_never_whole_upstream() -> None:
    async def handler(peer: Peer) -> None:
        with pytest.raises(asyncio.IncompleteReadError):
            await peer.request()

    call = AsgiCall("POST", headers=[(b"content-length", b"10")], parts=[b"12345"])
    async with client_and_upstream(handler) as (client, up):
        with pytest.raises(UpstreamDown):
            await run(call, client, up.space)
        await up.until_live(0)


async def test_a_hook_that_fails_is_the_callers_and_nothing_is_sent_down() -> None:
    async def before_start(status: int, headers: list[Header]) -> list[Header]:
        raise LookupError

    call = AsgiCall()
    async with client_and_upstream(half_and_silence) as (client, up):
        with pytest.raises(LookupError):
            await run(call, client, up.space, replace(PLAN, before_start=before_start))
        await up.until_live(0)
    assert not call.sent


@pytest.mark.parametrize("by", ["cancel", "disconnect"])
async def test_pitfall_22_an_invalidation_that_has_begun_is_finished(by: str) -> None:
    async def before_start(_status: int, headers: list[Header]) -> list[Header]:
        begun.set()
        await goes_on.wait()
        told.answers.append(200)
        return headers

    begun, goes_on, told, call = asyncio.Event(), asyncio.Event(), Told(), AsgiCall("PUT")
    plan = replace(told.by(PLAN), before_start=before_start)
    async with client_and_upstream(answering(b"ok")) as (client, up):
        task = asyncio.create_task(run(call, client, up.space, plan))
        await begun.wait()
        if by == "cancel":
            task.cancel()
        else:
            call.disconnect()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not task.done()
        goes_on.set()
        await asyncio.wait({task})
        assert task.cancelled() == (by == "cancel")
    assert told == Told(answers=[200])


async def test_pitfall_22_a_cancelled_caller_still_learns_that_the_outcome_is_unknown() -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        task.cancel()
        await peer.closed()

    async def on_unknown() -> None:
        for _ in range(10):
            task.cancel()
            await asyncio.sleep(0)
        told.unknown += 1

    told = Told()
    async with client_and_upstream(handler) as (client, up):
        plan = replace(told.by(PLAN), on_unknown=on_unknown)
        task = asyncio.create_task(run(AsgiCall("PUT"), client, up.space, plan))
        with pytest.raises(asyncio.CancelledError):
            await task
        assert told == Told(unknown=1)
        await up.until_live(0)


async def test_pitfall_22_no_write_that_reached_nexudus_is_forgotten() -> None:
    """Calls are cancelled, dropped by their client, or left alone, at random moments."""
    rng = random.Random(22)
    reached: set[bytes] = set()

    async def handler(peer: Peer) -> None:
        while True:
            request = await peer.request()
            reached.add(request.target)
            await asyncio.sleep(rng.random() * 0.003)
            await peer.answer(request.target)

    async def one(number: int, client: NexudusClient, space: Space) -> None:
        told, call = Told(), AsgiCall("PUT", b"/%d" % number, parts=[b"a", b"b"])
        task = asyncio.create_task(run(call, client, space, told.by(PLAN)))
        endings: list[Callable[[], object]] = [task.cancel, call.disconnect, list]
        asyncio.get_running_loop().call_later(rng.random() * 0.008, rng.choice(endings))
        await asyncio.wait({task})
        if not task.cancelled() and task.result().complete:
            assert call.body == b"/%d" % number
        assert len(told.answers) + told.unknown <= 1
        known[b"/%d" % number] = bool(told.answers) or bool(told.unknown)

    known: dict[bytes, bool] = {}
    async with client_and_upstream(handler) as (client, up):
        for turn in range(10):
            await asyncio.gather(*(one(turn * 20 + i, client, up.space) for i in range(20)))
    assert all(known[target] for target in reached)
    assert len(known) == 200
    assert len(reached) > 20


async def test_pitfall_8_a_connection_that_was_given_up_is_not_used_again() -> None:
    async def handler(peer: Peer) -> None:
        while True:
            request = await peer.request()
            if request.target == b"/given-up":
                await peer.send(HALF)
                await peer.closed()
                return
            await peer.answer(request.target)

    async with client_and_upstream(handler) as (client, up):
        for turn in range(5):
            given_up = AsgiCall(path=b"/given-up")
            task = asyncio.create_task(run(given_up, client, up.space))
            await given_up.sending.wait()
            given_up.disconnect()
            await task
            call = AsgiCall(path=b"/%d" % turn)
            await run(call, client, up.space)
            assert call.body == b"/%d" % turn
        await up.until_live(1)


async def test_what_receive_raises_is_not_mistaken_for_a_disconnect() -> None:
    async def receive() -> Message:
        if first:
            return first.pop()
        raise LookupError

    first: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]
    call = AsgiCall()
    async with client_and_upstream(Peer.closed) as (client, up):
        with pytest.raises(LookupError):
            await forward(call.scope, receive, call.send, passage=free(client, up.space), plan=PLAN)


@pytest.mark.parametrize("sending", [True, False], ids=["sending", "reading"])
async def test_a_client_that_stands_still_makes_room(
    monkeypatch: pytest.MonkeyPatch, sending: bool
) -> None:
    """As soon as somebody needs its connection, and long before `idle_s`."""
    monkeypatch.setattr(places, "STANDSTILL_S", 0.0)

    async def handler(peer: Peer) -> None:
        if (await peer.head()).method == "PUT":
            await peer.answer(b"served")
        elif sending:
            begun.set()
            await peer.closed()
        else:
            await peer.answer(bytes(8 * MIB))

    begun = asyncio.Event()
    idle, active = AsgiCall("POST", parts=[bytes(AHEAD)], open_end=sending), AsgiCall("PUT")
    if not sending:
        idle.reading.clear()
    async with client_and_upstream(handler, connections=1) as (client, up):
        standing = asyncio.create_task(run(idle, client, up.space))
        await asyncio.wait_for(begun.wait() if sending else idle.sending.wait(), 5)
        await run(active, client, up.space)
        assert active.body == b"served"
        if sending:
            with pytest.raises(RequestStalled, match="while others waited"):
                await standing
        else:
            assert not standing.done()  # its own connection is as slow as before
            idle.reading.set()
            with pytest.raises(ResponseCutError, match="while others waited"):
                await standing
            assert len(idle.body) < 8 * MIB


async def test_the_time_that_a_body_takes_is_not_the_calls() -> None:
    """How long a call may be held back counts from when it can be made."""
    call = AsgiCall("POST", parts=[b"part"], open_end=True)
    async with client_and_upstream(answering(b"ok")) as (client, up):
        passage, finished = free(client, up.space), asyncio.Event()

        def tries(sent: Call) -> Tries:
            assert finished.is_set()
            return passage.tries(sent)

        late = replace(passage, tries=tries)
        forwarding = asyncio.create_task(
            forward(call.scope, call.receive, call.send, passage=late, plan=PLAN)
        )
        await settled()
        finished.set()
        call.finish()
        assert (await forwarding).status == 200
