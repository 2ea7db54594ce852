"""One run of wrk: how many answers a second, how long they took, and that all were right."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.stage import LOAD_CORE, pinned

CONNECTIONS: Final = 32
_UNITS: Final = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 60e3}


@dataclass(frozen=True, slots=True)
class Run:
    """`per_second` answers; percentiles in ms; `told`: lines that a script printed."""

    per_second: float
    requests: int
    p50_ms: float
    p99_ms: float
    told: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Load:
    """What to ask for. `script`: Lua that makes each request, for what differs between them.

    `allows`: whether answers other than 2xx and 3xx are right.
    """

    url: str
    headers: Mapping[str, str]
    seconds: float = 4
    connections: int = CONNECTIONS
    script: Path | None = None
    arguments: Sequence[str] = ()

    def run(self) -> Run:
        """Raises RuntimeError if an answer is wrong or none came."""
        program = shutil.which("wrk")
        assert program is not None
        command = [
            *pinned(LOAD_CORE), program, "-t1", f"-c{self.connections}",
            f"-d{self.seconds:g}s", "--latency", "--timeout", "20s",
        ]  # fmt: skip
        if self.script is not None:
            command += ["-s", str(self.script)]
        for name, value in self.headers.items():
            command += ["-H", f"{name}: {value}"]
        command += [self.url, *(("--", *self.arguments) if self.arguments else ())]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return read(done.stdout)


def read(text: str) -> Run:
    """What wrk printed. Raises RuntimeError where not all was well."""
    rate = re.search(r"Requests/sec:\s+([0-9.]+)", text)
    total = re.search(r"(\d+) requests in", text)
    errors = re.search(
        r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text
    )
    if (
        rate is None
        or total is None
        or "Non-2xx" in text
        or (errors and any(map(int, errors.groups())))
    ):
        raise RuntimeError(text)
    return Run(
        float(rate[1]),
        int(total[1]),
        _percentile(text, 50),
        _percentile(text, 99),
        tuple(line[6:] for line in text.splitlines() if line.startswith("told: ")),
    )


def _percentile(text: str, percent: int) -> float:
    found = re.search(rf"^\s+{percent}%\s+([0-9.]+)(us|ms|s|m)\s*$", text, re.MULTILINE)
    if found is None:
        raise RuntimeError(text)
    return float(found[1]) * _UNITS[found[2]]
