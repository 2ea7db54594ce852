"""Whether Redis can be what the gateway needs: reachable, new enough, able, in time."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Awaitable
from contextlib import aclosing
from typing import Final, cast

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from bff.cache import tags
from bff.cache.connect import connect, connect_for_messages
from bff.cache.keys import Container, KeySpace, Scope
from bff.cache.remote import RemoteStore
from bff.cache.store import Put
from bff.clock import Clock
from bff.doctor import clocks
from bff.doctor.findings import Finding, fault, ok, warning
from bff.errors import StoreUnavailable
from bff.settings import Settings

LIMIT_S: Final = 2.0
PINGS: Final = 5
OLDEST: Final = (6, 2)
SPACE: Final = "-doctor"
"""The name of no space: none begins with a hyphen."""
_FAILURES: Final = (RedisError, OSError, TimeoutError)


async def examine(settings: Settings, clock: Clock) -> list[Finding]:
    """Findings in the order in which they matter; only the first if Redis is away."""
    if settings.embedded:
        return [ok("Redis", "embedded:// lives in the process: one worker, empty at start")]
    url = settings.redis_url.get_secret_value()
    # Of a cluster this is one node; the scripts run where the space's keys are.
    async with aclosing(connect_for_messages(url)) as client:
        try:
            async with asyncio.timeout(LIMIT_S):
                reached = await _reach(client, clock, settings)
        except _FAILURES as error:
            return [_away(settings, error)]
        return [
            reached,
            *await _info(client),
            *await _time(client, clock),
            await _scripts(settings, url),
            await _messages(client, settings.redis_prefix),
        ]


async def _reach(client: Redis, clock: Clock, settings: Settings) -> Finding:
    took_ms = []
    for _ in range(PINGS):
        began = clock.monotonic()
        await cast("Awaitable[object]", client.ping())
        took_ms.append((clock.monotonic() - began) * 1000)
    usual_ms, limit_ms = sorted(took_ms)[PINGS // 2], settings.redis_timeout_ms
    detail = f"{settings.redis_url} answers in {usual_ms:.1f} ms"
    if usual_ms * 2 <= limit_ms:
        return ok("Redis", detail)
    detail += f", and requests wait for it {limit_ms} ms at most"
    return warning("Redis", detail, "Bring Redis nearer, or raise BFF_REDIS_TIMEOUT_MS.")


def _away(settings: Settings, error: Exception) -> Finding:
    # Its message may quote the URL, and with it a password.
    detail = f"{settings.redis_url} does not answer ({type(error).__name__})"
    remedy = "Start it, or check BFF_REDIS_URL. Members are served without it, at Nexudus' cost."
    if isinstance(error, AuthenticationError):
        remedy = "Check user and password in BFF_REDIS_URL."
    return fault("Redis", detail, remedy)


async def _info(client: Redis) -> list[Finding]:
    try:
        async with asyncio.timeout(LIMIT_S):
            info: dict[str, object] = await client.info()
    except _FAILURES as error:
        remedy = "Allow INFO, or check version (6.2 or newer) and eviction by hand."
        return [warning("Redis version", f"not known ({type(error).__name__})", remedy)]
    return [
        judge_version(str(info.get("redis_version", ""))),
        judge_memory(_number(info, "used_memory"), _number(info, "maxmemory")),
        judge_eviction(str(info.get("maxmemory_policy", ""))),
    ]


def judge_version(version: str) -> Finding:
    """From `redis_version`: 6.2 or newer."""
    found = re.match(r"([0-9]+)\.([0-9]+)", version)
    if found is None:
        return warning("Redis version", "not known", "It has to do what Redis 6.2 does.")
    if (int(found[1]), int(found[2])) < OLDEST:
        return fault("Redis version", f"{found[0]} is too old", "Use Redis 6.2 or newer.")
    return ok("Redis version", found[0])


def judge_memory(used: int, limit: int) -> Finding:
    """Both in bytes; 0 is no limit."""
    detail = f"{used / 2**20:.1f} MiB used"
    if limit:
        return ok("Redis memory", f"{detail} of {limit / 2**20:.0f} MiB")
    remedy = "Set maxmemory below what the machine has."
    return warning("Redis memory", f"{detail}, without a limit", remedy)


def judge_eviction(policy: str) -> Finding:
    """From `maxmemory_policy`. Any key may go at any time; none going is what hurts."""
    if policy == "noeviction":
        detail = "noeviction: once full, Redis refuses to store, and the gateway goes around it"
        return warning("Redis eviction", detail, "Set maxmemory-policy to volatile-lru.")
    return ok("Redis eviction", policy or "not told")


async def _time(client: Redis, clock: Clock) -> list[Finding]:
    before = clock.wall()
    try:
        async with asyncio.timeout(LIMIT_S):
            seconds, microseconds = await client.time()
    except _FAILURES:
        return []  # the scripts need TIME as well, and say so
    middle = (before + clock.wall()) / 2
    return [clocks.judge("Redis", middle - (int(seconds) + int(microseconds) / 1e6))]


async def _scripts(settings: Settings, url: str) -> Finding:
    """What the gateway does: store, read back, invalidate, find nothing."""
    keyspace = KeySpace(settings.redis_prefix)
    store = RemoteStore(connect(url), keyspace, process="doctor", timeout_s=LIMIT_S)
    container, tag, value = Container(SPACE, Scope.COWORKER, "1"), tags.user(1), b"doctor"
    async with aclosing(store):
        try:
            stamp = (await store.load(SPACE, [(container, "f")])).stamp
            put = Put("f", (tag,), value)
            saved = await store.save(container, [put], stamp=stamp, ttl_s=LIMIT_S)
            kept = (await store.load(SPACE, [(container, "f")])).values[0]
            await store.invalidate(SPACE, frozenset({tag}))
            left = (await store.load(SPACE, [(container, "f")])).values[0]
        except StoreUnavailable as error:
            remedy = "It must be a primary, with memory left, and allow EVALSHA, SCRIPT and TIME."
            return fault("Redis scripts", f"refused ({error})", remedy)
    if not saved or kept is None or kept.sealed != value or left is not None:
        remedy = "Use a Redis, or something that does all that Redis 6.2 does."
        return fault("Redis scripts", "what is stored does not come back as it should", remedy)
    return ok("Redis scripts", "store, read and invalidate")


async def _messages(client: Redis, prefix: str) -> Finding:
    channel, sent = f"{prefix}:doctor:{uuid.uuid4().hex}", b"doctor"
    try:
        async with asyncio.timeout(LIMIT_S), client.pubsub() as subscription:
            await subscription.subscribe(channel)
            message = await subscription.get_message(timeout=LIMIT_S)
            await client.publish(channel, sent)
            while message is None or message["data"] != sent:
                message = await subscription.get_message(timeout=LIMIT_S)
    except _FAILURES as error:
        name = "ACL" if isinstance(error, NoPermissionError) else type(error).__name__
        remedy = "Allow SUBSCRIBE and PUBLISH: without them the tier in process stays off."
        return fault("Redis messages", f"not delivered ({name})", remedy)
    return ok("Redis messages", "published and heard")


def _number(info: dict[str, object], name: str) -> int:
    value = info.get(name)
    return value if isinstance(value, int) else 0
