"""Answers that are ready are given where granian reads requests, before it wakes the event loop.

granian reads a request on a thread of its own, and has the loop run the application: a wake-up of
another thread costs more than all else of an answer that is ready. There is no public way to answer
before; this replaces the one function by which its scheduler hands a request to the loop. Why it is
done, and what would end it: docs/adr/0022.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import structlog
from starlette.types import Message, Scope

from bff.serve_hosted import Hosted

log = structlog.get_logger("bff.server")

Find = Callable[[Scope], tuple[Message, Message] | None]
"""The two messages that answer a request at once; None has the application answer it."""


class _Protocol(Protocol):
    def send(self, message: Message) -> object: ...


class _Watcher(Protocol):
    """A request as granian's scheduler is given it."""

    scope: Scope
    proto: _Protocol


_Schedule = Callable[[_Watcher], None]
_Scheduling = Callable[..., _Schedule]


def at_once(hosted: Hosted, find: Find) -> bool:
    """Have the server ask first, from now on in this process; False for a granian of another kind.

    The application itself is then to ask.
    """
    from granian import _futures  # noqa: PLC0415 - a private part of one server

    inner: _Scheduling | None = getattr(_futures, "_cbsched_aioschedule", None)
    if inner is None:
        log.warning("answers_wait_for_the_loop", reason="another granian than is known")
        return False
    vars(_futures)["_cbsched_aioschedule"] = answering_first(hosted, find, inner)
    return True


def answering_first(hosted: Hosted, find: Find, inner: _Scheduling) -> _Scheduling:
    """`inner` makes what hands requests to the loop; made by the result, it is handed the rest."""

    def scheduling(*args: Any) -> _Schedule:
        later = inner(*args)

        def schedule(watcher: _Watcher) -> None:
            try:
                found = None if hosted.stopping else find(watcher.scope)
            except Exception:  # nobody would hear of it: the server ignores what is raised here
                log.exception("hot_answer_failed")
                found = None
            if found is None:
                later(watcher)
                return
            start, body = found
            send = watcher.proto.send
            send(start)
            send(body)

        return schedule

    return scheduling
