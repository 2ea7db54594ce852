"""The only wiring file: settings in, ASGI application out; the whole stack on one screen.

ExchangeMiddleware   request id, one log line, metrics
└─ Cors              preflights answered here
   └─ ProblemMiddleware   every named error as a problem document
      └─ SpaceMiddleware  Host -> space
         └─ routes   health, ops, webhooks, openapi; everything else: Front
            └─ Front cached routes by exact target; the rest is relayed
"""

from __future__ import annotations

import contextlib
import os
import random
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import structlog
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from bff import __version__, configured
from bff.cache import tags
from bff.cache.bus import Bus, Listener, LocalBus, RedisBus
from bff.cache.connect import connect, connect_for_messages
from bff.cache.envelope import Sealer
from bff.cache.flight import Flights
from bff.cache.guarded import GuardedStore
from bff.cache.invalidation import Invalidator
from bff.cache.keys import KeySpace
from bff.cache.leadership import Leadership, LocalLeadership, RedisLeadership
from bff.cache.memory import Memory
from bff.cache.remote import RemoteStore
from bff.cache.secrets import Keyring
from bff.cache.tiered import TieredCache
from bff.clock import Clock, SystemClock
from bff.edge.endpoints import Endpoints, Understanding
from bff.edge.hooks import HookEndpoint
from bff.edge.middleware import (
    ExchangeMiddleware,
    ProblemMiddleware,
    SpaceMiddleware,
    problem_of_routing,
)
from bff.edge.openapi import OpenApiEndpoint
from bff.edge.relay import Relay, RelayBounds
from bff.edge.respond import Responder
from bff.edge.routes import Front
from bff.hooks.events import Affected
from bff.hooks.receive import WebhookReceiver
from bff.nexudus.admission import Admission
from bff.nexudus.budget.budgets import SpaceBudgets
from bff.nexudus.client import open_pools
from bff.nexudus.states import States
from bff.observe import logs
from bff.observe.tracing import open_tracer
from bff.observed import Observed
from bff.operated import Operated, OperatorTerms, Watched
from bff.ops.health import Health
from bff.session.bootstrap import Bootstrap
from bff.session.crossing import Crossing
from bff.session.fetcher import Fetcher
from bff.session.landing import Landings
from bff.session.reads import Reads, Terms
from bff.session.sharing import Sampling, Sharing
from bff.session.writes import Writes
from bff.settings import Settings, load
from bff.shape import DEFAULTS, NamedShapes
from bff.traced.parts import Parts

log = structlog.get_logger("bff.app")

WEBHOOK_MEMORY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Seams:
    """What tests replace: where bytes and time come from."""

    transport: httpx.AsyncBaseTransport | None = None
    redis: Redis | None = None
    clock: Clock | None = None
    chance: random.Random | None = None


def create_app() -> ASGIApp:
    """The application from the environment: `bff.app:create_app`, a factory for any ASGI server."""
    settings = load()
    logs.configure(settings.log_level, settings.log_format)
    return build(settings)


