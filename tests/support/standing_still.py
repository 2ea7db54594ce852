"""When something stood still: a busy machine lets it, and then what it does comes too late."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from time import monotonic
from typing import Final

from bff.cache.tasks import end

_TICK_S: Final = 0.002


@asynccontextmanager
async def stood_still(longer_than_s: float) -> AsyncIterator[list[float]]:
    """For how many seconds, each time that the running loop did so for longer than that."""
    found: list[float] = []

    async def look() -> None:
        while True:
            began = monotonic()
            await asyncio.sleep(_TICK_S)
            late_s = monotonic() - began - _TICK_S
            if late_s > longer_than_s:
                found.append(late_s)

    looking = asyncio.create_task(look(), name="looks at the time")
    try:
        yield found
    finally:
        await end([looking])


_WATCH: Final = """
import sys, time
while True:
    began = time.monotonic()
    time.sleep(0.002)
    if time.monotonic() - began - 0.002 > float(sys.argv[1]):
        print("late", flush=True)
"""


@contextmanager
def processes_stood_still(longer_than_s: float, folder: Path) -> Iterator[Callable[[], int]]:
    """How often the machine let a process wait for so long that had next to nothing to do.

    Nobody's own work counts, unlike with a loop.
    """
    told = folder / "stood-still"
    with told.open("wb") as file:
        command = [sys.executable, "-S", "-c", _WATCH, str(longer_than_s)]
        watch = subprocess.Popen(command, stdout=file)
    try:
        yield lambda: len(told.read_bytes().splitlines())
    finally:
        watch.kill()
        watch.wait()
