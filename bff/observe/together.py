"""What all processes that share a directory have counted and measured."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from bff.observe.shared_files import STEADY, lose


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
            files = [path for path in self._directory.glob("*_[0-9]*.db") if _size(path)]
            try:
                return _merged(files)
            except Exception:  # whatever it is that a damaged file brings about
                return _merged([path for path in files if _is_readable(path)])

    def _gone(self) -> set[int]:
        """The processes that have gauges, and are no more."""
        owners = {path.stem.rpartition("_")[2] for path in self._directory.glob("gauge_live*_*.db")}
        return {int(pid) for pid in owners if pid.isdecimal() and not _lives(int(pid))}


def _merged(files: Sequence[Path]) -> Iterable[Metric]:
    merged: Iterable[Metric] = MultiProcessCollector.merge(map(str, files))  # type: ignore[no-untyped-call]
    return merged


def _is_readable(path: Path) -> bool:
    """Whether a file can be read on its own. One that is damaged goes."""
    try:
        _merged([path])
    except FileNotFoundError:
        return False
    except OSError:
        raise
    except Exception:
        lose(path)
        return False
    return True


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
