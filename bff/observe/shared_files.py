"""The files in which processes count together: room on the disk for them, and what is damaged.

Without prometheus_client, which looks at DIRECTORY when it is imported: a server knows of these
files before its workers do.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from pathlib import Path
from struct import unpack
from typing import Final

import structlog

log = structlog.get_logger("bff.metrics")

DIRECTORY: Final = "PROMETHEUS_MULTIPROC_DIR"
"""What prometheus_client looks for when it is imported, which is first done in the workers."""
STEADY: Final = "steady"
"""Who reads what is counted has a lock of this file, shared: meanwhile nothing is put together."""

# A worker has five files, 1.25 MiB: eight workers and what ended ones counted are a fifth of the
# 64 MiB that deploy/ gives. 50 histograms of 18 values each fit into one, or 800 counters; from
# there on it is doubled, so that no file has more than twice what it needs.
START_BYTES: Final = 2**18
SERIES_BYTES: Final = 2**15
"""More than one series ever takes: a histogram of 18 values, with 1.8 KB for names and help."""
_CANNOT: Final = frozenset((errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS))
"""Of a file system that sets nothing aside."""


def make_room(path: Path) -> None:
    """Room for one more series in a file of prometheus_client, before that needs it.

    Raises OSError where there is none.
    """
    # It doubles a full file by itself, to this very size, which then is there already.
    with path.open("ab+") as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            reserve(path, START_BYTES)
        elif unpack("i", os.pread(file.fileno(), 4, 0))[0] + SERIES_BYTES > size:
            reserve(path, size * 2)


def reserve(path: Path, size: int) -> None:
    """Make a file `size` bytes long, with room set aside for them (on Linux). OSError: no room.

    prometheus_client maps files with holes into memory. A hole that is written while the disk is
    full is no error that could be handled, but the end of the process (SIGBUS).
    """
    if sys.platform != "linux":
        return
    with path.open("ab") as file:
        before = os.fstat(file.fileno()).st_size
        try:
            os.posix_fallocate(file.fileno(), before, size - before)
        except OSError as error:
            # What it has got so far would pass for room.
            os.ftruncate(file.fileno(), before)
            if error.errno not in _CANNOT:
                raise


def lose(path: Path) -> None:
    """A damaged file goes: no scrape would succeed while it is there. To be called where it failed.

    Its process, if it lives, goes on counting into what has no name any more: it is left out.
    """
    with contextlib.suppress(FileNotFoundError):  # another process was faster, and has said so
        path.unlink()
        log.exception("counts_lost", pid=int(path.stem.rpartition("_")[2]))
