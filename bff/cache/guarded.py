"""Redis as an accelerator: after a few failures nobody waits for it until it answers again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from bff.cache import patience
from bff.cache.keys import Container
from bff.cache.lineage import Step
from bff.cache.patience import OutOfPatience, Unanswered
from bff.cache.store import Invalidated, Loaded, Put, Refused, Release, Store
from bff.cache.tasks import end
from bff.cache.together import Together, Wants
from bff.clock import Clock
from bff.errors import StoreUnavailable

log = structlog.get_logger("bff.cache")

T = TypeVar("T")

FAILURES_TO_OPEN = 3
PROBE_S = 0.25
CONCURRENT = 32
"""Calls under way at once. What more there is waits its turn here: the time that a burst of calls
spends on this process's own event loop must not count as the store's."""


@dataclass(frozen=True, slots=True)
class StoreObserver:
    """What metrics and operators hear of the store: operations by the names of a `Store`'s methods.

    `answered`: after how many seconds. `failed`: not, or with a failure. `turned`: whether it is
    used from now on, and why not.
    """

    answered: Callable[[str, float], None] = lambda _operation, _seconds: None
    failed: Callable[[str], None] = lambda _operation: None
    turned: Callable[[bool, str], None] = lambda _available, _reason: None


class GuardedStore:
    """A `Store` that fails at once while the one behind it is known to be away.

    Within `patience.limited`, calls wait no longer than what is left. Then those that only read
    fail unsent; the others are sent, and raise OutOfPatience: what becomes of them is not known.
    `on_recovery` is awaited after a probe succeeded and before anybody uses the store again:
    invalidations that could not be delivered go first. If it fails, the store stays away.
    `on_forgotten` hears of a space of which the store does not know what it had done, such as a
    replica that had yet to hear of invalidations (`lineage`). `observer` hears of it all.
    """

    def __init__(self, inner: Store, clock: Clock) -> None:
        self.inner = inner
        self.clock = clock
        self._turns = asyncio.Semaphore(CONCURRENT)
        self._failures = 0
        self._silent = False
        self._probe: asyncio.Task[None] | None = None
        self._behind: set[asyncio.Task[None]] = set()
        self._closed = False
        self._together = Together(self._load)
        self._latest: dict[str, int] = {}
        self.on_recovery: Callable[[], Awaitable[None]] | None = None
        self.on_forgotten: Callable[[str], None] = lambda _space: None
        self.observer = StoreObserver()

    @property
    def available(self) -> bool:
        """Whether calls go through."""
        return self._probe is None

    async def load(self, space: str, wants: Sequence[tuple[Container, str]]) -> Loaded:
        """With all that is asked for until it is sent: one call, one failure."""
        self._refuse_while_away()
        if patience.is_spent():
            raise OutOfPatience
        return await self._together.load(space, wants)

    async def save(
        self,
        container: Container,
        puts: Sequence[Put],
        *,
        stamp: int,
        ttl_s: float,
        release: Release | None = None,
    ) -> bool:
        return await self._tell(
            "save",
            lambda: self.inner.save(container, puts, stamp=stamp, ttl_s=ttl_s, release=release),
        )

    async def invalidate(self, space: str, tags: frozenset[str]) -> Invalidated:
        """Waited for as outside of any request, unless this one has nothing left at all."""
        allowance = patience.current()
        if allowance is None or allowance.left_s() <= 0:
            return await self._tell("invalidate", lambda: self.deliver(space, tags))
        with allowance.counted(), patience.unlimited():
            return await self._tell("invalidate", lambda: self.deliver(space, tags))

    async def deliver(self, space: str, tags: frozenset[str]) -> Invalidated:
        """As `invalidate`, also while the store is away; what it fails with counts as nothing."""
        known = self._latest.get(space, 0)
        done = await self.inner.invalidate(space, tags)
        if done.before < known:
            self._forgotten(space, known)
        self.passed(space, Step(done.before, done.stamp))
        return done

    def passed(self, space: str, step: Step) -> bool:
        """What an invalidation tells of the store, whoever made it: whether it forgot others."""
        known = self._latest.get(space, 0)
        if forgot := step.leaves_out(known):
            self._forgotten(space, known)
        elif step.follows(known):
            self._latest[space] = max(step.stamp, known)
        # Else there were others in between: what is known is kept until a load shows that they
        # were all of the same store.
        return forgot

    def verify(self) -> None:
        """Find out, behind the callers' backs, whether the store forgot what is known of it."""
        for space in self._latest:
            self.behind(self._verify(space))

    async def _verify(self, space: str) -> None:
        with contextlib.suppress(StoreUnavailable):  # the next load finds out
            await self.load(space, ())

    async def returned(self) -> None:
        """Returns once the store is used, or the wait is given up."""
        if self._probe is not None:
            await asyncio.wait([self._probe])

    async def remember(self, space: str, name: str, ttl_s: float) -> bool:
        return await self._ask("remember", lambda: self.inner.remember(space, name, ttl_s))

    async def flag(self, space: str, name: str) -> str | None:
        return await self._ask("flag", lambda: self.inner.flag(space, name))

    async def set_flag(self, space: str, name: str, value: str | None) -> None:
        await self._tell("set_flag", lambda: self.inner.set_flag(space, name, value))

    async def run(
        self, space: str, script: str, names: Sequence[str], args: Sequence[str | bytes | int]
    ) -> list[Any]:
        return await self._tell("run", lambda: self.inner.run(space, script, names, args))

    async def ping(self) -> None:
        await self._ask("ping", self.inner.ping)

    async def aclose(self) -> None:
        self._closed = True
        if self._probe is not None:
            await end([self._probe])
        await self._together.aclose()
        await end(self._behind)
        await self.inner.aclose()

    def keep_away(self, reason: str = "") -> None:
        """Treat the store as away until a probe and `on_recovery` succeed."""
        if self._probe is None and not self._closed:
            log.warning("store_away", reason=reason)
            self.observer.turned(False, reason)
            with patience.unlimited():
                self._probe = asyncio.create_task(self._recover(), name="store probe")

    def behind(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this behind the callers' backs, until the store is closed."""
        if self._closed:
            work.close()
            return
        with patience.unlimited():
            task = asyncio.create_task(work, name="store, behind")
        self._behind.add(task)
        task.add_done_callback(self._behind.discard)

    async def _load(self, space: str, taken: Callable[[], Wants]) -> Loaded:
        known = 0

        def send() -> Awaitable[Loaded]:
            nonlocal known
            # Just before it is sent: until then others join, and answers may pass each other.
            known = self._latest.get(space, 0)
            return self.inner.load(space, taken(), known)

        loaded = await self._ask("load", send)
        if loaded.stamp < known:
            self._forgotten(space, known)
            raise Refused("it forgot invalidations")
        if self._latest.get(space, 0) == known:  # else it may not be of the same store
            self._latest[space] = loaded.stamp
        return loaded

    def _forgotten(self, space: str, known: int) -> None:
        """Said once, of however many answers show it."""
        if known <= self._latest.get(space, 0):
            del self._latest[space]
            log.warning("store_forgot", space=space)
            self.on_forgotten(space)

    async def _ask(self, operation: str, call: Callable[[], Awaitable[T]]) -> T:
        """For calls that are good for nothing without their answer."""
        self._refuse_while_away()
        if patience.is_spent():
            raise OutOfPatience
        return await self._call(operation, call)

    async def _tell(self, operation: str, call: Callable[[], Awaitable[T]]) -> T:
        """For calls that have their effect even if nobody waits for the answer."""
        self._refuse_while_away()
        if patience.is_spent():
            # It does not wait, nor for a turn.
            return await self._attempt(operation, call)
        return await self._call(operation, call)

    async def _call(self, operation: str, call: Callable[[], Awaitable[T]]) -> T:
        await self._turn()
        try:
            self._refuse_while_away()
            return await self._attempt(operation, call)
        finally:
            self._turns.release()

    async def _turn(self) -> None:
        """Wait for a turn; raises OutOfPatience."""
        allowance = patience.current()
        if allowance is None or not self._turns.locked():
            await self._turns.acquire()
            return
        try:
            with allowance.counted():
                async with allowance.timeout():
                    await self._turns.acquire()
        except TimeoutError:
            raise OutOfPatience from None

    async def _attempt(self, operation: str, call: Callable[[], Awaitable[T]]) -> T:
        before, began = self._failures, self.clock.monotonic()
        try:
            # After one wait in vain, nobody waits long until there was an answer again.
            with patience.hurried() if self._silent else contextlib.nullcontext():
                result = await call()
        except OutOfPatience as left:
            if left.command is not None:
                self.behind(self._judge(operation, left.command, left.due_s, before, began))
            raise
        except StoreUnavailable as error:
            self._failed(operation, before, error)
            raise
        self.observer.answered(operation, self.clock.monotonic() - began)
        self._answered()
        return result

    async def _judge(
        self, operation: str, command: asyncio.Future[Any], due_s: float, before: int, began: float
    ) -> None:
        """Its caller does not wait, but whether the store answers in time still counts."""
        try:
            await patience.wait(command, due_s)
        except StoreUnavailable as error:
            self._failed(operation, before, error)
            return
        if command.cancelled():
            return
        failure = command.exception()
        if failure is None:
            self.observer.answered(operation, self.clock.monotonic() - began)
            self._answered()
        else:
            self._failed(operation, before, failure)

    def _answered(self) -> None:
        self._failures = 0
        self._silent = False

    def _failed(self, operation: str, before: int, error: BaseException) -> None:
        """Count a failure of a call that began when there were `before`.

        Calls that were under way together fail together: that is one failure, not many.
        """
        self.observer.failed(operation)
        self._silent = self._silent or isinstance(error, Unanswered | OutOfPatience)
        if self._failures == before:
            self._failures += 1
        if self._failures >= FAILURES_TO_OPEN:
            self.keep_away(str(error) or type(error).__name__)

    def _refuse_while_away(self) -> None:
        if self._probe is not None:
            raise Refused("the store is away")

    async def _recognize(self) -> None:
        """See whether it is the store that it was. Where it does not say, the next load asks."""
        with contextlib.suppress(StoreUnavailable):
            for space, known in list(self._latest.items()):
                if (await self.inner.load(space, (), known)).stamp < known:
                    self._forgotten(space, known)

    async def _recover(self) -> None:
        while True:
            await self.clock.sleep(PROBE_S)
            try:
                await self.inner.ping()
                await self._recognize()
                if self.on_recovery is not None:
                    await self.on_recovery()
            except StoreUnavailable:
                continue
            except Exception:
                # A probe that ends by anything but success would keep the store away for ever.
                log.exception("store_probe_failed")
                continue
            self._answered()
            self._probe = None
            log.warning("store_back")
            self.observer.turned(True, "")
            return
