"""Calls of one script that are made in one turn of the event loop are one command.

Each has its keys, its arguments and its answer, as if it were alone: that nothing comes between two
of them is all that they have to do with each other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bff.errors import StoreUnavailable

MOST: Final = 64
"""Calls in one command; nobody else is answered by Redis meanwhile."""

Argument = str | bytes | int
Answers = asyncio.Future[list[Any]]
"""To all calls of one command, in order."""


@dataclass(slots=True)
class _Batch:
    """Of one space. `sizes`: see `each.lua`."""

    answers: Answers = field(init=False)
    calls: int = 0
    keys: list[str] = field(default_factory=list)
    args: list[bytes] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def add(self, keys: Sequence[str], args: Sequence[Argument]) -> int:
        """One more; returns the place of its answer."""
        packed = [arg if isinstance(arg, bytes) else str(arg).encode() for arg in args]
        self.sizes += (len(keys), len(packed), *map(len, packed))
        self.keys += keys
        self.args += packed
        self.calls += 1
        return self.calls - 1


class Joint:
    """One script. `send(keys, args)` asks the server; `run` makes a task of that, and keeps it."""

    def __init__(
        self,
        send: Callable[[Sequence[str], Sequence[Argument]], Awaitable[object]],
        run: Callable[[Coroutine[Any, Any, list[Any]]], Answers],
    ) -> None:
        self._send = send
        self._run = run
        self._gathering: dict[str, _Batch] = {}

    def call(
        self, space: str, keys: Sequence[str], args: Sequence[Argument]
    ) -> tuple[Answers, int]:
        """The answers to the command that it goes out with, and the place of its own."""
        batch = self._gathering.get(space)
        if batch is None or batch.calls >= MOST:
            batch = self._gathering[space] = _Batch()
            batch.answers = self._run(self._sent(space, batch))
        return batch.answers, batch.add(keys, args)

    async def _sent(self, space: str, batch: _Batch) -> list[Any]:
        if self._gathering.get(space) is batch:
            del self._gathering[space]
        # As one argument: the client takes longer for several than to join them.
        sizes, args = " ".join(map(str, batch.sizes)), b"".join(batch.args)
        answers = await self._send(batch.keys, [sizes, args])
        if not isinstance(answers, list) or len(answers) != batch.calls:
            raise StoreUnavailable("the store gave other answers than it was asked for")
        return answers
