"""What all processes that share a directory have counted and measured."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from bff.observe.shared_files import STEADY


class Together(Collector):
    """What all processes have written into a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def collect(self) -> Iterable[Metric]:
        for pid in self._gone():
            with suppress(FileNotFoundError):  # another process was faster
                mark_process_dead(pid, str(self._directory))  # type: ignore[no-untyped-call]
        with (self._directory / STEADY).open("a") as steady:
            fcntl.flock(steady, fcntl.LOCK_SH)
            # One that is being made is empty for a moment, and cannot be read.
            files = [str(path) for path in self._directory.glob("*.db") if _size(path)]
            merged: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
            return merged

    def _gone(self) -> set[int]:
        """The processes that have gauges, and are no more."""
        owners = {path.stem.rpartition("_")[2] for path in self._directory.glob("gauge_live*_*.db")}
        return {int(pid) for pid in owners if pid.isdecimal() and not _lives(int(pid))}


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
