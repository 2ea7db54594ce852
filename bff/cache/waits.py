"""The flights of this process that wait for another's, and what they are told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from bff.cache.endings import Ending

ANYBODY = ""
"""In the place of an owner: whoever is waited for."""


class Wait:
    """What one flight is told. It may be told of an owner before it learns that it waits for it."""

    def __init__(self) -> None:
        self._endings: dict[str, Ending] = {}
        self._changed = asyncio.Event()

    def tell(self, owner: str, ending: Ending) -> None:
        """The flight of `owner` has ended."""
        self._endings[owner] = ending
        self._changed.set()

    async def ended(self, owner: str) -> Ending:
        """Returns once it is told of `owner`, which may have happened already."""
        while True:
            for known in (owner, ANYBODY):
                if known in self._endings:
                    return self._endings[known]
            self._changed.clear()
            await self._changed.wait()


class Waits:
    """By space and key of what is waited for."""

    def __init__(self) -> None:
        # In the order in which they came, not of a set: who is told first is then no chance.
        self._waits: dict[tuple[str, str], dict[Wait, None]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._waits.values()))

    @contextlib.contextmanager
    def wait(self, space: str, key: str) -> Iterator[Wait]:
        """A wait that is told what is said within the block."""
        waits, wait = self._waits.setdefault((space, key), {}), Wait()
        waits[wait] = None
        try:
            yield wait
        finally:
            del waits[wait]
            if not waits:
                self._waits.pop((space, key), None)

    def tell(self, space: str, key: str, owner: str, ending: Ending) -> None:
        """Everybody who waits for that owner."""
        for wait in self._waits.get((space, key), ()):
            wait.tell(owner, ending)

    def tell_all(self, ending: Ending) -> None:
        """Everybody, whomever they wait for."""
        for waits in self._waits.values():
            for wait in waits:
                wait.tell(ANYBODY, ending)
