"""Where the worker processes of one server count together: a private directory for its life."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from bff.terminal import CommandFailed

VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
"""What prometheus_client looks for when it is imported, which is first done in the workers."""
PREFIX: Final = "bff-metrics-"
STEADY: Final = "steady"
"""Who reads what is counted has a lock of this file, shared: meanwhile nothing is put together."""
_LOCK: Final = "lock"
_COUNTED: Final = ("counter", "histogram")
_ENDED: Final = 0
"""Instead of the id of a process: of all that have ended."""


@contextlib.contextmanager
def counting_together(workers: int) -> Iterator[None]:
    """Within, workers that are started count together. One alone has no need to, unless told.

    The directory is made below the one that VARIABLE names, else where temporary files go. Raises
    CommandFailed where it cannot be made.
    """
    above = os.environ.get(VARIABLE)
    if workers == 1 and above is None:
        yield
        return
    with _directory(Path(above or tempfile.gettempdir())) as made:
        os.environ[VARIABLE] = str(made)
        try:
            yield
        finally:
            if above is None:
                del os.environ[VARIABLE]
            else:
                os.environ[VARIABLE] = above


def forget(workers: Iterable[int]) -> None:
    """These processes have ended: what they measured goes, what they counted is kept in one place.

    Otherwise each that ends would leave files that every scrape has to read.
    """
    directory = os.environ.get(VARIABLE)
    if directory is None:
        return
    # Not before a worker has ended: the server itself has no use for it.
    from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415

    for pid in workers:
        with contextlib.suppress(FileNotFoundError):  # a worker that was asked has done it
            mark_process_dead(pid, directory)  # type: ignore[no-untyped-call]
        with (Path(directory) / STEADY).open("a") as steady:
            fcntl.flock(steady, fcntl.LOCK_EX)
            for kind in _COUNTED:
                _add(Path(directory) / f"{kind}_{pid}.db", Path(directory) / f"{kind}_{_ENDED}.db")


def _add(ended: Path, kept: Path) -> None:
    """Add what is in one file to another, and remove it."""
    from prometheus_client.mmap_dict import MmapedDict  # noqa: PLC0415

    sums: dict[str, float] = {}
    for path in (kept, ended):
        if path.exists() and path.stat().st_size:
            read = MmapedDict.read_all_values_from_file(path)  # type: ignore[no-untyped-call]
            for key, value, *_ in read:
                sums[key] = sums.get(key, 0.0) + value
    new = kept.with_suffix(".new")
    written = MmapedDict(str(new))  # type: ignore[no-untyped-call]
    for key, value in sums.items():
        written.write_value(key, value, 0.0)  # type: ignore[no-untyped-call]
    written.close()  # type: ignore[no-untyped-call]
    new.replace(kept)
    ended.unlink(missing_ok=True)


@contextlib.contextmanager
def _directory(above: Path) -> Iterator[Path]:
    """A new one, locked by this process and its workers for as long as one of them lives."""
    try:
        above.mkdir(parents=True, exist_ok=True)
        _sweep(above)
        made = Path(tempfile.mkdtemp(prefix=PREFIX, dir=above))
        lock = _locked(made)
    except OSError as error:
        raise CommandFailed(
            f"No directory can be made in {above} ({error.strerror}), where the workers are to"
            f" count together: name another with {VARIABLE}."
        ) from None
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        os.close(lock)


def _locked(directory: Path) -> int:
    """Under its name only once it is locked, so that nobody finds it unlocked."""
    unnamed = directory / f"{_LOCK}.new"
    lock = os.open(unnamed, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    unnamed.rename(directory / _LOCK)
    return lock


def _sweep(above: Path) -> None:
    """Remove what servers have left behind that were killed."""
    for left in above.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            lock = os.open(left / _LOCK, os.O_RDWR)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(lock)
