"""Deliveries that are proven and not applied yet: those that come together are applied together."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable, Iterable
from contextvars import Context
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from bff.clock import Clock
from bff.errors import Overloaded, StoreUnavailable
from bff.hooks.events import MAX_ITEMS, Affected

T = TypeVar("T")

Digests: TypeAlias = frozenset[str]
Applied: TypeAlias = Callable[[str, Digests], Awaitable[Digests]]
Remember: TypeAlias = Callable[[str, Digests], Awaitable[None]]
Invalidate: TypeAlias = Callable[[str, Affected], Awaitable[None]]
Report: TypeAlias = Callable[[str, Affected, Exception], None]


@dataclass(frozen=True, slots=True)
class Effects:
    """What a delivery needs done; `digests` name deliveries of a space.

    `applied(space, digests)`: those of them that were. `remember(space, digests)`: that they are.
    `invalidate(space, affected)` must bear repetition: it comes before anything is remembered.
    `report(space, affected, error)` hears what was given up, and must not raise.
    """

    applied: Applied
    remember: Remember
    invalidate: Invalidate
    report: Report


@dataclass(frozen=True, slots=True)
class DeliveryLimits:
    """`waiting`: deliveries of one space that are not applied, at most; `together`: by one
    invalidation, of `ids` at most unless one delivery alone has more. An attempt takes
    `attempt_timeout_s`, and is repeated after each of `retry_delays_s`.
    """

    waiting: int = 1_024
    together: int = 256
    ids: int = 2 * MAX_ITEMS
    attempt_timeout_s: float = 5.0
    retry_delays_s: tuple[float, ...] = (0.2, 1.0, 3.0)


class Outcome(enum.Enum):
    """What became of a delivery."""

    APPLIED = "applied"
    BEFORE = "applied before"
    FAILED = "given up"


@dataclass(slots=True, eq=False)
class _Delivery:
    affected: Affected
    outcome: asyncio.Future[Outcome]


_Batch: TypeAlias = dict[str, _Delivery]
"""Deliveries by digest."""


@dataclass(slots=True)
class _Line:
    """Of one space, in the order of arrival; `work` ends when nothing waits."""

    waiting: _Batch = field(default_factory=dict)
    work: asyncio.Task[None] | None = None


class Deliveries:
    """Each space has one invalidation under way; what comes meanwhile goes into the next one."""

    def __init__(self, effects: Effects, clock: Clock, limits: DeliveryLimits) -> None:
        self._effects = effects
        self._clock = clock
        self._limits = limits
        self._lines: dict[str, _Line] = {}

    def add(self, space: str, digest: str, affected: Affected) -> asyncio.Future[Outcome]:
        """What becomes of it, whether its sender waits or not; of equal ones that wait, the same.

        Cancelled if that will never be known. Raises Overloaded where too many wait.
        """
        line = self._lines.setdefault(space, _Line())
        if (same := line.waiting.get(digest)) is not None:
            return same.outcome
        if len(line.waiting) >= self._limits.waiting:
            raise Overloaded("too many webhooks at once: deliver this one again", retry_after_s=1)
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        line.waiting[digest] = _Delivery(affected, outcome)
        if line.work is None:
            # Of no request: what is applied here belongs to several.
            line.work = asyncio.create_task(
                self._work(space, line), name="webhooks", context=Context()
            )
        return outcome

    async def aclose(self) -> None:
        """Wait until everything that was added is applied or given up; may be repeated."""
        works = [line.work for line in self._lines.values() if line.work is not None]
        if works:
            await asyncio.wait(works)

    async def _work(self, space: str, line: _Line) -> None:
        batch: _Batch = {}
        try:
            while line.waiting:
                batch = self._taken(line.waiting)
                await self._settle(space, batch)
        finally:
            del self._lines[space]
            for each in (*batch.values(), *line.waiting.values()):
                each.outcome.cancel()

    def _taken(self, waiting: _Batch) -> _Batch:
        batch: _Batch = {}
        ids = 0
        for digest, each in waiting.items():
            ids += len(each.affected.users) + len(each.affected.coworkers)
            if batch and (len(batch) == self._limits.together or ids > self._limits.ids):
                break
            batch[digest] = each
        for digest in batch:
            del waiting[digest]
        return batch

    async def _settle(self, space: str, batch: _Batch) -> None:
        before = await self._applied(space, batch)
        fresh = {digest: each for digest, each in batch.items() if digest not in before}
        affected = _union(each.affected for each in fresh.values())
        is_done = affected.empty or await self._invalidate(space, affected)
        if is_done and fresh:
            await self._remember(space, fresh.keys(), affected)
        for digest, each in batch.items():
            if not each.outcome.done():
                ended = Outcome.APPLIED if is_done else Outcome.FAILED
                each.outcome.set_result(Outcome.BEFORE if digest in before else ended)

    async def _applied(self, space: str, batch: _Batch) -> Digests:
        # Without a memory every delivery is the first: a replay can only invalidate again.
        affected = _union(each.affected for each in batch.values())
        call = self._effects.applied(space, frozenset(batch))
        return await self._of_memory(call, space, affected) or frozenset()

    async def _remember(self, space: str, digests: Iterable[str], affected: Affected) -> None:
        # Last of all: what was remembered and then lost would be taken for a replay.
        call = self._effects.remember(space, frozenset(digests))
        await self._of_memory(call, space, affected)

    async def _of_memory(self, call: Awaitable[T], space: str, affected: Affected) -> T | None:
        try:
            async with asyncio.timeout(self._limits.attempt_timeout_s):
                return await call
        except StoreUnavailable:
            return None
        except Exception as error:
            self._effects.report(space, affected, error)
            return None

    async def _invalidate(self, space: str, affected: Affected) -> bool:
        delays = iter(self._limits.retry_delays_s)
        while True:
            try:
                async with asyncio.timeout(self._limits.attempt_timeout_s):
                    await self._effects.invalidate(space, affected)
            except Exception as error:
                delay_s = next(delays, None)
                if delay_s is None:
                    self._effects.report(space, affected, error)
                    return False
            else:
                return True
            await self._clock.sleep(delay_s)


def _union(each_affects: Iterable[Affected]) -> Affected:
    all_of_them = tuple(each_affects)
    return Affected(
        frozenset().union(*(each.users for each in all_of_them)),
        frozenset().union(*(each.coworkers for each in all_of_them)),
        all(each.understood for each in all_of_them),
    )
