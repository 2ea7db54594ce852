"""Where the worker processes of one server count together: a private directory for its life."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import structlog

from bff.observe.shared_files import DIRECTORY, STEADY, lose, reserve
from bff.terminal import CommandFailed

log = structlog.get_logger("bff.metrics")

PREFIX: Final = "bff-metrics-"
_LOCK: Final = "lock"
_COUNTED: Final = ("counter", "histogram")
_ENDED: Final = 0
"""Instead of the id of a process: of all that have ended."""
_HEAD_BYTES: Final = 8
_ENTRY_BYTES: Final = 4 + 12 + 16
"""Of an entry besides its key, at most: a length, padding, a value and a time."""


@contextlib.contextmanager
def counting_together(workers: int) -> Iterator[None]:
    """Within, workers that are started count together. One alone has no need to, unless told.

    The directory is made below the one that DIRECTORY names, else where temporary files go. Raises
    CommandFailed where it cannot be made.
    """
    above = os.environ.get(DIRECTORY)
    if workers == 1 and above is None:
        yield
        return
    with _directory(Path(above or tempfile.gettempdir())) as made:
        os.environ[DIRECTORY] = str(made)
        try:
            yield
        finally:
            if above is None:
                del os.environ[DIRECTORY]
            else:
                os.environ[DIRECTORY] = above


def forget(workers: Iterable[int]) -> None:
    """These processes have ended: what they measured goes, what they counted is kept in one place.

    Otherwise each that ends would leave files that every scrape has to read. Raises nothing: what
    cannot be put together stays where it is, and what cannot be read goes.
    """
    directory = os.environ.get(DIRECTORY)
    if directory is None:
        return
    for pid in workers:
        try:
            _put_together(Path(directory), pid)
        except Exception:  # whatever it is: who calls replaces workers, and has to go on
            log.exception("counts_apart", pid=pid)


def _put_together(directory: Path, pid: int) -> None:
    # Not before a worker has ended: the server itself has no use for it.
    from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415

    with contextlib.suppress(FileNotFoundError):  # a worker that was asked has done it
        mark_process_dead(pid, str(directory))  # type: ignore[no-untyped-call]
    with (directory / STEADY).open("a") as steady:
        fcntl.flock(steady, fcntl.LOCK_EX)
        for kind in _COUNTED:
            _add(directory, kind, pid)


def _add(directory: Path, kind: str, pid: int) -> None:
    """Add what one that ended counted to what all that ended did. OSError: all is as it was."""
    from prometheus_client.mmap_dict import MmapedDict  # noqa: PLC0415

    sums: dict[str, float] = {}
    for owner in (_ENDED, pid):
        for key, value in _counted(directory / f"{kind}_{owner}.db").items():
            sums[key] = sums.get(key, 0.0) + value
    kept = directory / f"{kind}_{_ENDED}.db"
    new = kept.with_suffix(".new")
    try:
        new.unlink(missing_ok=True)
        reserve(new, _HEAD_BYTES + sum(len(key.encode()) + _ENTRY_BYTES for key in sums))
        written = MmapedDict(str(new))  # type: ignore[no-untyped-call]
        for key, value in sums.items():
            written.write_value(key, value, 0.0)  # type: ignore[no-untyped-call]
        written.close()  # type: ignore[no-untyped-call]
        new.replace(kept)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    (directory / f"{kind}_{pid}.db").unlink(missing_ok=True)


def _counted(path: Path) -> dict[str, float]:
    """What a file holds. One that is damaged goes."""
    from prometheus_client.mmap_dict import MmapedDict  # noqa: PLC0415

    if not path.exists() or not path.stat().st_size:
        return {}
    try:
        read = MmapedDict.read_all_values_from_file(path)  # type: ignore[no-untyped-call]
        found: dict[str, float] = {key: value for key, value, *_ in read}
        for key in found:
            _name, _sample, _labels, _help = json.loads(key)
    except OSError:
        raise
    except Exception:
        lose(path)
        return {}
    return found


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
            f" count together: name another with {DIRECTORY}."
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
