"""The in-process store of `embedded://`: fakeredis, made to forget what has expired."""

from __future__ import annotations

from typing import Any

from fakeredis import FakeAsyncRedis, FakeServer

SWEEP_EVERY = 512
"""Commands between two sweeps."""


class EmbeddedRedis(FakeAsyncRedis):
    """A store of its own per client.

    fakeredis drops an expired key when that key is asked for again, which nobody does for the
    container of a token that is gone: counting the keys drops them all.
    """

    def __init__(self) -> None:
        super().__init__(server=FakeServer(version=(7,)))
        self._commands = 0

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        self._commands += 1
        if self._commands % SWEEP_EVERY == 0:
            await super().execute_command("DBSIZE")  # type: ignore[no-untyped-call]
        return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
