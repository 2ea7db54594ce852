"""What the workers of a fleet hold: memory, open files, sockets. Linux only; elsewhere nothing."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.fleet import Fleet

_RESIDENT = re.compile(r"^VmRSS:\s+(\d+) kB", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Process:
    """One worker. `resident_kib`: memory; `sockets` are among the `files`."""

    gateway: int
    pid: int
    resident_kib: int
    files: int
    sockets: int

    def __str__(self) -> str:
        return (
            f"  gateway {self.gateway}, worker {self.pid}: {self.resident_kib / 1024:.1f} MiB, "
            f"{self.files} files, {self.sockets} of them sockets"
        )


def processes(fleet: Fleet) -> list[Process]:
    """Every worker as it is now."""
    if sys.platform != "linux":
        return []
    return [_seen(each.number, pid) for each in fleet.gateways for pid in each.workers()]


def _seen(gateway: int, pid: int) -> Process:
    place = Path(f"/proc/{pid}")
    found = _RESIDENT.search((place / "status").read_text())
    targets = [str(link.readlink()) for link in (place / "fd").iterdir()]
    sockets = sum(target.startswith("socket:") for target in targets)
    return Process(gateway, pid, int(found[1]) if found else 0, len(targets), sockets)
