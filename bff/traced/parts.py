"""The parts as wiring makes them: plain ones where there is no tracer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from starlette.middleware import Middleware

from bff.cache.envelope import Sealer
from bff.cache.flight import Flights
from bff.cache.guarded import GuardedStore
from bff.cache.memory import Memory
from bff.cache.store import Store
from bff.cache.tiered import TieredCache
from bff.clock import Clock
from bff.nexudus.admission import Admission, AdmissionPolicy
from bff.nexudus.budget.contract import Budget
from bff.nexudus.client import NexudusClient, Timeouts
from bff.nexudus.exchange import Transport
from bff.observe.tracing import Tracer
from bff.traced.cache import TracedCache
from bff.traced.calls import TracedAdmission, TracedClient
from bff.traced.flights import TracedFlights
from bff.traced.requests import TraceMiddleware
from bff.traced.store import TracedStore


class Parts:
    """Arguments are those of the plain part."""

    def __init__(self, tracer: Tracer | None) -> None:
        self._tracer = tracer

    def store(self, inner: Store) -> Store:
        """What stands between the guarded store and the one that it guards."""
        return inner if self._tracer is None else TracedStore(inner, self._tracer)

    def cache(
        self,
        store: GuardedStore,
        memory: Memory,
        sealer: Sealer,
        clock: Clock,
        max_age_s: float,
        stand_in_s: float,
    ) -> TieredCache:
        if self._tracer is None:
            return TieredCache(store, memory, sealer, clock, max_age_s, stand_in_s)
        cache = TracedCache(store, memory, sealer, clock, max_age_s, stand_in_s)
        cache.tracer = self._tracer
        return cache

    def flights(self, most_waiters: int) -> Flights:
        if self._tracer is None:
            return Flights(most_waiters)
        flights = TracedFlights(most_waiters)
        flights.tracer = self._tracer
        return flights

    def client(
        self, transport: Transport, timeouts: Timeouts, clock: Clock, *, shared: bool
    ) -> NexudusClient:
        if self._tracer is None:
            return NexudusClient(transport, timeouts, clock, shared=shared)
        client = TracedClient(transport, timeouts, clock, shared=shared)
        client.told_by(self._tracer)
        return client

    def admission(
        self, budget: Budget, policy: AdmissionPolicy, clock: Clock, chance: Callable[[], float]
    ) -> Admission:
        made = Admission if self._tracer is None else TracedAdmission
        return made(budget, policy, clock, chance)

    def layers(self) -> list[Middleware]:
        """What goes right within the ExchangeMiddleware."""
        return [] if self._tracer is None else [Middleware(TraceMiddleware, self._tracer)]

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        """Around everything that makes spans; at the end what is left of them is sent."""
        if self._tracer is None:
            yield
            return
        self._tracer.start()
        try:
            yield
        finally:
            await self._tracer.aclose()
