"""The accounts that all processes share: one script, what it is asked and what it answers."""

from __future__ import annotations

import enum
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

from bff.errors import StoreUnavailable
from bff.nexudus.budget.contract import Priority
from bff.nexudus.budget.windows import HOLD_S, Shares, Tally, Window

RunScript = Callable[[str, str, Sequence[str], Sequence[str | bytes | int]], Awaitable[list[Any]]]
"""`(space, script, names of keys, arguments)`; raises StoreUnavailable."""

NAMES: Final = ("budget", "budget:live", "budget:waits0", "budget:waits1", "budget:waits2")
NOBODY: Final = -1
LEAVING: Final = -2
_HOLD_MS: Final = round(HOLD_S * 1000)
VALID_S: Final = 0.25
"""A question that the ledger hears later is ignored: whoever asked has stopped waiting."""
_FIXED: Final = 10


@dataclass(frozen=True, slots=True)
class Asking:
    """The call that is asked for; `waiting`: other reads here, of all but the lowest priority.

    Writes are not told of: they may wait for limits of their own, for which nobody need yield.
    """

    priority: Priority
    write: bool
    patience_s: float
    waiting: tuple[int, ...]


class Fate(enum.IntEnum):
    """What became of a call that was granted."""

    SENT = 0
    ACCEPTED = 1
    """Nexudus knows its token."""
    RETURNED = 2
    """It was not sent in time: the place is free."""


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a call at `at` (monotonic). `held_ms`: what the ledger knows it by."""

    epoch: str
    held_ms: int
    write: bool
    at: float
    fate: Fate = Fate.SENT


@dataclass(frozen=True, slots=True)
class Account:
    """What is told of one window: calls granted here, and all that is known of a lost epoch.

    `ever`: how many calls of the known epoch this process had heard of.
    """

    granted: Tally
    seed: Tally
    ever: int


@dataclass(frozen=True, slots=True)
class Told:
    """What a process says of itself. `seeds_for`: the new epoch that lacks what it knows, if any.

    `paused_s`, `factor` and `stretch`: what it saw of Nexudus and has not told yet; 0 and 1 else.
    """

    away_s: float
    epoch: str
    seeds_for: str
    paused_s: float
    factor: float
    accounts: tuple[Account, ...]
    stretch: float = 1.0
    reports: tuple[Report, ...] = ()
    ledger_s: float | None = None
    """The ledger's own time, if known."""


@dataclass(frozen=True, slots=True)
class Heard:
    """The answer, but for TooLate. `usage`: calls that count and calls ever counted, by window.

    `granted` is None where each process is to use its own share, for `settling_s` from now.
    `writes_only`, `share_only` and `strangers_only`: as in `verdict.Verdict`.
    `asked_at`: monotonic seconds. `gap_s`: since the grant before. `paused_s`: negative when over.
    """

    granted: bool | None
    wait_s: float
    writes_only: bool
    share_only: bool
    paused_s: float
    factor: float
    stretch: float
    settling_s: float
    gap_s: float
    epoch: str
    now_s: float
    usage: tuple[tuple[int, int], ...]
    processes: tuple[str, ...]
    asked_at: float = 0.0
    strangers_only: bool = False


class TooLate(StoreUnavailable):
    """The ledger hung, and nothing was done; `now_s` is its own time."""

    def __init__(self, now_s: float) -> None:
        super().__init__("the store answered too late")
        self.now_s = now_s


