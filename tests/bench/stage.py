"""Servers of a benchmark: started pinned to a core, waited for, ended; all on loopback."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SERVER_CORE: Final = "0"
LOAD_CORE: Final = "1"
BOTH_CORES: Final = f"{SERVER_CORE},{LOAD_CORE}"
BFF: Final = (sys.executable, "-m", "bff")
STARTED_S: Final = 30.0


class NotStarted(Exception):
    """A server that ended, or did not answer in time."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server and where it listens. `started_s`: from its start to its first answer."""

    process: subprocess.Popen[bytes]
    origin: str
    started_s: float

    def pids(self) -> list[int]:
        """The process and those that it started."""
        found = [self.process.pid]
        for pid in found:
            tasks = Path(f"/proc/{pid}/task")
            for task in tasks.iterdir() if tasks.exists() else ():
                found += [int(each) for each in (task / "children").read_text().split()]
        return found

    def resident_bytes(self, pid: int, *, most: bool = False) -> int:
        """Memory of one process, now or the `most` that it had."""
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:" if most else "VmRSS:"):
                return int(line.split()[1]) * 1024
        return 0

    def cpu_s(self) -> float:
        """Processor time used so far, by all of its processes."""
        ticks = 0
        for pid in self.pids():
            with contextlib.suppress(FileNotFoundError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pinned(core: str) -> list[str]:
    """What to put before a command, where cores can be chosen."""
    taskset = shutil.which("taskset")
    return [taskset, "-c", core] if taskset and (os.cpu_count() or 1) > 1 else []


def move(pid: int, core: str) -> None:
    """Pin a process that runs already, with all of its threads, where cores can be chosen."""
    if not pinned(core):
        return
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {int(core)})


def _answers(port: int, path: str) -> bool:
    """Whether anything but a failure is answered; made cheaply, as a start is timed by it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return answer.status < 500


@contextlib.contextmanager
def running(
    command: Sequence[str],
    port: int,
    path: str,
    env: Mapping[str, str] | None = None,
    *,
    core: str = SERVER_CORE,
) -> Iterator[Server]:
    """A server until the end of the block; it is there once `path` is answered, and not by a 5xx.

    Raises NotStarted.
    """
    began = time.monotonic()
    process = subprocess.Popen(
        [*pinned(core), *command],
        env={**os.environ, **(env or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not _answers(port, path):
            if time.monotonic() - began > STARTED_S or process.poll() is not None:
                raise NotStarted(f"{Path(command[0]).name} did not start")
            time.sleep(0.005)  # a port that opens tells nobody; STARTED_S bounds it
        yield Server(process, f"http://127.0.0.1:{port}", time.monotonic() - began)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
