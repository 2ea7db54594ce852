"""Serving an ASGI factory with granian: the port looked at first, workers that end with us.

At SIGTERM: readiness is off for `drain_s`, then nobody is accepted and what is under way has
`stop_timeout_s`, then what is left is cut.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import importlib
import logging
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

import structlog
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer
from starlette.types import ASGIApp

from bff.serve_hosted import Hosted
from bff.serve_hot import at_once
from bff.serve_imports import shared_imports
from bff.serve_metrics import counting_together, forget
from bff.terminal import CommandFailed

Loader = Callable[[], ASGIApp]

HEAD_BYTES: Final = 64 * 2**10
"""About the longest request head that is read; more is answered 431."""
HEAD_TIMEOUT_S: Final = 75
"""Also how long an idle connection is kept: longer than balancers do (60 s), or they would send
requests into connections that are being closed."""
CONNECTIONS: Final = 16_384
"""Of one worker, idle ones included; what comes beyond waits to be accepted."""
OPEN_FILES: Final = 65_536
SETTLED_S: Final = 5.0
"""A worker that ends within so many seconds of replacing another would go on doing so."""
LOOK_S: Final = 2.0
"""How long the main process waits for a signal before it looks whether one has come."""
_PR_SET_PDEATHSIG: Final = 1
_ENDING: Final = frozenset((signal.SIGINT, signal.SIGTERM))
_DRAIN: Final = signal.SIGUSR1


@dataclass(frozen=True, slots=True)
class Plan:
    """What to serve and where: `factory` is `module:callable` and returns an ASGI application.

    `drain_s`: between readiness turning off and the end of accepting; a second signal ends it.
    `modules`: what workers import beside the factory's. `arguments`: what the factory is given.
    """

    factory: str
    host: str
    port: int
    workers: int = 1
    stop_timeout_s: int = 10
    drain_s: float = 0
    log_server: bool = True
    modules: tuple[str, ...] = ()
    arguments: tuple[object, ...] = field(default=(), repr=False)


def serve(plan: Plan) -> None:
    """Returns after SIGINT or SIGTERM. Raises CommandFailed, for a port that is taken at once."""
    address = free_address(plan.host, plan.port)
    server = _server(plan, address)
    # Workers inherit it: one that has yet to listen for the signal would be ended by it.
    signal.signal(_DRAIN, signal.SIG_IGN)
    # A worker is forked with the server's handlers, and would swallow a signal that comes before it
    # has its own: it would never end by itself.
    os.register_at_fork(
        before=partial(signal.pthread_sigmask, signal.SIG_BLOCK, _ENDING),
        after_in_parent=partial(signal.pthread_sigmask, signal.SIG_UNBLOCK, _ENDING),
        after_in_child=_end_on_sigterm_only,
    )
    try:
        with counting_together(plan.workers):
            with shared_imports():
                for module in (plan.factory.partition(":")[0], *plan.modules):
                    importlib.import_module(module)
            server.serve(target_loader=partial(load, _sent(plan), os.getpid()), wrap_loader=False)
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


def load(plan: Plan, parent: int) -> ASGIApp:
    """In a worker: its application, made once its end is tied to that of `parent`."""
    _end_on_sigterm_only()
    end_with(parent)
    module, _, name = plan.factory.partition(":")
    app: ASGIApp = getattr(importlib.import_module(module), name)(*plan.arguments)
    hosted = Hosted(app)
    signal.signal(_DRAIN, lambda *_: hosted.stop())
    hot = getattr(app, "hot", None)
    if hot is not None and at_once(hosted, hot.find):
        vars(app)["hot"] = None  # the server has asked by then
    return hosted


def _sent(plan: Plan) -> Plan:
    """As a worker is given it: one that is not forked is sent text, and finds out for itself."""
    forked = multiprocessing.get_start_method() == "fork"
    return plan if forked else replace(plan, arguments=())


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


class ServerLog(logging.Handler):
    """The server's own lines, in the form of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        # One line: what follows is the traceback of a request, which quotes what it holds.
        message = record.getMessage().partition("\n")[0]
        structlog.get_logger("bff.server").log(record.levelno, "server", message=message)


class Server(MPServer):
    """granian, with a pause before the end and a certain end to workers that keep ending."""

    drain_s = 0.0

    def shutdown(self, exit_code: int = 0) -> None:
        if self.interrupt_signal:
            for worker in self.wrks:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.inner.pid, _DRAIN)
            if self.drain_s:
                self.main_loop_interrupt.clear()
                self.main_loop_interrupt.wait(self.drain_s)
        super().shutdown(exit_code)  # type: ignore[no-untyped-call]

    def _serve_loop(self, spawn_target: Callable[..., None], target_loader: Loader) -> None:
        """Returns to end it all. granian's own forgets who was replaced when another one ends."""
        replaced: dict[int, float] = {}
        living = {worker.inner.pid for worker in self.wrks}
        while True:
            # A signal that another thread of this process was given (which happens to one that was
            # stopped for a while) does not end a wait; what it is for is done once one ends.
            self.main_loop_interrupt.wait(LOOK_S)
            # First, or what comes while we look would be lost.
            self.main_loop_interrupt.clear()
            if self.interrupt_signal:
                return
            if self.reload_signal:
                self._reload(spawn_target, target_loader)  # type: ignore[no-untyped-call]
            while self.interrupt_children:
                index, now = self.interrupt_children[0], time.monotonic()
                if now - replaced.get(index, -SETTLED_S) < SETTLED_S:
                    return
                replaced[index] = now
                self.interrupt_children.pop(0)
                self._respawn_workers([index], spawn_target, target_loader)
            known, living = living, {worker.inner.pid for worker in self.wrks}
            forget(known - living)


def _server(plan: Plan, address: str) -> Server:
    open_files = _raise_open_files()
    server = Server(
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
        workers_kill_timeout=plan.stop_timeout_s,
    )
    server.drain_s = plan.drain_s
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


_LOGGING: Final[dict[str, Any]] = {
    "handlers": {"ours": {"()": ServerLog}},
    "loggers": {"_granian": {"handlers": ["ours"], "level": "ERROR", "propagate": False}},
}
