"""Numbers in a file that prometheus_client reads and made room for, added to in place."""

from __future__ import annotations

import mmap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from prometheus_client.mmap_dict import MmapedDict

_NUMBER_BYTES: Final = 8


class InPlace:
    """Of one file that this process alone writes.

    prometheus_client's own addition takes some times as long, since it asks for the process id and
    writes a time as well: too long for what every answer does.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._numbers = memoryview(b"").cast("d")

    def adder(self, key: str) -> Callable[[float], None]:
        """Adds to the number under `key`, for any thread; from now on nothing else may.

        Raises LookupError where the file has none, and OSError.
        """
        found = MmapedDict.read_all_values_from_file(self._path)  # type: ignore[no-untyped-call]
        at = next((place for each, *_, place in found if each == key), None)
        if at is None:
            raise LookupError(key)
        if at >= self._numbers.nbytes:  # the file has grown; what was mapped before stays good
            with self._path.open("r+b") as file:
                self._numbers = memoryview(mmap.mmap(file.fileno(), 0)).cast("d")
        numbers, index, lock = self._numbers, at // _NUMBER_BYTES, self._lock

        def add(by: float) -> None:
            # One store of eight bytes: who reads meanwhile finds the old number or the new one.
            with lock:
                numbers[index] += by

        return add