def build(settings: Settings, seams: Seams | None = None) -> Starlette:
    """Wire the gateway. Nothing is connected before the lifespan starts."""
    seams = seams or Seams()
    clock = seams.clock or SystemClock()
    parts = Parts(open_tracer(on=settings.traces == "on"))
    table, keyring = settings.space_table, Keyring(settings.secret_keys)
    names = [space.name for space in table.spaces]
    observed = Observed(clock, names)
    metrics = observed.metrics
    tiers = _tiers(settings, seams.redis, clock, observed, keyring, parts)
    client = parts.client(
        seams.transport or open_pools(settings.max_connections),
        configured.timeouts(settings),
        clock,
        shared=len(table.spaces) > 1,
    )
    admission = _admission(settings, seams, tiers, clock)
    observed.admission(admission)
    fetcher = Fetcher(client, table, admission, deadline_s=settings.deadline_s)
    session = _session(settings, seams, tiers, fetcher, clock)
    observed.session(session.reads, session.sharing)
    reads, responder = session.reads, Responder(tiers.cache, clock, metrics)
    responder.on_shaped = observed.journal.shape
    receiver = _receiver(settings, tiers, clock)

    understanding = Understanding(keyring, NamedShapes({**DEFAULTS, **settings.shapes}))
    endpoints = Endpoints(
        reads,
        Bootstrap(reads),
        responder,
        understanding,
        metrics,
        deadline_s=settings.deadline_s,
    )
    operated = Operated(
        configured.operators(settings),
        Watched(
            tiers.process, tiers.cache, tiers.flights, tiers.invalidator, tiers.bus,
            admission, session.landings, reads, session.sharing,
        ),
        OperatorTerms(
            table, understanding, settings.deadline_s, settings.log_level, logs.set_level
        ),
        observed,
        clock,
    )  # fmt: skip
    operated.hears(endpoints)
    bounds = RelayBounds(settings.max_body, settings.stream_timeout_s, settings.deadline_s)
    relay = Relay(client, reads, session.writes, keyring, admission, bounds)
    health = Health(
        tiers.store, tiers.bus, tiers.invalidator, States(admission, names), operated.operators
    )
    hook = HookEndpoint(receiver, table)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        """Start inner before outer; stop in reverse."""
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(parts.sending())
            observed.sampler.start(__version__)
            stack.push_async_callback(observed.sampler.aclose)
            stack.push_async_callback(tiers.store.aclose)
            stack.push_async_callback(client.aclose)
            await tiers.bus.start()
            stack.push_async_callback(tiers.bus.aclose)
            await admission.budget.start()
            stack.push_async_callback(admission.budget.aclose)
            await stack.enter_async_context(operated.reporting())
            stack.push_async_callback(tiers.leadership.aclose)
            stack.push_async_callback(session.landings.aclose)
            stack.push_async_callback(tiers.flights.aclose)
            await session.sharing.start(names)
            stack.push_async_callback(session.sharing.aclose)
            stack.push_async_callback(receiver.aclose)
            stack.push_async_callback(session.writes.aclose)
            stack.enter_context(health.serving())
            yield

    app = Starlette(
        routes=[
            Route("/healthz", health.healthz),
            Route("/readyz", health.readyz),
            Route("/openapi.json", OpenApiEndpoint()),
            *operated.routes(),
            Route("/hooks/nexudus", hook, methods=["POST"]),
            Route("/hooks/nexudus/{space}", hook, methods=["POST"]),
            Mount("/", Front(endpoints, relay, store_s=settings.redis_timeout_ms / 1000)),
        ],
        middleware=[
            Middleware(
                ExchangeMiddleware, clock, metrics, observed.journal.problem, settings.log_sample
            ),
            *parts.layers(),
            *configured.cors(settings),
            Middleware(ProblemMiddleware),
            Middleware(SpaceMiddleware, table),
        ],
        exception_handlers={HTTPException: problem_of_routing},
        lifespan=lifespan,
    )
    # A redirect would name the Host that the caller sent, which may be anybody's.
    app.router.redirect_slashes = False
    return app


@dataclass(frozen=True, slots=True)
class _Tiers:
    """Both cache tiers and what keeps them true."""

    store: GuardedStore
    cache: TieredCache
    flights: Flights
    invalidator: Invalidator
    bus: Bus
    leadership: Leadership
    process: str
    parts: Parts