class Ledger:
    """The door to the accounts for one process."""

    def __init__(
        self,
        run: RunScript,
        process: str,
        windows: tuple[Window, ...],
        shares: Shares,
    ) -> None:
        self._run = run
        self.process = process
        self.windows = windows
        self.shares = shares
        self._script = (resources.files("bff.nexudus.budget") / "ledger.lua").read_text()

    async def ask(
        self, space: str, asking: Asking | None, told: Told, now: float, *, leaving: bool = False
    ) -> Heard:
        """One call of the script; raises StoreUnavailable. `now`: what ages are counted from."""
        arguments: list[str | bytes | int] = [*self._head(asking, told)]
        if leaving:
            arguments[1] = LEAVING
        arguments += self._windows(told)
        for report in told.reports:
            ago = max(0, math.floor((now - report.at) * 1000))
            arguments += [report.held_ms, report.write + 2 * report.fate, ago]
        arguments += entries(told.accounts, now)
        answer = await self._run(space, self._script, NAMES, arguments)
        try:
            return heard(answer, len(self.windows), now)
        except (TypeError, ValueError, IndexError, AttributeError) as error:
            raise StoreUnavailable("the store gave another answer than the script's") from error

    def _head(self, asking: Asking | None, told: Told) -> Iterator[str | int]:
        yield self.process
        yield NOBODY if asking is None else int(asking.priority)
        yield 0 if asking is None else int(asking.write)
        yield 0 if asking is None else int(asking.patience_s * 1000)
        yield from (0, 0, 0) if asking is None else asking.waiting
        yield int(told.away_s * 1000)
        yield told.epoch
        yield told.seeds_for
        yield math.ceil(told.paused_s * 1000)
        yield math.floor(told.factor * 1000)
        yield math.ceil(told.stretch * 1000)
        yield 0 if told.ledger_s is None else int((told.ledger_s + VALID_S) * 1000)
        yield _HOLD_MS
        yield len(self.windows)
        yield len(told.reports)
        parts = (*(self.shares.of(each) for each in Priority), self.shares.stranger)
        yield from (math.floor(part * 1000 + 1e-6) for part in parts)

    def _windows(self, told: Told) -> Iterator[str | int]:
        for window, account in zip(self.windows, told.accounts, strict=True):
            length = math.ceil(window.limit.window_s * 1000)
            yield name(window)
            yield int(window.writes_only)
            yield math.ceil(window.bucket_s * 1000)
            yield length
            yield math.ceil(window.kept_for_s * 1000)
            yield window.limit.calls
            yield account.ever


def name(window: Window) -> str:
    """Of its accounts: processes with other numbers for it, during a deploy, share them."""
    kind = "w" if window.writes_only else "c"
    form = "s" if window.spaced else "b"
    return f"{kind}{form}{math.ceil(window.limit.window_s * 1000)}"


def entries(accounts: Iterable[Account], now: float) -> list[int]:
    """(window, whether a seed, age in ms, calls) in fours; a bucket is as old as its end.

    What was granted just now may still be on its way, and is sent by then at the latest.
    """
    flat: list[int] = []
    for index, account in enumerate(accounts, start=1):
        for is_seed, tally in enumerate((account.granted, account.seed)):
            for end, calls in tally.entries:
                flat += [index, is_seed, max(-_HOLD_MS, math.floor((now - end) * 1000)), calls]
    return flat


def heard(answer: Sequence[Any], windows: int, asked_at: float = 0.0) -> Heard:
    """The script's answer in our terms; raises what its parts raise if it is another."""
    if int(answer[0]) == 3:
        raise TooLate(int(_text(answer[1])) / 1000)
    status, wait, scope, paused, *seen = (int(part) for part in answer[: _FIXED - 2])
    factor, stretch, settling, gap = seen
    epoch, now = (_text(part) for part in answer[_FIXED - 2 : _FIXED])
    numbers = [int(part) for part in answer[_FIXED : _FIXED + 2 * windows]]
    usage = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    if len(usage) != windows or status not in (0, 1, 2):
        raise ValueError("another answer")
    return Heard(
        granted=None if status == 2 else status == 1,
        wait_s=wait / 1000,
        writes_only=scope & 1 == 1,
        share_only=scope & 2 == 2,
        strangers_only=scope & 4 == 4,
        paused_s=paused / 1000,
        factor=max(1, factor) / 1000,
        stretch=max(1000, stretch) / 1000,
        settling_s=settling / 1000,
        gap_s=gap / 1000,
        epoch=epoch,
        now_s=int(now) / 1000,
        usage=usage,
        processes=tuple(sorted(_text(part) for part in answer[_FIXED + 2 * windows :])),
        asked_at=asked_at,
    )


def _text(part: object) -> str:
    if not isinstance(part, bytes):
        raise TypeError("another answer")
    return part.decode("utf-8", "replace")
