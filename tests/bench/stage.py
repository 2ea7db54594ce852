"""Servers of a benchmark: started pinned to a core, waited for, ended; all on loopback."""

from __future__ import annotations

import contextlib
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

import httpx

SERVER_CORE: Final = "0"
LOAD_CORE: Final = "1"
BFF: Final = (sys.executable, "-m", "bff")
STARTED_S: Final = 30.0


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

    def resident_bytes(self, pid: int) -> int:
        """Memory of one process."""
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
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


@contextlib.contextmanager
def running(
    command: Sequence[str],
    port: int,
    path: str,
    env: Mapping[str, str] | None = None,
    *,
    core: str = SERVER_CORE,
) -> Iterator[Server]:
    """A server until the end of the block; it is there once `path` is answered at all."""
    began = time.monotonic()
    process = subprocess.Popen(
        [*pinned(core), *command],
        env={**os.environ, **(env or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    origin = f"http://127.0.0.1:{port}"
    try:
        while True:
            try:
                with httpx.stream("GET", origin + path, timeout=1, trust_env=False):
                    break
            except httpx.TransportError:
                if time.monotonic() - began > STARTED_S or process.poll() is not None:
                    raise RuntimeError(f"{' '.join(command[:4])} did not start") from None
                time.sleep(0.005)
        yield Server(process, origin, time.monotonic() - began)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
