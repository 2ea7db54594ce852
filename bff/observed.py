"""What is seen of one process: who tells its metrics and its journal what. Wiring, nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from bff.cache.bus import Bus, RedisBus
from bff.cache.flight import Flights
from bff.cache.guarded import GuardedStore, StoreObserver
from bff.cache.invalidation import Invalidator, Reach
from bff.cache.memory import Memory
from bff.clock import Clock
from bff.edge.accounts import Accounts
from bff.edge.hot import HotAnswers
from bff.nexudus.admission import Admission
from bff.nexudus.budget.contract import Priority
from bff.nexudus.intent import Observer, Purpose
from bff.observe.journal import Event, EventKind, Journal
from bff.observe.metrics import Metrics
from bff.observe.sampler import Sampler
from bff.observe.series import Count
from bff.session.reads import Reads
from bff.session.sharing import Sharing
from bff.shape import NamedShapes

WITHOUT_A_CALL: Final = frozenset(
    ("hit", "negative", "stale", "stale_error", "stand_in", "coalesced")
)
"""The outcomes of reads that made no call to Nexudus of their own."""
BREAKER_STATES: Final = {"closed": 0, "half_open": 1, "open": 2}
_BREAKER: Final = {
    "closed": "Nexudus answers again",
    "half_open": "one call tries whether Nexudus answers again",
    "open": "Nexudus keeps failing: it is not asked for the moment",
}


class Observed:
    """Of one process; `spaces` are those that it serves."""

    def __init__(self, clock: Clock, spaces: Sequence[str]) -> None:
        self.metrics = Metrics()
        self.journal = Journal()
        self.sampler = Sampler(self.metrics, clock)
        self._clock = clock
        self._spaces = tuple(spaces)
        self._reads: dict[tuple[str, ...], tuple[Count, ...]] = {}

    def note(self, kind: EventKind, space: str, text: str) -> None:
        """Something happened, now."""
        self.journal.note(Event(self._clock.wall(), space, kind, text))

    def tiers(self, store: GuardedStore, memory: Memory, flights: Flights) -> None:
        """The cache."""
        metrics, evicted = self.metrics, self.metrics.counter("bff_l1_evictions")
        memory.on_evicted = evicted.add
        store.observer = StoreObserver(
            answered=lambda operation, took_s: metrics.observe(
                "bff_store_seconds", took_s, operation
            ),
            failed=lambda operation: metrics.count("bff_store_errors", operation),
            turned=self._store_turned,
        )

        def sample() -> None:
            metrics.set("bff_l1_bytes", memory.used_bytes)
            metrics.set("bff_l1_limit_bytes", memory.max_bytes)
            metrics.set("bff_l1_items", len(memory))
            metrics.set("bff_flights", len(flights))
            metrics.set("bff_flight_waiters", flights.waiters)
            metrics.set("bff_refreshing", flights.behind)
            metrics.set("bff_store_available", store.available)

        self.sampler.probe(sample)

    def hot(self, accounts: Accounts, memory: Memory, shapes: NamedShapes, bus: Bus) -> HotAnswers:
        """What is answered before any layer, and who hears of it."""
        accounts.on_shaped = self.journal.shape
        hot = HotAnswers(memory, shapes, lambda: bus.trusted_until, accounts, self._clock)
        self.metrics.settle_hot = hot.settle
        return hot

    def bus(self, bus: Bus, invalidator: Invalidator) -> None:
        """How invalidations reach other processes."""
        invalidator.observe = self._invalidated
        self.sampler.probe(lambda: self.metrics.set("bff_bus_trusted", bus.trusted))
        if isinstance(bus, RedisBus):
            bus.on_turned = self._bus_turned

    def session(self, reads: Reads, sharing: Sharing) -> None:
        """The cached reads."""
        metrics = self.metrics
        reads.observe = self._read
        sharing.observe = partial(metrics.count, "bff_comparisons")
        sharing.on_turned = self._sharing_turned

        def sample() -> None:
            metrics.set("bff_refreshes_paused", reads.refreshes_paused)
            for space in self._spaces:
                per_token = sharing.is_demoted(space) or not sharing.is_learned(space)
                metrics.set("bff_related_per_token", per_token, space)

        self.sampler.probe(sample)

    def admission(self, admission: Admission) -> None:
        """The calls to Nexudus."""
        admission.observer = Observer(
            called=self._called,
            took=lambda purpose, took_s: self.metrics.observe(
                "bff_upstream_seconds", took_s, purpose.route
            ),
            refused=lambda space, purpose, reason: self.metrics.count(
                "bff_upstream_refused", space, purpose.route, reason
            ),
            retried=lambda space, purpose, cause: self.metrics.count(
                "bff_upstream_retries", space, purpose.route, cause
            ),
            waited=self._waited,
            throttled=partial(self.metrics.count, "bff_throttled"),
            paused=self._paused,
            turned=self._breaker_turned,
        )
        self.sampler.probe(partial(self._sample_admission, admission))

    def _sample_admission(self, admission: Admission) -> None:
        metrics = self.metrics
        for space in self._spaces:
            state = BREAKER_STATES[admission.standing(space).state]
            budget = admission.budget.standing(space)
            metrics.set("bff_breaker_state", state, space)
            metrics.set("bff_paused_seconds", budget.paused_s, space)
            for window in budget.windows:
                name = f"writes {window.limit}" if window.writes_only else str(window.limit)
                metrics.set("bff_budget_used", window.used, space, name)
                metrics.set("bff_budget_limit", window.limit.calls, space, name)

    def _read(self, *told: str) -> None:
        for count in self._reads.get(told) or self._reads_of(*told):
            count.add()

    def _reads_of(self, space: str, resource: str, tier: str, outcome: str) -> tuple[Count, ...]:
        """What counts such reads: looked up once, not for each of them."""
        counts = [self.metrics.counter("bff_cache_reads", space, resource, tier, outcome)]
        if outcome in WITHOUT_A_CALL:
            counts.append(self.metrics.counter("bff_upstream_calls_saved", space, resource))
        self._reads[space, resource, tier, outcome] = found = tuple(counts)
        return found

    def _invalidated(self, space: str, cause: str, reach: Reach) -> None:
        extent = "everywhere" if reach.everywhere else "stored" if reach.stored else "pending"
        self.metrics.count("bff_invalidations", space, cause, extent)
        if reach.everywhere:
            self.metrics.observe("bff_invalidation_seconds", reach.took_s)

    def _called(self, space: str, purpose: Purpose, outcome: str) -> None:
        reason = purpose.reason.value
        self.metrics.count("bff_upstream_calls", space, purpose.route, outcome, reason)

    def _waited(self, priority: Priority, seconds: float) -> None:
        self.metrics.observe("bff_budget_wait_seconds", seconds, priority.name.lower())

    def _paused(self, space: str, seconds: float) -> None:
        self.note(
            EventKind.THROTTLED, space, f"Nexudus throttles: it is not called for {seconds:.3g} s"
        )

    def _breaker_turned(self, space: str, state: str) -> None:
        self.metrics.count("bff_breaker_changes", space, state)
        self.note(EventKind.BREAKER, space, _BREAKER[state])

    def _store_turned(self, available: bool, reason: str) -> None:
        told = "Redis is used again" if available else f"Redis is away: {reason}"
        self.note(EventKind.STORE, "", told)

    def _bus_turned(self, heard: bool, reason: str) -> None:
        silent = f"invalidations of other processes are not heard: {reason}"
        self.note(EventKind.BUS, "", "invalidations are heard" if heard else silent)

    def _sharing_turned(self, space: str, per_token: bool) -> None:
        told = "kept for each token" if per_token else "shared between tokens again"
        self.note(EventKind.SHARING, space, f"related lists are {told}")
