"""What granian gets of an application: an answer to every call, and its connection back."""

from __future__ import annotations

import asyncio

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bff.serve_hosted import STOPPING, Hosted

SCOPE: Scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
WHOLE: Message = {"type": "http.request", "body": b"abc", "more_body": False}
LEFT: Message = {"type": "http.disconnect"}


class Server:
    """The server's side of one call; refuses to be used once the call is over."""

    def __init__(self, *messages: Message) -> None:
        self.waiting = list(messages)
        self.sent: list[Message] = []
        self.over = False

    async def receive(self) -> Message:
        assert not self.over
        return self.waiting.pop(0)

    async def send(self, message: Message) -> None:
        assert not self.over
        self.sent.append(message)

    async def call(self, app: ASGIApp, scope: Scope = SCOPE) -> None:
        try:
            await Hosted(app)(scope, self.receive, self.send)
        finally:
            self.over = True


async def reading(_: Scope, receive: Receive, send: Send) -> None:
    """Answers what it has read, and nothing to a client that left."""
    message = await receive()
    if message["type"] != "http.disconnect":
        await PlainTextResponse(message["body"])(SCOPE, receive, send)


async def test_an_answer_passes_unchanged() -> None:
    server = Server(WHOLE)
    await server.call(reading)
    start, body = server.sent
    assert (start["status"], body["body"]) == (200, b"abc")


async def test_pitfall_15_a_body_that_broke_off_is_a_bad_request() -> None:
    server = Server(LEFT)
    await server.call(reading)
    start, body = server.sent
    assert (start["status"], body["body"]) == (400, b"")
    headers = dict(start["headers"])
    assert (headers[b"connection"], headers[b"cache-control"]) == (b"close", b"no-store")


async def test_what_was_answered_before_the_client_left_stands() -> None:
    async def early(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 202, "headers": []})
        await receive()

    server = Server(LEFT)
    await server.call(early)
    assert [message["type"] for message in server.sent] == ["http.response.start"]


async def test_an_application_that_forgets_to_answer_is_not_covered_up() -> None:
    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()

    server = Server(WHOLE)
    await server.call(silent)
    assert server.sent == []


@pytest.mark.parametrize("failing", [False, True])
async def test_whoever_keeps_the_call_has_nothing_in_hand(failing: bool) -> None:
    kept: list[tuple[Receive, Send]] = []

    async def keeping(scope: Scope, receive: Receive, send: Send) -> None:
        kept.append((receive, send))
        await receive()
        if failing:
            raise RuntimeError

    server = Server(WHOLE)
    try:
        await server.call(keeping)
    except RuntimeError:
        assert failing
    ((receive, send),) = kept
    assert await receive() == LEFT
    await send({"type": "http.response.body", "body": b""})
    assert server.sent == []


async def test_a_cancelled_call_lets_go_too_and_is_no_failure() -> None:
    kept: list[Receive] = []
    began = asyncio.Event()

    async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
        kept.append(receive)
        began.set()
        await asyncio.get_running_loop().create_future()

    server = Server()
    task = asyncio.create_task(server.call(waiting))
    await began.wait()
    task.cancel()
    await task
    assert await kept[0]() == LEFT


async def test_who_is_about_to_stop_says_so_and_closes() -> None:
    told: list[object] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        told.append(scope["state"].get(STOPPING))
        headers = {"connection": "keep-alive"}
        await PlainTextResponse("x", headers=headers)(scope, receive, send)

    hosted, server = Hosted(app), Server()
    for _ in range(2):
        await hosted({**SCOPE, "state": {}}, server.receive, server.send)
        hosted.stop()
    assert told == [None, True]
    before, _, after, _ = (message.get("headers", ()) for message in server.sent)
    assert [value for name, value in before if name == b"connection"] == [b"keep-alive"]
    assert [value for name, value in after if name == b"connection"] == [b"close"]


async def test_what_is_under_way_when_it_is_about_to_stop_closes_too() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        hosted.stop()
        await PlainTextResponse("x")(scope, receive, send)

    hosted, server = Hosted(app), Server()
    await hosted(dict(SCOPE), server.receive, server.send)
    assert (b"connection", b"close") in server.sent[0]["headers"]


async def test_the_lifespan_is_left_alone() -> None:
    async def lifespan(scope: Scope, receive: Receive, send: Send) -> None:
        await send(await receive())

    server = Server({"type": "lifespan.startup"})
    await server.call(lifespan, {"type": "lifespan"})
    assert server.sent == [{"type": "lifespan.startup"}]
