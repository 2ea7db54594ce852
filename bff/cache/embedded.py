"""The in-process store of `embedded://`: fakeredis, made to forget what expired or is too much."""

from __future__ import annotations

from typing import Any

from fakeredis import FakeAsyncRedis, FakeServer
from fakeredis.model import Hash

SWEEP_EVERY = 512
"""Commands between two sweeps."""
MAX_BYTES = 256 * 2**20
"""What all documents take at most; those that would expire first go first."""
_ROOM = 0.75
"""Part that is left after too much was found: it is long until there is too much again."""


class EmbeddedRedis(FakeAsyncRedis):
    """A store of its own per client.

    fakeredis drops an expired key when that key is asked for again, which nobody does for the
    container of a token that is gone: counting the keys drops them all.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._server = FakeServer(version=(7,))
        super().__init__(server=self._server)
        self._max_bytes = max_bytes
        self._commands = 0
        self._sent_bytes = 0

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        self._commands += 1
        self._sent_bytes += sum(len(value) for value in args if isinstance(value, bytes))
        # What is sent is more than what is kept, so it need not be measured before that.
        if self._commands % SWEEP_EVERY == 0 or self._sent_bytes > (1 - _ROOM) * self._max_bytes:
            await self._sweep()
        return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    async def _sweep(self) -> None:
        self._sent_bytes = 0
        await super().execute_command("DBSIZE")  # type: ignore[no-untyped-call]
        held = [
            (item.expireat, key, sum(len(f) + len(v) for f, v in item.value.items()))
            for key, item in self._server.dbs[0].items()
            if isinstance(item.value, Hash) and item.expireat is not None
        ]
        total = sum(size for _, _, size in held)
        if total <= self._max_bytes:
            return
        for _, key, size in sorted(held):
            if total <= _ROOM * self._max_bytes:
                break
            await super().execute_command("DEL", key)  # type: ignore[no-untyped-call]
            total -= size
