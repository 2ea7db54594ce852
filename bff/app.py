"""The only wiring file: settings in, ASGI application out; the whole stack on one screen.

HotAnswers           what repeats to the byte, and new shapes of what is parsed in process, at once
ExchangeMiddleware   request id, one log line, metrics
└─ TraceMiddleware   where there are traces: the request's span
   └─ Cors           preflights answered here
      └─ ProblemMiddleware   every named error as a problem document
         └─ SpaceMiddleware  Host -> space
            └─ routes   health, ops, webhooks, openapi; everything else: Front
               └─ Front cached routes by exact target; the rest is relayed
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass

from redis.asyncio import Redis
from starlette.middleware import Middleware
from starlette.routing import Route
from starlette.types import ASGIApp

from bff import __version__, configured
from bff.cache.bus import Bus, LocalBus, RedisBus
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
from bff.edge.access_log import AccessLog
from bff.edge.accounts import Accounts
from bff.edge.endpoints import Endpoints, Understanding
from bff.edge.gateway import Gateway
from bff.edge.hooks import HookEndpoint, dropping
from bff.edge.middleware import ExchangeMiddleware, ProblemMiddleware, SpaceMiddleware
from bff.edge.openapi import OpenApiEndpoint
from bff.edge.relay import Relay, RelayBounds
from bff.edge.respond import Responder
from bff.edge.routes import Front
from bff.nexudus.admission import Admission
from bff.nexudus.budget.budgets import SpaceBudgets
from bff.nexudus.client import open_pools
from bff.nexudus.exchange import Transport
from bff.nexudus.states import States
from bff.observe import logs
from bff.observe.tracing import open_tracer
from bff.observed import Observed
from bff.operated import Operations, OperatorTerms, Watched, operations
from bff.ops.health import Health
from bff.session.bootstrap import Bootstrap
from bff.session.crossing import Crossing
from bff.session.fetcher import Fetcher
from bff.session.landing import Landings
from bff.session.reading import Terms
from bff.session.reads import Reads
from bff.session.sharing import Sampling, Sharing
from bff.session.writes import Writes
from bff.settings import Settings, load
from bff.shape import DEFAULTS, NamedShapes
from bff.traced.parts import Parts


@dataclass(frozen=True, slots=True)
class Seams:
    """What tests replace: where bytes and time come from."""

    transport: Transport | None = None
    redis: Redis | None = None
    clock: Clock | None = None
    chance: random.Random | None = None


def create_app(settings: Settings | None = None) -> ASGIApp:
    """The application: `bff.app:create_app`, a factory for any ASGI server.

    `settings` are read from the environment, and the file that it names, unless they were before.
    """
    settings = load() if settings is None else settings
    logs.configure(settings.log_level, settings.log_format)
    return build(settings)


def build(settings: Settings, seams: Seams | None = None) -> Gateway:
    """Wire the gateway. Nothing is connected before the lifespan starts."""
    ground = _Ground.of(settings, seams or Seams())
    clock, observed, table = ground.clock, ground.observed, settings.space_table
    tiers = _tiers(ground)
    tls, timeouts = configured.tls(settings), configured.timeouts(settings)
    pools = ground.seams.transport or open_pools(settings.max_connections, tls=tls)
    client = ground.parts.client(pools, timeouts, clock, shared=len(table.spaces) > 1)
    admission = _admission(ground, tiers)
    session = _session(
        ground, tiers, Fetcher(client, table, admission, deadline_s=settings.deadline_s)
    )
    understanding = Understanding(ground.keyring, NamedShapes({**DEFAULTS, **settings.shapes}))
    access_log = AccessLog(settings.log_sample)
    accounts = Accounts(observed.metrics, access_log)
    hot = observed.hot(accounts, tiers.cache.memory, understanding.shapes, tiers.bus)
    hot.learns = settings.traces != "on"  # what is answered at once has no span
    endpoints = _endpoints(ground, tiers, session, understanding)
    operated = _operated(ground, tiers, session, admission, understanding)
    operated.hears(endpoints, accounts, hot)
    bounds = RelayBounds(settings.max_body, settings.stream_timeout_s, settings.deadline_s)
    relay = Relay(client, session.reads, session.writes, ground.keyring, admission, bounds)
    health = Health(
        tiers.store, tiers.bus, tiers.invalidator,
        States(admission, ground.names), operated.operators,
    )  # fmt: skip
    secrets = {name: settings.webhook_secret_for(name) for name in ground.names}
    receiver = dropping(secrets, tiers.store, tiers.invalidator, clock)
    hook = HookEndpoint(receiver, table)

    @contextlib.asynccontextmanager
    async def lifespan(_: Gateway) -> AsyncIterator[None]:
        """Start inner before outer; stop in reverse."""
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(ground.parts.sending())
            observed.sampler.start(__version__)
            hot.serve(asyncio.get_running_loop())
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
            await session.sharing.start(ground.names)
            stack.push_async_callback(session.sharing.aclose)
            stack.push_async_callback(receiver.aclose)
            stack.push_async_callback(session.writes.aclose)
            stack.enter_context(health.serving())
            yield

    return Gateway(
        Front(endpoints, relay, store_s=configured.store_s(settings)),
        routes=[
            Route("/healthz", health.healthz),
            Route("/readyz", health.readyz),
            Route("/openapi.json", OpenApiEndpoint()),
            *operated.routes(),
            Route("/hooks/nexudus", hook, methods=["POST"]),
            Route("/hooks/nexudus/{space}", hook, methods=["POST"]),
        ],
        layers=[
            Middleware(
                ExchangeMiddleware, clock, observed.metrics, observed.journal.problem,
                access_log, hot.learn,
            ),
            *ground.parts.layers(),
            *configured.cors(settings),
            Middleware(ProblemMiddleware),
            Middleware(SpaceMiddleware, table),
        ],
        lifespan=lifespan,
        hot=hot if hot.learns else None,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Ground:
    """What everything else stands on."""

    settings: Settings
    seams: Seams
    clock: Clock
    chance: random.Random
    parts: Parts
    keyring: Keyring
    names: tuple[str, ...]
    observed: Observed

    @classmethod
    def of(cls, settings: Settings, seams: Seams) -> _Ground:
        clock = seams.clock or SystemClock()
        names = tuple(space.name for space in settings.space_table.spaces)
        return cls(
            settings,
            seams,
            clock,
            seams.chance or random.SystemRandom(),
            Parts(open_tracer(on=settings.traces == "on")),
            Keyring(settings.secret_keys),
            names,
            Observed(clock, names),
        )


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


def _tiers(ground: _Ground) -> _Tiers:
    settings, clock, parts = ground.settings, ground.clock, ground.parts
    url = settings.redis_url.get_secret_value()
    process = f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
    remote = RemoteStore(
        ground.seams.redis or connect(url),
        KeySpace(settings.redis_prefix),
        process=process,
        timeout_s=configured.store_s(settings),
    )
    store, memory, flights = (
        GuardedStore(parts.store(remote), clock),
        Memory(settings.l1_bytes),
        parts.flights(settings.max_waiting),
    )

    ground.observed.tiers(store, memory, flights)
    invalidator = Invalidator(store, memory, flights)
    sealer = Sealer(ground.keyring, os.urandom)
    cache = parts.cache(store, memory, sealer, clock, settings.l1_max_age_s, settings.stand_in_s)
    bus: Bus = LocalBus()
    leadership: Leadership = LocalLeadership()
    if not settings.embedded:
        listener = invalidator.listener()
        bus = shared = RedisBus(connect_for_messages(url), remote, ground.names, listener, clock)
        leadership = RedisLeadership(store, shared, clock)
    cache.bus = invalidator.bus = bus
    ground.observed.bus(bus, invalidator)
    return _Tiers(store, cache, flights, invalidator, bus, leadership, process)


@dataclass(frozen=True, slots=True)
class _Session:
    """The cached reads, and what is done by them and for them."""

    landings: Landings
    reads: Reads
    sharing: Sharing
    writes: Writes


def _session(ground: _Ground, tiers: _Tiers, fetcher: Fetcher) -> _Session:
    settings, clock = ground.settings, ground.clock
    landings = Landings(
        tiers.cache, tiers.invalidator, fetcher.fetch, configured.policies(settings), clock
    )
    crossing = Crossing(tiers.cache, landings, tiers.leadership, within_s=settings.deadline_s)
    terms = Terms(settings.stale_patience_s, settings.refreshes)
    reads = Reads(tiers.cache, tiers.flights, landings, crossing, terms)
    sharing = _sharing(ground, tiers, reads)
    landings.scope_of = sharing.scope_of
    ground.observed.session(reads, sharing)
    writes = Writes(reads, tiers.invalidator, fetcher.listed_by, clock)
    return _Session(landings, reads, sharing, writes)


def _sharing(ground: _Ground, tiers: _Tiers, reads: Reads) -> Sharing:
    sampling = Sampling(ground.settings.sentinel_rate, ground.chance.random)
    sharing = Sharing(tiers.store, tiers.invalidator, reads, sampling, ground.clock)
    if ground.settings.related_scope == "token":
        sharing.set_by_hand(ground.names)
    reads.on_shared_hit = sharing.sample
    tiers.invalidator.on_applied = sharing.heard
    return sharing


def _endpoints(
    ground: _Ground, tiers: _Tiers, session: _Session, understanding: Understanding
) -> Endpoints:
    responder = Responder(tiers.cache, ground.clock, ground.observed.metrics)
    responder.on_shaped = ground.observed.journal.shape
    return Endpoints(
        session.reads,
        Bootstrap(session.reads),
        responder,
        understanding,
        ground.observed.metrics,
        deadline_s=ground.settings.deadline_s,
    )


def _operated(
    ground: _Ground,
    tiers: _Tiers,
    session: _Session,
    admission: Admission,
    understanding: Understanding,
) -> Operations:
    settings = ground.settings
    watched = Watched(
        tiers.process, tiers.cache, tiers.flights, tiers.invalidator, tiers.bus,
        admission, session.landings, session.reads, session.sharing,
    )  # fmt: skip
    terms = OperatorTerms(
        settings.space_table, understanding, settings.deadline_s, settings.log_level, logs.set_level
    )
    return operations(configured.operators(settings), watched, terms, ground.observed, ground.clock)


def _admission(ground: _Ground, tiers: _Tiers) -> Admission:
    budget = SpaceBudgets(
        configured.budget(ground.settings),
        ground.names,
        tiers.store.run,
        process=tiers.process,
        clock=ground.clock,
    )
    admission = ground.parts.admission(
        budget, configured.admission(ground.settings), ground.clock, ground.chance.random
    )
    ground.observed.admission(admission)
    return admission
