"""Everything as its operators run it: a Redis, a simulated Nexudus within its documented throttle,
two gateways of two workers each, and fault proxies between them.

Each is a process of its own on loopback; whoever asks does not slow down who answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Final

import httpx
import orjson
import redis

from bff.limits import Limit
from bff.nexudus.breaker import BreakerPolicy
from tests.e2e.commands import HOST, children_of, free_port, unmeasured
from tests.support.fleet_proxies import Ports, Proxies, proxies
from tests.support.gateway import OPS_TOKEN, SECRET
from tests.support.processes import program
from tests.support.redis_server import RedisServer
from tests.support.scraping import samples, total

GATEWAYS: Final = 2
WORKERS: Final = 2
REDIS: Final = "redis"
NEXUDUS: Final = "nexudus"
MOBILE_SHAPE: Final = "User.Id,User.FullName,Profiles.Id,Profiles.IsDefaultProfile,RelatedProfiles"
SURE_TO_MEET_ALL: Final = 8
"""So many connections reach every worker of a gateway, nearly always."""
MANY: Final = 1_000
_PATIENCE_S: Final = 15.0
_POLL_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Terms:
    """How the fleet is set up. Durations in seconds.

    Calls may follow four times as close as documented, and the longer windows allow as many: a run
    of a minute loses Redis ten times, and what has to be asked anew each time must be within the
    budget, of which each process then has a part only.
    """

    members: int = 300
    latency_ms: str = "10-30"
    limits: tuple[Limit, ...] = (Limit(1, 0.025), Limit(1_200, 30.0))
    profiles: tuple[float, float, float] = (3.0, 1.5, 60.0)
    related: tuple[float, float, float] = (4.0, 2.0, 90.0)
    l1_max_age_s: float = 3.0
    deadline_s: float = 10.0
    read_timeout_s: float = 2.0
    redis_timeout_s: float = 0.2
    breaker_open_s: float = 0.3
    budget: bool = True

    @property
    def spacing_s(self) -> float:
        """From one call to the next."""
        return min(limit.window_s for limit in self.limits)

    @property
    def fresh_or_stale_s(self) -> float:
        """How old an answer may be while all is well."""
        return max(sum(self.profiles[:2]), sum(self.related[:2]))

    @property
    def while_failing_s(self) -> float:
        """How old an answer may be while Nexudus fails."""
        return max(self.profiles[0] + self.profiles[2], self.related[0] + self.related[2])

    @property
    def longest_opening_s(self) -> float:
        """How long a breaker leaves Nexudus alone at most."""
        return BreakerPolicy(open_s=self.breaker_open_s).opening_s(MANY, chance=0.0)

    def environment(self) -> dict[str, str]:
        """The variables of a gateway that follow from these terms."""
        numbers: dict[str, float] = {
            "L1_MAX_AGE_S": self.l1_max_age_s,
            "DEADLINE_S": self.deadline_s,
            "CONNECT_TIMEOUT_S": self.read_timeout_s / 2,
            "READ_TIMEOUT_S": self.read_timeout_s,
            "STREAM_TIMEOUT_S": self.deadline_s,
            "REDIS_TIMEOUT_MS": self.redis_timeout_s * 1000,
            "BREAKER_OPEN_S": self.breaker_open_s,
        }
        for name, windows in (("PROFILES", self.profiles), ("RELATED", self.related)):
            for word, seconds in zip(("FRESH", "STALE", "ERROR"), windows, strict=True):
                numbers[f"{name}_{word}_S"] = seconds
        return {
            **{f"BFF_{name}": f"{number:g}" for name, number in numbers.items()},
            "BFF_BUDGET": "on" if self.budget else "off",
            "BFF_BUDGET_CALLS": ",".join(map(str, self.limits)),
            "BFF_SHAPES": orjson.dumps({"mobile": MOBILE_SHAPE}).decode(),
        }


class Gateway:
    """One `bff serve`; it is ended, and started again on the same port."""

    def __init__(self, number: int, log: Path, env: Mapping[str, str]) -> None:
        self.number = number
        self.port = free_port()
        self.up = False
        self._log = log
        self._env = env
        self._running = contextlib.AsyncExitStack()
        self._process: Process | None = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def workers(self) -> list[int]:
        """The process ids of its workers. Linux only."""
        return children_of(self.pid)

    def said(self) -> str:
        """Everything it has written since it was last started."""
        return self._log.read_text(errors="replace")

    async def start(self) -> None:
        """Returns once all of its workers answer."""
        command = (sys.executable, "-m", "bff", "serve", "--port", str(self.port))
        options = ("--workers", str(WORKERS))
        running = program((*command, *options), self._answers, log=self._log, env=self._env)
        self._process = await self._running.enter_async_context(running)
        self.up = True

    async def end(self) -> int:
        """SIGTERM; its exit code."""
        assert self._process is not None
        self.up = False
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        async with asyncio.timeout(_PATIENCE_S):
            code = await self._process.wait()
        await self._running.aclose()
        return code

    async def checks(self) -> list[tuple[float, dict[str, Any]]]:
        """What each of some connections is told by `/readyz`, and when (monotonic).

        Raises httpx.HTTPError.
        """
        limits = httpx.Limits(max_keepalive_connections=0)
        async with _client(timeout=5, limits=limits) as client:
            told = [
                (await client.get(f"{self.url}/readyz"), monotonic())
                for _ in range(SURE_TO_MEET_ALL)
            ]
        return [(at, answer.json()["checks"]) for answer, at in told]

    async def _answers(self, _: Process) -> bool:
        try:
            return all(each["serving"] for _, each in await self.checks())
        except httpx.HTTPError:
            return False


class Nexudus:
    """The simulated Nexudus, spoken to behind the proxies."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = _client(base_url=url, timeout=10)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def control(self, method: str, path: str, body: object = None) -> Any:
        """One call to `/_sandbox/…`."""
        content = None if body is None else orjson.dumps(body)
        answer = await self._client.request(method, f"/_sandbox/{path}", content=content)
        assert answer.is_success, answer.text
        return orjson.loads(answer.content) if answer.content else None

    async def get(self, path: str, token: str) -> Any:
        """The JSON that it answers a member."""
        answer = await self._client.get(path, headers={"authorization": f"Bearer {token}"})
        assert answer.status_code == 200, (path, answer.status_code)
        return orjson.loads(answer.content)

    async def fail(self, *effects: Mapping[str, object], **match: object) -> None:
        """From now on, what matches (everything, unless told) meets these effects."""
        rules = [{"effect": effect, "match": match} for effect in effects]
        await self.control("PUT", "faults", rules)

    async def recover(self) -> None:
        await self.control("DELETE", "faults")

    async def throttle(self, terms: Terms, *, enabled: bool) -> None:
        """Its limits from now on; what was admitted before is forgotten."""
        asked = [{"calls": each.calls, "window_s": each.window_s} for each in terms.limits]
        await self.control("PUT", "throttle", {"enabled": enabled, "limits": asked})