def _tiers(
    settings: Settings,
    redis: Redis | None,
    clock: Clock,
    observed: Observed,
    keyring: Keyring,
    parts: Parts,
) -> _Tiers:
    url = settings.redis_url.get_secret_value()
    process = f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
    remote = RemoteStore(
        redis or connect(url),
        KeySpace(settings.redis_prefix),
        process=process,
        timeout_s=settings.redis_timeout_ms / 1000,
    )
    store, memory, flights = (
        GuardedStore(parts.store(remote), clock),
        Memory(settings.l1_bytes),
        parts.flights(settings.max_waiting),
    )

    observed.tiers(store, memory, flights)
    invalidator = Invalidator(store, memory, flights)
    sealer = Sealer(keyring, os.urandom)
    cache = parts.cache(store, memory, sealer, clock, settings.l1_max_age_s, settings.stand_in_s)
    bus: Bus = LocalBus()
    leadership: Leadership = LocalLeadership()
    if not settings.embedded:
        listener = Listener(apply=invalidator.apply, lost=invalidator.lost)
        names = [space.name for space in settings.space_table.spaces]
        bus = shared = RedisBus(connect_for_messages(url), remote, names, listener, clock)
        leadership = RedisLeadership(store, shared, clock)
    cache.bus = invalidator.bus = bus
    observed.bus(bus, invalidator)
    return _Tiers(store, cache, flights, invalidator, bus, leadership, process, parts)


@dataclass(frozen=True, slots=True)
class _Session:
    """The cached reads, and what is done by them and for them."""

    landings: Landings
    reads: Reads
    sharing: Sharing
    writes: Writes


def _session(
    settings: Settings, seams: Seams, tiers: _Tiers, fetcher: Fetcher, clock: Clock
) -> _Session:
    landings = Landings(
        tiers.cache, tiers.invalidator, fetcher.fetch, configured.policies(settings), clock
    )
    crossing = Crossing(tiers.cache, landings, tiers.leadership, within_s=settings.deadline_s)
    terms = Terms(settings.stale_patience_s, settings.refreshes)
    reads = Reads(tiers.cache, tiers.flights, landings, crossing, terms)
    sharing = _sharing(settings, seams, tiers, reads, clock)
    landings.scope_of = sharing.scope_of
    writes = Writes(reads, tiers.invalidator, fetcher.listed_by, clock)
    return _Session(landings, reads, sharing, writes)


def _sharing(
    settings: Settings, seams: Seams, tiers: _Tiers, reads: Reads, clock: Clock
) -> Sharing:
    chance = seams.chance or random.SystemRandom()
    sampling = Sampling(settings.sentinel_rate, chance.random)
    sharing = Sharing(tiers.store, tiers.invalidator, reads, sampling, clock)
    if settings.related_scope == "token":
        sharing.set_by_hand(space.name for space in settings.space_table.spaces)
    reads.on_shared_hit = sharing.sample
    tiers.invalidator.on_applied = sharing.heard
    return sharing


def _admission(settings: Settings, seams: Seams, tiers: _Tiers, clock: Clock) -> Admission:
    names = [space.name for space in settings.space_table.spaces]
    budget = SpaceBudgets(
        configured.budget(settings), names, tiers.store.run, process=tiers.process, clock=clock
    )
    chance = seams.chance or random.SystemRandom()
    return tiers.parts.admission(budget, configured.admission(settings), clock, chance.random)


def _receiver(settings: Settings, tiers: _Tiers, clock: Clock) -> WebhookReceiver:
    async def once(space: str, digest: str) -> bool:
        return await tiers.store.remember(space, f"webhook-{digest}", WEBHOOK_MEMORY_S)

    async def invalidate(space: str, affected: Affected) -> None:
        dropped = {tags.user(u) for u in affected.users}
        dropped |= {tags.coworker(c) for c in affected.coworkers}
        await tiers.invalidator.invalidate(space, frozenset(dropped), "webhook")

    def report(space: str, affected: Affected, error: Exception) -> None:
        log.error("webhook_failed", space=space, affected=repr(affected), reason=str(error))

    spaces = settings.space_table.spaces
    return WebhookReceiver(
        {space.name: settings.webhook_secret_for(space.name) for space in spaces},
        once=once,
        invalidate=invalidate,
        report=report,
        clock=clock,
    )
