"""A ledger in the hands of a test: it answers what it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from bff.nexudus.budget.ledger import Heard


def answer(
    *,
    usage: Sequence[tuple[int, int]] = (),
    granted: bool | None = True,
    names: Sequence[str] = ("p0",),
    now_s: float = 1_000.0,
    epoch: str = "e1",
    settling_s: float = 0.0,
    paused_s: float = 0.0,
    factor: float = 1.0,
    stretch: float = 1.0,
    asked_at: float = 1_000.0,
) -> Heard:
    """An answer, read."""
    return Heard(
        granted=granted,
        wait_s=0.0,
        writes_only=False,
        share_only=False,
        paused_s=paused_s,
        factor=factor,
        stretch=stretch,
        settling_s=settling_s,
        gap_s=0.1,
        epoch=epoch,
        now_s=now_s,
        usage=tuple(usage),
        processes=tuple(names),
        asked_at=asked_at,
    )


def raw(
    status: int = 1,
    *,
    wait_ms: int = 0,
    writes_only: bool = False,
    share_only: bool = False,
    strangers_only: bool = False,
    paused_ms: int = 0,
    windows: int = 1,
    used: int = 0,
    names: Sequence[str] = ("p0",),
) -> list[Any]:
    """An answer as the script gives it."""
    scope = int(writes_only) + 2 * int(share_only) + 4 * int(strangers_only)
    head = [status, wait_ms, scope, paused_ms, 1000, 1000, 0, 100, b"e1", b"1000000"]
    return [*head, *(used, used) * windows, *(name.encode() for name in names)]


class ScriptedLedger:
    """A `RunScript`; `reply(args)` is what it answers, or raises. Holds while `gate` is closed."""

    def __init__(self, reply: Callable[[Sequence[str | bytes | int]], list[Any]]) -> None:
        self.reply = reply
        self.asked: list[Sequence[str | bytes | int]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(
        self, space: str, script: str, names: Sequence[str], args: Sequence[str | bytes | int]
    ) -> list[Any]:
        self.asked.append(args)
        await self.gate.wait()
        return self.reply(args)

    @property
    def questions(self) -> int:
        """How often a call was asked for, heartbeats apart."""
        return sum(args[1] != -1 for args in self.asked)
