"""An ASGI application on a real socket in the test's own event loop.

uvicorn serves here because it lives and ends within the loop; that granian serves the same
application the same way is what `tests/e2e` shows.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import httpx
import uvicorn
from starlette.types import ASGIApp

_START_S = 30.0
_CLOSE_S = 20.0
_TURNS_TO_CLOSE = 5
"""Of the event loop, after which an idle connection is gone."""


class _Server(uvicorn.Server):
    """Ends as soon as it is told to; uvicorn itself looks ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.told = asyncio.Event()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self.told.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # A connection that a server has accepted when it is closed has no owner (Python 3.11): its
        # transport cannot be made, and is never closed. So first nothing more is accepted.
        for listener in self.servers:
            for accepting in listener.sockets:
                asyncio.get_running_loop().remove_reader(accepting.fileno())
        await asyncio.sleep(0)
        for listener in self.servers:
            listener.close()
        for _ in range(_TURNS_TO_CLOSE):
            # In each turn: one that was just accepted is among them a few turns later.
            for connection in list(self.server_state.connections):
                connection.shutdown()
            await asyncio.sleep(0)
        await asyncio.wait_for(self._wait_tasks_to_complete(), _CLOSE_S)
        await self.lifespan.shutdown()


def listening_socket() -> socket.socket:
    """A loopback socket on a port of its own."""
    # With the protocol named, asyncio turns Nagle's algorithm off: else each answer that is
    # written in two parts waits some 40 ms for an acknowledgement.
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    opened.bind(("127.0.0.1", 0))
    return opened


@contextlib.asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """Serve `app` on loopback, lifespan included; yields its origin once it answers."""
    config = uvicorn.Config(
        app,
        log_config=None,
        lifespan="on",
        server_header=False,
        date_header=False,
        ws="none",
        # Longer than clients keep an idle connection: else a request meets one being closed.
        timeout_keep_alive=75,
    )
    server = _Server(config)
    opened = listening_socket()
    task = asyncio.create_task(server.serve(sockets=[opened]), name="server")
    try:
        async with asyncio.timeout(_START_S):
            while not server.started:
                if task.done():
                    task.result()
                    raise RuntimeError("the server ended before it listened")
                await asyncio.sleep(0.002)
        yield f"http://127.0.0.1:{opened.getsockname()[1]}"
    finally:
        server.told.set()
        await asyncio.wait_for(task, _START_S)
        opened.close()


@contextlib.asynccontextmanager
async def client(origin: str, token: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """A client of one app or browser: no redirects, no retries."""
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(
        base_url=origin,
        headers=headers,
        timeout=20,
        follow_redirects=False,
        trust_env=False,
        verify=False,  # nobody speaks TLS here, and to read all the authorities takes 20 ms
    ) as opened:
        yield opened
