"""One run of wrk: how many answers a second, how long they took, and that all were right."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.bench.stage import LOAD_CORE, pinned

CONNECTIONS: Final = 32
_PREFIXES: Final = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_UNITS: Final = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 60e3}


@dataclass(frozen=True, slots=True)
class Run:
    """`per_second` answers of `bytes_each`; percentiles in ms; `told`: a script's words by name."""

    per_second: float
    requests: int
    bytes_each: float
    p50_ms: float
    p99_ms: float
    told: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Load:
    """What to ask for. `script`: Lua that makes each request, for what differs between them.

    `least_bytes`, `most_bytes`: of an answer with its head, on average; others are not right ones.
    """

    url: str
    headers: Mapping[str, str]
    seconds: int = 4
    connections: int = CONNECTIONS
    script: Path | None = None
    arguments: Callable[[], Sequence[str]] = tuple
    least_bytes: float = 0
    most_bytes: float = math.inf

    def run(self) -> Run:
        """Raises RuntimeError if an answer is wrong or none came."""
        program = shutil.which("wrk")
        if program is None:
            raise RuntimeError("wrk is not installed: nothing can be measured without it")
        command = [
            *pinned(LOAD_CORE), program, "-t1", f"-c{self.connections}",
            f"-d{self.seconds}s", "--latency", "--timeout", "20s",
        ]  # fmt: skip
        if self.script is not None:
            command += ["-s", str(self.script)]
        for name, value in self.headers.items():
            command += ["-H", f"{name}: {value}"]
        arguments = self.arguments()
        command += [self.url, *(("--", *arguments) if arguments else ())]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        run = read(done.stdout)
        if not self.least_bytes <= run.bytes_each <= self.most_bytes:
            raise RuntimeError(
                f"answers of {run.bytes_each:.0f} bytes are not whole\n{done.stdout}"
            )
        return run


def read(text: str) -> Run:
    """What wrk printed. Raises RuntimeError where not all was well."""
    rate = re.search(r"Requests/sec:\s+([0-9.]+)", text)
    total = re.search(r"(\d+) requests in \S+, ([0-9.]+)([KMGT]?)B read", text)
    errors = re.search(
        r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text
    )
    if (
        rate is None
        or total is None
        or int(total[1]) == 0
        or "Non-2xx" in text
        or (errors and any(map(int, errors.groups())))
    ):
        raise RuntimeError(text)
    return Run(
        float(rate[1]),
        int(total[1]),
        float(total[2]) * _PREFIXES[total[3]] / int(total[1]),
        _percentile(text, 50),
        _percentile(text, 99),
        dict(re.findall(r"^told (\w+): ?(.*)$", text, re.MULTILINE)),
    )


def _percentile(text: str, percent: int) -> float:
    found = re.search(rf"^\s+{percent}%\s+([0-9.]+)(us|ms|s|m)\s*$", text, re.MULTILINE)
    if found is None:
        raise RuntimeError(text)
    return float(found[1]) * _UNITS[found[2]]