@dataclass(slots=True)
class Fleet:
    """The one door to everything that runs."""

    terms: Terms
    redis: RedisServer
    proxies: Proxies
    nexudus: Nexudus
    gateways: tuple[Gateway, ...]
    kept: dict[str, object] = field(default_factory=dict)

    def tell_redis(self, *words: str) -> Any:
        """One command to Redis itself, behind the proxy; raises redis.RedisError."""
        with redis.Redis.from_url(self.redis.url, socket_timeout=5) as client:
            return client.execute_command(*words)

    async def redis_used(self, within_s: float) -> float:
        """Seconds until every worker used Redis and heard the others, `within_s` at most.

        Until one last said that it did not: to look takes its time, too, on a busy machine.
        """
        began = not_yet = monotonic()
        while monotonic() - began < within_s:
            told = [each for gateway in self.gateways for each in await gateway.checks()]
            without = [at for at, each in told if not _uses_redis(each)]
            if not without:
                return not_yet - began
            not_yet = without[-1]
            await asyncio.sleep(_POLL_S)
        return within_s

    async def metric(self, name: str, **given: str) -> float:
        """The sum of a metric over all workers, any of which tells it for its gateway."""
        found = 0.0
        headers = {"authorization": f"Bearer {OPS_TOKEN}"}
        async with _client(timeout=5) as client:
            for gateway in self.gateways:
                answer = await client.get(f"{gateway.url}/metrics", headers=headers)
                found += total(samples(answer.text), name, **given)
        return found


@asynccontextmanager
async def fleet(terms: Terms, server: RedisServer, folder: Path) -> AsyncIterator[Fleet]:
    """Everything, running and in touch; `server` runs already, logs go to `folder`."""
    sandbox_port, control, to_redis, to_nexudus = (free_port() for _ in range(4))
    places = {
        REDIS: Ports(to_redis, server.port),
        NEXUDUS: Ports(to_nexudus, sandbox_port),
    }
    env = unmeasured(
        {
            "BFF_UPSTREAM": f"http://{HOST}:{to_nexudus}",
            "BFF_REDIS_URL": f"redis://{HOST}:{to_redis}/0",
            "BFF_SECRET": SECRET,
            "BFF_OPS_TOKEN": OPS_TOKEN,
            "BFF_SENTINEL_RATE": "0",
            "BFF_LOG_LEVEL": os.environ.get("FLEET_LOG", "warning"),
            "BFF_LOG_FORMAT": "json",
            **terms.environment(),
        }
    )
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        nexudus = Nexudus(f"http://{HOST}:{sandbox_port}")
        stack.push_async_callback(nexudus.aclose)
        await enter(_sandbox(terms, sandbox_port, folder))
        await nexudus.throttle(terms, enabled=terms.budget)
        opened = await enter(proxies(control, places, log=folder / "proxies.log", env=unmeasured()))
        gateways = tuple(
            Gateway(number, folder / f"gateway{number}.log", env) for number in range(GATEWAYS)
        )
        for gateway in gateways:
            stack.push_async_callback(_ended, gateway)
        await asyncio.gather(*(gateway.start() for gateway in gateways))
        running = Fleet(terms, server, opened, nexudus, gateways)
        assert await running.redis_used(_PATIENCE_S) < _PATIENCE_S, "the gateways use no Redis"
        yield running


@asynccontextmanager
async def _sandbox(terms: Terms, port: int, folder: Path) -> AsyncIterator[None]:
    variables = {
        "BFF_SANDBOX_MEMBERS": str(terms.members),
        "BFF_SANDBOX_LATENCY_MS": terms.latency_ms,
    }
    command = (sys.executable, "-m", "bff", "sandbox", "--port", str(port))

    async def answers(_: Process) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            async with _client() as client:
                answer = await client.get(f"http://{HOST}:{port}/_sandbox/healthz")
            return answer.status_code == 200
        return False

    log = folder / "sandbox.log"
    async with program(command, answers, log=log, env=unmeasured(variables)):
        yield


def _client(**options: Any) -> httpx.AsyncClient:
    # Nobody speaks TLS here, and to read all the authorities takes 20 ms: with every look.
    return httpx.AsyncClient(trust_env=False, verify=False, **options)


def _uses_redis(checks: Mapping[str, Any]) -> bool:
    return bool(checks["store"] == "used" and checks["invalidations"] == "heard")


async def _ended(gateway: Gateway) -> None:
    if gateway.up:
        await gateway.end()
