"""The whole application in process, with one finished answer in it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Final

from starlette.types import Message, Scope

from bff.app import build
from bff.observe import logs
from bff.sandbox.app import create_app, sandbox_of
from bff.sandbox.options import SandboxOptions
from bff.settings import load
from tests.bench.micro.subjects import JANE
from tests.support.serving import serving

PORTAL: Final = "_shape=@portal"
Ask = Callable[[], Coroutine[object, object, None]]


@contextlib.asynccontextmanager
async def warm(query: Callable[[], str], more: Mapping[str, str]) -> AsyncIterator[Ask]:
    """A request, over and over, that is answered without waiting for anything.

    `query`: gives what it asks for, each time; `more`: its headers.
    """
    sandbox = create_app(SandboxOptions(members=0, throttle=False))
    token = sandbox_of(sandbox).tokens.mint(JANE)
    given = {"host": "127.0.0.1:8080", "authorization": f"Bearer {token}", "accept-encoding": "br"}
    headers = [(name.encode(), value.encode()) for name, value in {**given, **more}.items()]
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("there is no body to read")

    async def ask() -> None:
        sent.clear()
        await gateway(_scope(headers, query()), receive, send)

    logs.configure("error", "json")
    async with serving(sandbox) as origin:
        gateway = build(
            load({"BFF_UPSTREAM": origin, "BFF_BUDGET": "off", "BFF_SENTINEL_RATE": "0"})
        )
        async with gateway.router.lifespan_context(gateway):
            for _ in range(3):
                await ask()
            head = dict(sent[0]["headers"])
            assert sent[0]["status"] == 200, sent[0]["status"]
            assert b"detail=l1" in head[b"cache-status"], head[b"cache-status"]
            yield ask


def _scope(headers: list[tuple[bytes, bytes]], query: str) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/session/bootstrap",
        "raw_path": b"/session/bootstrap",
        "query_string": query.encode(),
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 8080),
        "state": {},
    }
