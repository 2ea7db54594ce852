"""HTTP/2 for the upstream on a real socket: each stream is answered by a coroutine of the test."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from tests.support.raw_upstream import Handler, Peer


class H2Stream:
    """The upstream's end of one stream, once its request is there."""

    def __init__(self, connection: H2Connection, number: int, target: bytes) -> None:
        self._connection = connection
        self._number = number
        self.target = target

    async def head(self, status: int = 200, *headers: tuple[str, str]) -> None:
        await self._connection.head(self._number, [(":status", str(status)), *headers])

    async def data(self, body: bytes, *, end: bool = True) -> None:
        """Waits for as much flow-control window as `body` needs."""
        await self._connection.data(self._number, body, end=end)

    async def refuse(self) -> None:
        """This stream and all later ones: as a server does that is about to go (RFC 9113 6.8)."""
        await self._connection.go_away(self._number - 2)

    async def answer(self, body: bytes, *headers: tuple[str, str]) -> None:
        await self.head(200, *headers)
        await self.data(body)


class H2Connection:
    """One connection; runs `answer` for every request in a task of its own."""

    def __init__(self, peer: Peer, answer: Callable[[H2Stream], Awaitable[None]]) -> None:
        self._peer = peer
        self._answer = answer
        config = h2.config.H2Configuration(client_side=False, header_encoding=None)
        self._state = h2.connection.H2Connection(config)
        self._window = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        self._state.initiate_connection()
        await self._flush()
        try:
            while data := await self._peer.reader.read(65536):
                for event in self._state.receive_data(data):
                    self._handle(event)
                await self._flush()
        finally:
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)

    async def head(self, stream: int, headers: list[tuple[str, str]]) -> None:
        self._state.send_headers(stream, headers)
        await self._flush()

    async def go_away(self, last_stream: int) -> None:
        self._state.close_connection(last_stream_id=last_stream)
        await self._flush()

    async def data(self, stream: int, body: bytes, *, end: bool) -> None:
        while body:
            most = min(self._state.local_flow_control_window(stream), 16384)
            if not most:
                self._window.clear()
                await self._window.wait()
                continue
            part, body = body[:most], body[most:]
            self._state.send_data(stream, part)
            await self._flush()
        if end:
            self._state.end_stream(stream)
            await self._flush()

    def _handle(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            assert event.headers is not None
            assert event.stream_id is not None
            target = dict(event.headers)[b":path"]
            assert isinstance(target, bytes)
            self._begin(H2Stream(self, event.stream_id, target))
        elif isinstance(event, h2.events.WindowUpdated):
            self._window.set()

    def _begin(self, stream: H2Stream) -> None:
        async def run() -> None:
            # The client may give the connection up.
            with contextlib.suppress(h2.exceptions.ProtocolError, ConnectionError):
                await self._answer(stream)

        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _flush(self) -> None:
        await self._peer.send(self._state.data_to_send())


def http2(answer: Callable[[H2Stream], Awaitable[None]], http1: Handler = Peer.closed) -> Handler:
    """Serves a connection by what its TLS handshake agreed on."""

    async def handler(peer: Peer) -> None:
        if peer.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2":
            await H2Connection(peer, answer).run()
        else:
            await http1(peer)

    return handler
