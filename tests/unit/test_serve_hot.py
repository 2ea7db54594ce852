"""What is handed to the loop, and what is answered before it would be woken."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from bff.serve_hosted import Hosted
from bff.serve_hot import Find, answering_first

START: Message = {"type": "http.response.start", "status": 200, "headers": []}
BODY: Message = {"type": "http.response.body", "body": b"{}"}


@dataclass(slots=True)
class Protocol:
    sent: list[Message] = field(default_factory=list)

    def send(self, message: Message) -> None:
        self.sent.append(message)


@dataclass(slots=True)
class Watcher:
    scope: Scope
    proto: Protocol = field(default_factory=Protocol)


async def never(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise AssertionError


def found(scope: Scope) -> tuple[Message, Message] | None:
    return (START, BODY) if scope["path"] == "/hot" else None


def scheduled(find: Find, hosted: Hosted, *watchers: Watcher) -> list[Watcher]:
    """Those of the watchers that the loop was handed."""
    later: list[Watcher] = []
    asked: list[tuple[Any, ...]] = []

    def inner(*args: Any) -> Any:
        asked.append(args)
        return later.append

    schedule: Any = answering_first(hosted, find, inner)("loop", "context", "callback")
    assert asked == [("loop", "context", "callback")]
    for watcher in watchers:
        schedule(watcher)
    return later


def test_what_is_ready_is_answered_and_the_rest_is_handed_on() -> None:
    hot, other = Watcher({"path": "/hot"}), Watcher({"path": "/other"})
    assert scheduled(found, Hosted(never), hot, other) == [other]
    assert hot.proto.sent == [START, BODY]
    assert not other.proto.sent


def test_a_server_that_stops_leaves_all_to_the_application_which_says_so() -> None:
    hosted, hot = Hosted(never), Watcher({"path": "/hot"})
    hosted.stop()
    assert scheduled(found, hosted, hot) == [hot]
    assert not hot.proto.sent


def test_a_failure_costs_nobody_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    hot = Watcher({"path": "/hot"})

    def failing(_: Scope) -> None:
        raise KeyError("raw_path")

    assert scheduled(failing, Hosted(never), hot) == [hot]
    assert not hot.proto.sent
    assert "hot_answer_failed" in capsys.readouterr().out
