"""Time that passes only when nothing is left to do: an event loop that jumps to its next timer.

Whoever runs in it may open neither sockets nor threads: nothing but timers can wake it.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import sys
import time
from collections.abc import Coroutine, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

T = TypeVar("T")

_FAKEREDIS: Final = "fakeredis"
_MEASURES_WORK: Final = "bff.cache.patience"


class DeadlockError(RuntimeError):
    """Every task waits for another one, and no timer is set."""


class _Jumps(selectors.BaseSelector):
    """Never looks at a file: waiting for `timeout` seconds is moving on by as much."""

    def __init__(self) -> None:
        self.now = 0.0
        self._keys: dict[FileDescriptorLike, selectors.SelectorKey] = {}

    def register(
        self, fileobj: FileDescriptorLike, events: int, data: Any = None
    ) -> selectors.SelectorKey:
        """The loop's own pipe, by which threads would wake it."""
        number = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        key = selectors.SelectorKey(fileobj, number, events, data)
        self._keys[fileobj] = key
        return key

    def unregister(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise DeadlockError("nothing is left to wait for")
        self.now += timeout
        return []

    def get_map(self) -> Mapping[FileDescriptorLike, selectors.SelectorKey]:
        return self._keys


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` begins at 0 and counts virtual seconds."""

    def __init__(self) -> None:
        self._jumps = _Jumps()
        super().__init__(self._jumps)

    def time(self) -> float:
        return self._jumps.now


class VirtualClock:
    """A `Clock` of the running loop; wall time is `epoch` (UTC seconds) when the loop begins."""

    def __init__(self, epoch: float) -> None:
        self._epoch = epoch

    def wall(self) -> float:
        return self._epoch + asyncio.get_running_loop().time()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)


class _Time:
    """What takes the place of the module `time`: computing takes none."""

    def __init__(self, clock: VirtualClock) -> None:
        self.time = clock.wall
        self.monotonic = clock.monotonic

    def thread_time(self) -> float:
        return 0.0


@contextlib.contextmanager
def machine_time_replaced(clock: VirtualClock) -> Iterator[None]:
    """Lets who asks the module `time`, rather than a `Clock`, follow `clock` too.

    Those are fakeredis, for TIME and the expiry of keys, and our measure of the loop's own work.
    """
    asking = [
        module
        for name, module in sorted(sys.modules.items())
        if (name == _MEASURES_WORK or name.partition(".")[0] == _FAKEREDIS)
        and getattr(module, "time", None) is time
    ]
    if not any(module.__name__.startswith(_FAKEREDIS) for module in asking):
        raise RuntimeError("fakeredis asks for the time in another way than it did")
    try:
        for module in asking:
            module.__dict__["time"] = _Time(clock)
        yield
    finally:
        for module in asking:
            module.__dict__["time"] = time


def play(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
