"""The real `bff` command as a process: run to its end, or kept running while a test looks at it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from tests.support.redis_server import candidate_ports

HOST = "127.0.0.1"
DEADLINE_S = 30.0
_PORTS = candidate_ports()


class CommandError(AssertionError):
    """The command did not do what the test waits for."""


def environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """The tests' own, without any `BFF_…` variable but the given ones."""
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("BFF_")}
    return {**inherited, **(variables or {})}


def unmeasured(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """The same for processes whose coverage is not measured, which starts and works sooner."""
    own = environment(variables)
    return {name: text for name, text in own.items() if not name.startswith("COVERAGE")}


def bff(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `bff` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "bff.cli", *arguments],
        env=environment(variables),
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def free_port() -> int:
    """A loopback port that nobody listens on, outside of those that connections are given."""
    while True:
        port = next(_PORTS)
        if is_free(port):
            return port


def is_free(port: int) -> bool:
    """Whether one could listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


@contextlib.contextmanager
def taken_port() -> Iterator[int]:
    """A port on which somebody else listens."""
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        yield taken.getsockname()[1]


def until(what: str, true: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
    """Look every few milliseconds until `true()`; CommandError past the deadline."""
    end = time.monotonic() + deadline_s
    while not true():
        if time.monotonic() > end:
            raise CommandError(f"not within {deadline_s:.0f} s: {what}")
        time.sleep(0.01)  # of another process: it has no event to wait for


def answers(url: str) -> bool:
    """Whether a GET of `url` gives 200."""
    with contextlib.suppress(httpx.HTTPError):
        # Nobody speaks TLS here, and to read all the authorities takes 20 ms: with every look.
        return httpx.get(url, trust_env=False, verify=False, timeout=5).status_code == 200
    return False


class Command:
    """`bff` running in a process group of its own, as on a terminal; killed at the latest at exit.

    `output` is everything it has written to either stream so far.
    """

    environment = staticmethod(environment)

    def __init__(self, *arguments: str, **variables: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bff.cli", *arguments],
            env=self.environment(variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )
        self.output = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join(DEADLINE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def says(self, text: str) -> None:
        """Returns once `text` is in the output."""
        until(f"{text!r} in {self.output!r}", lambda: text in self.output or self._is_over())
        if text not in self.output:
            raise CommandError(f"ended without {text!r}: {self.output}")

    def serves(self, url: str) -> None:
        """Returns once `url` answers 200."""
        until(f"{url} to answer", lambda: answers(url) or self._is_over())
        if self._is_over():
            raise CommandError(f"ended with {self.process.returncode}: {self.output}")

    def interrupt(self) -> None:
        """What Ctrl-C on a terminal does: SIGINT to the whole foreground process group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def ends(self) -> int:
        """The exit code, once all of the output is there."""
        code = self.process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        return code

    def _is_over(self) -> bool:
        return self.process.poll() is not None

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line


class Unmeasured(Command):
    """The same, its coverage not measured."""

    environment = staticmethod(unmeasured)


def children_of(pid: int) -> list[int]:
    """The process ids of the direct children. Linux only."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    """Whether there is such a process; one that only waits to be reaped is not alive."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False
