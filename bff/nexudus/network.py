"""asyncio's own transports below httpcore, in the place of anyio's streams.

Those take several turns of the event loop and three cancel scopes for a read and a write, which is
a third of what a call costs httpcore. Here a read that finds something takes no turn at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import select
import ssl
from collections.abc import Iterable, Iterator
from typing import Any, Final

import httpcore

AHEAD: Final = 2**16
"""Bytes that wait to be read before the peer is slowed down."""
EYEBALLS_S: Final = 0.25
"""Before the next address is tried as well (RFC 8305 section 5)."""


class Network(httpcore.AsyncNetworkBackend):
    """Connects by TCP. All failures are httpcore's."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        loop = asyncio.get_running_loop()
        with _failing(httpcore.ConnectTimeout, httpcore.ConnectError):
            async with asyncio.timeout(timeout):
                _, stream = await loop.create_connection(
                    Stream, host, port, happy_eyeballs_delay=_eyeballs_s(host)
                )
        return stream


class Stream(asyncio.Protocol, httpcore.AsyncNetworkStream):
    """One connection, with one reader and one writer at a time."""

    def __init__(self) -> None:
        self._arrived = bytearray()
        self._ended = False
        self._broken: Exception | None = None
        self._is_full = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if not self._arrived and not self._ended:
            await self._something(timeout)
        if self._broken is not None and not self._arrived:
            raise httpcore.ReadError(type(self._broken).__name__)
        data = bytes(self._arrived[:max_bytes])
        del self._arrived[:max_bytes]
        if self._is_full and len(self._arrived) < AHEAD:
            self._is_full = False
            self._transport.resume_reading()
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not buffer:
            return
        if not self._transport.is_closing():
            self._transport.write(buffer)
        if self._writer is not None:
            with _failing(httpcore.WriteTimeout, httpcore.WriteError):
                async with asyncio.timeout(timeout):
                    # Of all who write, by HTTP/2: it is not to end with one of them.
                    await asyncio.shield(self._writer)
        if self._transport.is_closing():
            raise httpcore.WriteError("the connection is closed")

    async def aclose(self) -> None:
        self._broken = self._broken or ConnectionAbortedError()
        self._transport.abort()
        await asyncio.sleep(0)  # in which it is closed

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        loop = asyncio.get_running_loop()
        with _failing(httpcore.ConnectTimeout, httpcore.ConnectError):
            try:
                async with asyncio.timeout(timeout):
                    secured = await loop.start_tls(
                        self._transport, self, ssl_context, server_hostname=server_hostname
                    )
            except BaseException:
                self._transport.abort()
                raise
        assert secured is not None
        self._transport = secured
        return self

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            return self._ended or bool(self._arrived) or self._has_news()
        return self._transport.get_extra_info(info)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._arrived += data
        if not self._is_full and len(self._arrived) >= AHEAD:
            self._is_full = True
            self._transport.pause_reading()
        self._read_on()

    def eof_received(self) -> bool:
        self._ended = True
        self._read_on()
        # What is being sent may go on, but over TLS asyncio ends both ways.
        return self._transport.get_extra_info("ssl_object") is None

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._broken = self._broken or exc
        self._read_on()
        self.resume_writing()

    def pause_writing(self) -> None:
        self._writer = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)
        self._writer = None

    async def _something(self, timeout: float | None) -> None:
        loop = asyncio.get_running_loop()
        self._reader = loop.create_future()
        alarm = None if timeout is None else loop.call_later(timeout, self._end_silence)
        try:
            await self._reader
        finally:
            self._reader = None
            if alarm is not None:
                alarm.cancel()

    def _end_silence(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_exception(httpcore.ReadTimeout())

    def _read_on(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _has_news(self) -> bool:
        """Of the kernel's, that the event loop is yet to hear of: mostly, that the peer is gone."""
        sock = self._transport.get_extra_info("socket")
        if sock is None:
            return True  # TLS lets go of it a turn before it says that the connection is lost
        asked = select.poll()
        asked.register(sock.fileno(), select.POLLIN)
        return bool(asked.poll(0))


def _eyeballs_s(host: str) -> float | None:
    """None for an address: there is no other, and a race that is cancelled may lose a socket."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return EYEBALLS_S
    return None


@contextlib.contextmanager
def _failing(late: type[Exception], broken: type[Exception]) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise late(type(error).__name__) from error
    except OSError as error:
        raise broken(type(error).__name__) from error
