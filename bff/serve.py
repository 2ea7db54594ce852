"""Serving an ASGI factory with granian: the port looked at first, workers that end with us."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import importlib
import logging
import os
import signal
import socket
import sys
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, cast

import structlog
from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.common import AbstractServer
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bff.terminal import CommandFailed

HEAD_BYTES: Final = 64 * 2**10
"""About the longest request head that is read; more is answered 431."""
HEAD_TIMEOUT_S: Final = 75
"""Also how long an idle connection is kept: longer than balancers do (60 s), or they would send
requests into connections that are being closed."""
CONNECTIONS: Final = 16_384
"""Of one worker, idle ones included; what comes beyond waits to be accepted."""
OPEN_FILES: Final = 65_536
_PR_SET_PDEATHSIG: Final = 1
_ENDING: Final = frozenset((signal.SIGINT, signal.SIGTERM))


@dataclass(frozen=True, slots=True)
class Plan:
    """What to serve and where: `factory` is `module:callable` and returns an ASGI application."""

    factory: str
    host: str
    port: int
    workers: int = 1
    stop_timeout_s: int = 10
    log_server: bool = True


def serve(plan: Plan) -> None:
    """Returns after SIGINT or SIGTERM. Raises CommandFailed, for a port that is taken at once."""
    address = free_address(plan.host, plan.port)
    server = _server(plan, address)
    # A worker is forked with the server's handlers, and would swallow a signal that comes before it
    # has its own: it would never end by itself.
    os.register_at_fork(
        before=partial(signal.pthread_sigmask, signal.SIG_BLOCK, _ENDING),
        after_in_parent=partial(signal.pthread_sigmask, signal.SIG_UNBLOCK, _ENDING),
        after_in_child=_end_on_sigterm_only,
    )
    try:
        server.serve(target_loader=partial(load, plan.factory, os.getpid()), wrap_loader=False)
    except SystemExit:
        # A worker that is stopped by others at the same time is gone before it is expected to be.
        if not server.interrupt_signal:
            raise CommandFailed("The workers keep ending; the lines above say why.") from None
    except OSError as error:
        raise CommandFailed(_refusal(error, plan.host, plan.port, "--port")) from None


def free_address(host: str, port: int, option: str = "--port") -> str:
    """The IP address to listen on. Raises CommandFailed where `port`, of `option`, is not free.

    Without this look, workers would share a port with whoever else has SO_REUSEPORT set.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        # IPv4 first: `localhost` is both, and clients that know one know that one.
        family, kind, protocol, _, place = min(found, key=lambda each: each[0] != socket.AF_INET)
        with contextlib.closing(socket.socket(family, kind, protocol)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except UnicodeError:
        raise CommandFailed(f"{host} is not a name of this machine.") from None
    except OSError as error:
        raise CommandFailed(_refusal(error, host, port, option)) from None
    return str(place[0])


def load(factory: str, parent: int) -> ASGIApp:
    """In a worker: its application, made once its end is tied to that of `parent`."""
    _end_on_sigterm_only()
    end_with(parent)
    module, _, name = factory.partition(":")
    return Hosted(cast(ASGIApp, getattr(importlib.import_module(module), name)()))


def end_with(parent: int) -> None:
    """Have the kernel send this process SIGTERM when its parent is gone, however it went.

    On Linux only; elsewhere a killed parent leaves it behind.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
    if os.getppid() != parent:  # gone before the kernel was told
        os.kill(os.getpid(), signal.SIGTERM)


def _end_on_sigterm_only() -> None:
    """A Ctrl-C is for the server, which sends its workers a SIGTERM each.

    Of two signals that a worker of granian gets while it starts, the second hangs it.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


class Hosted:
    """An application as granian needs it: every call is answered, and lets go of its connection."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call = _Call(receive, send)
        try:
            await self._app(scope, call.receive, call.send)
            await call.refuse_if_malformed()
        finally:
            call.let_go()


class _Call:
    """The two ends of one call."""

    __slots__ = ("_answered", "_left", "_receive", "_send")

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._left = False
        self._answered = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._left = message["type"] == "http.disconnect"
        return message

    async def send(self, message: Message) -> None:
        self._answered = True
        await self._send(message)

    async def refuse_if_malformed(self) -> None:
        """400 where the client seems to have left, and so has been answered nothing.

        granian tells the same of a malformed body, whose sender still listens; its own answer to a
        call that has none is a 500.
        """
        if self._left and not self._answered:
            await self._send({"type": "http.response.start", "status": 400, "headers": _REFUSAL})
            await self._send({"type": "http.response.body", "body": b""})

    def let_go(self) -> None:
        """From now on, whoever has kept the two ends has nothing of the server's in hand.

        A connection whose request was not read to its end is closed only once nobody can read it
        any more, and the traceback of an error may keep `receive` until the next collection.
        """
        self._receive, self._send = _over, _unheard


async def _over() -> Message:
    return {"type": "http.disconnect"}


async def _unheard(_: Message) -> None:
    return None


class ServerLog(logging.Handler):
    """The server's own lines, in the form of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        # One line: what follows is the traceback of a request, which quotes what it holds.
        message = record.getMessage().partition("\n")[0]
        structlog.get_logger("bff.server").log(record.levelno, "server", message=message)


def _server(plan: Plan, address: str) -> AbstractServer[Any]:
    open_files = _raise_open_files()
    server: AbstractServer[Any] = Granian(
        plan.factory,
        address=address,
        port=plan.port,
        interface=Interfaces.ASGI,
        workers=plan.workers,
        # Any other mode sniffs the protocol first, without a bound on time or size.
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(
            header_read_timeout=HEAD_TIMEOUT_S * 1000, max_buffer_size=HEAD_BYTES
        ),
        websockets=False,
        backpressure=max(1, min(CONNECTIONS, open_files // 2)),
        log_enabled=plan.log_server,
        # Its warnings are about workers that refuse to stop, which it takes some for that have.
        log_level=LogLevels.error,
        log_dictconfig=_LOGGING,
        respawn_failed_workers=True,
        workers_kill_timeout=plan.stop_timeout_s,
    )
    return server


def _raise_open_files() -> int:
    """The limit of open files, raised as far as this process may."""
    try:
        import resource  # noqa: PLC0415 - Unix only
    except ImportError:
        return OPEN_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # macOS has a lower limit of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return OPEN_FILES if soft == resource.RLIM_INFINITY else soft


def _refusal(error: OSError, host: str, port: int, option: str) -> str:
    if isinstance(error, socket.gaierror):
        return f"{host} is not a name of this machine: {error.strerror}."
    match error.errno:
        case errno.EADDRINUSE:
            reason = f"is taken: end the program that has it, or choose another with {option}"
        case errno.EACCES:
            reason = f"may not be used by this user: choose one above 1023 with {option}"
        case errno.EADDRNOTAVAIL:
            return f"{host} is not an address of this machine."
        case _:
            reason = f"cannot be used: {error.strerror or error}"
    return f"Port {port} of {host} {reason}."


_REFUSAL: Final = (
    (b"cache-control", b"no-store"),
    (b"vary", b"Authorization, Origin"),
    (b"connection", b"close"),
    (b"content-length", b"0"),
)
_LOGGING: Final[dict[str, Any]] = {
    "handlers": {"ours": {"()": ServerLog}},
    "loggers": {"_granian": {"handlers": ["ours"], "level": "ERROR", "propagate": False}},
}
