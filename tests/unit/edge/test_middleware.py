"""A request is reported, and its answer does not depend on that."""

from __future__ import annotations

import errno

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send
from structlog.testing import capture_logs

from bff.edge.middleware import ExchangeMiddleware, ProblemMiddleware, problem_of_routing
from bff.errors import UpstreamDown
from bff.observe.journal import ProblemSeen
from bff.observe.metrics import Metrics
from tests.support.manual_time import ManualTime


class Refusing(Metrics):
    """Whose files cannot be written."""

    def request(self, route: str, space: str, status: int, took_s: float, sent: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 503, "headers": []})
    await send({"type": "http.response.body", "body": b"whole"})


async def test_what_cannot_be_counted_is_answered() -> None:
    sent, failed = list[Message](), list[ProblemSeen]()
    app = ExchangeMiddleware(answer, ManualTime(), Refusing(), failed.append)

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    with capture_logs() as logs:
        for _ in range(2):
            await app({"type": "http", "method": "GET", "headers": []}, receive, send)
    assert [message.get("body") for message in sent] == [None, b"whole"] * 2
    assert [line["event"] for line in logs] == ["not_counted", "request", "request"]
    assert len(failed) == 2


@pytest.mark.parametrize("error", [UpstreamDown("gone"), KeyError("unexpected")])
@pytest.mark.parametrize("has_begun", [False, True])
async def test_what_fails_is_a_problem_unless_something_was_sent(
    has_begun: bool, error: Exception
) -> None:
    """A body that is cut must not look whole: the server ends the connection."""
    sent = list[Message]()

    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        if has_begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise error

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    app = ExchangeMiddleware(ProblemMiddleware(fails), ManualTime(), Metrics())
    asked = app({"type": "http", "method": "GET", "headers": []}, receive, send)
    if has_begun:
        with pytest.raises(type(error)):
            await asked
        assert [message.get("status") for message in sent] == [200]
    else:
        await asked
        assert sent[0]["status"] >= 500
        assert len(sent) == 2


@pytest.mark.parametrize(
    ("error", "status", "allow"),
    [
        (HTTPException(405, headers={"Allow": "POST, GET, HEAD"}), 405, b"GET, HEAD, POST"),
        (HTTPException(404), 404, None),
    ],
)
async def test_what_starlette_says_of_routes_is_a_problem(
    error: HTTPException, status: int, allow: bytes | None
) -> None:
    """That there is none it says of a target that is no path, as of `OPTIONS *`."""
    sent = list[Message]()

    async def refuses(scope: Scope, receive: Receive, send: Send) -> None:
        await (await problem_of_routing(Request(scope), error))(scope, receive, send)

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    app = ExchangeMiddleware(refuses, ManualTime(), Metrics())
    await app({"type": "http", "method": "GET", "headers": []}, receive, send)
    assert sent[0]["status"] == status
    assert dict(sent[0]["headers"]).get(b"allow") == allow
