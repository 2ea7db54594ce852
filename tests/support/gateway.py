"""A stage for the gateway as a whole: simulated spaces, gateways over one store, two members.

Everything listens on real sockets in the test's own event loop. Wall time stands still until the
test advances it; what takes its time upstream is held, and let go on when the test says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Self

import httpx
from starlette.applications import Starlette
from starlette.types import ASGIApp

from bff.app import Seams, build
from bff.nexudus.client import open_pools
from bff.sandbox.app import Sandbox, create_app, sandbox_of
from bff.sandbox.auth import EXPIRES_IN_S, token_digest
from bff.sandbox.calls import Visit
from bff.sandbox.effects import Effect, Hang, Moment
from bff.sandbox.faults import Match, Rule
from bff.sandbox.options import SandboxOptions
from bff.settings import load
from tests.support.fake_clock import FakeClock
from tests.support.plain import PLAIN
from tests.support.serving import serving

BOOTSTRAP: Final = "/session/bootstrap"
PROFILES: Final = "/api/public/coworkers/profiles"
SWITCH: Final = "/api/public/coworkers/profiles/current"
EDIT: Final = "/api/public/coworker/profile"
EMBEDDED: Final = "embedded://"

SECRET: Final = "a-secret-of-forty-characters-for-the-tests"
OPS_TOKEN: Final = "operator-of-the-stage"
WEBHOOK_SECRET: Final = "webhook-secret-of-the-stage"

_PATIENCE_S = 30.0
_POLL_S = 0.002


def related(coworker_id: int) -> str:
    """The related list of one coworker."""
    return f"/api/public/coworkers/published/{coworker_id}/related"


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody with a token. `canary` is in no other member's data."""

    user_id: int
    coworker_id: int
    canary: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return bearer(self.token)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@dataclass(frozen=True, slots=True)
class Tenant:
    """One space: the public host that stands for it, and the simulated Nexudus behind it."""

    host: str
    origin: str
    sandbox: Sandbox
    alice: Member
    bob: Member

    def visits(self, path: str | None = None, *, token: str | None = None) -> list[Visit]:
        """The requests that arrived so far, oldest first, those still under way included.

        An empty `token` stands for requests without one.
        """
        digest = token_digest(token) if token else token
        return [
            visit
            for visit in self.sandbox.calls.log()
            if (path is None or visit.path == path) and (digest is None or visit.token == digest)
        ]

    def arrivals(self, path: str | None = None, *, token: str | None = None) -> int:
        """How many requests arrived."""
        return len(self.visits(path, token=token))

    def forget_visits(self) -> None:
        self.sandbox.calls.reset()

    def fault(
        self,
        effect: Effect,
        path: str | None = None,
        *,
        method: str | None = None,
        token: str | None = None,
        count: int | None = None,
    ) -> None:
        """From now on, requests of exactly this path meet this effect."""
        regex = None if path is None else re.compile(rf"\A{re.escape(path)}\Z")
        match = Match(method=method, path_regex=regex, token=token)
        self.sandbox.faults.add(Rule(effect, match, count=count))

    def hold(
        self,
        path: str,
        *,
        token: str | None = None,
        count: int | None = None,
        at: Moment = "answer",
    ) -> None:
        """From now on, requests of this path wait until they are released."""
        self.fault(Hang(at), path, token=token, count=count)

    async def held(self, at_least: int = 1) -> None:
        """Returns once so many requests are held."""
        async with asyncio.timeout(_PATIENCE_S):
            await self.sandbox.holds.wait_held(at_least)

    def release(self, count: int | None = None) -> None:
        """Hold no more, and let the `count` oldest that are held go on, or all."""
        self.sandbox.faults.clear()
        self.sandbox.holds.release(count)

    def mint(self, member: Member, *, jwt: bool = False, ttl_s: float = EXPIRES_IN_S) -> str:
        """One more token of a member."""
        return self.sandbox.tokens.mint(member.user_id, jwt=jwt, ttl_s=ttl_s)

    def another(self, member: Member) -> Member:
        """The same member with one more token."""
        return Member(member.user_id, member.coworker_id, member.canary, self.mint(member))


class Apps:
    """The clients of the apps: one after the other, so that each has few connections.

    The work of httpcore's pool grows with the square of its connections.
    """

    CONNECTIONS: Final = 25

    def __init__(self) -> None:
        self._busy: dict[httpx.AsyncClient, int] = {}

    @contextlib.contextmanager
    def one(self) -> Iterator[httpx.AsyncClient]:
        """A client with a free connection."""
        free = (client for client, busy in self._busy.items() if busy < self.CONNECTIONS)
        client = next(free, None) or self._opened()
        self._busy[client] = self._busy.get(client, 0) + 1
        try:
            yield client
        finally:
            self._busy[client] -= 1

    async def aclose(self) -> None:
        for client in self._busy:
            await client.aclose()

    def _opened(self) -> httpx.AsyncClient:
        client = httpx.AsyncClient(timeout=20, trust_env=False, verify=_no_trust())
        for name in ("accept", "accept-encoding", "user-agent"):
            del client.headers[name]
        return client


@dataclass(frozen=True, slots=True)
class Gateway:
    """One process' worth of gateway."""

    origin: str
    app: Starlette


@dataclass(slots=True)
class Stage:
    """Everything that a test acts on; `alice` and `bob` are those of the first space.

    `settles`: what an app was answered with is stored, too, before the test goes on.
    """

    clock: FakeClock
    redis_url: str
    settles: bool = True
    tenants: tuple[Tenant, ...] = ()
    gateways: list[Gateway] = field(default_factory=list)
    apps: Apps = field(default_factory=Apps)

    @property
    def tenant(self) -> Tenant:
        return self.tenants[0]

    @property
    def alice(self) -> Member:
        return self.tenant.alice

    @property
    def bob(self) -> Member:
        return self.tenant.bob

    async def send(
        self,
        method: str,
        target: str,
        member: Member | None = None,
        *,
        via: int = 0,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> httpx.Response:
        """One request; `target` goes over the wire exactly as it is written."""
        own = {} if member is None else member.headers
        with self.apps.one() as client:
            answer = await client.request(
                method,
                self.gateways[via].origin,
                headers={**own, **(headers or {})},
                content=content,
                extensions={"target": target.encode("latin-1")},
            )
        if self.settles:
            await self.stored()
        return answer

    async def get(
        self,
        target: str,
        member: Member | None = None,
        *,
        via: int = 0,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        return await self.send("GET", target, member, via=via, headers=headers)

    def later(
        self, target: str, member: Member | None = None, *, via: int = 0, host: str | None = None
    ) -> asyncio.Task[httpx.Response]:
        """A GET that is under way while the test goes on."""
        headers = None if host is None else {"host": host}
        return asyncio.create_task(self.get(target, member, via=via, headers=headers))

    async def upstream(self, target: str, member: Member) -> httpx.Response:
        """What the simulated Nexudus itself answers, without a gateway."""
        with self.apps.one() as client:
            return await client.get(
                self.tenant.origin, headers=member.headers, extensions={"target": target.encode()}
            )

    async def metrics(self, *, via: int = 0) -> str:
        answer = await self.get("/metrics", via=via, headers=bearer(OPS_TOKEN))
        assert answer.status_code == 200
        return answer.text

    async def metric(self, name: str, *labels: str, via: int = 0) -> float:
        """The sum of a metric over its label sets that have all of these values."""
        text = await self.metrics(via=via)
        lines = [line for line in text.splitlines() if re.match(rf"{name}(?:_total)?[{{ ]", line)]
        return sum(
            float(line.rsplit(" ", 1)[1])
            for line in lines
            if all(f'="{label}"' in line for label in labels)
        )

    async def quiet(self) -> None:
        """Returns once no gateway fetches anything."""
        for number in range(len(self.gateways)):
            await until(partial(self._idle, number))

    async def stored(self) -> None:
        """Returns once what was answered with is stored, too, which nobody waits for."""
        while told := [task for task in asyncio.all_tasks() if task.get_name().endswith(", told")]:
            await asyncio.wait(told, timeout=_PATIENCE_S)

    def crowd(self, size: int) -> list[Member]:
        """Alice, with so many tokens."""
        return [self.tenant.another(self.alice) for _ in range(size)]

    async def prove(self, *members: Member) -> None:
        """Let Nexudus accept their tokens."""
        for member in members:
            assert (await self.get(PROFILES, member)).status_code == 200

    async def waiting(self, callers: int, *, via: int = 0) -> None:
        """Returns once so many callers of a gateway wait for fetches."""
        await until(partial(self._waits, callers, via))

    async def _waits(self, callers: int, via: int) -> bool:
        return await self.metric("bff_flight_waiters", via=via) >= callers

    async def _idle(self, via: int) -> bool:
        return await self.metric("bff_flights", via=via) == 0


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Returns once a condition holds that something else brings about."""
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            if await condition():
                return
            await asyncio.sleep(_POLL_S)


@contextlib.asynccontextmanager
async def stage(
    redis_url: str = EMBEDDED,
    *,
    gateways: int = 1,
    hosts: Sequence[str] = ("alpha.test",),
    env: Mapping[str, str] | None = None,
    beside: Stage | None = None,
    wait: bool = True,
    settles: bool = True,
) -> AsyncIterator[Stage]:
    """Open everything; with `wait`, the gateways have heard of each other when it begins.

    `beside`: a stage whose spaces, members and clock this one's gateways share.
    """
    async with contextlib.AsyncExitStack() as stack:
        opened = Stage(FakeClock() if beside is None else beside.clock, redis_url, settles)
        stack.push_async_callback(opened.apps.aclose)
        servers = await stack.enter_async_context(_Servers())
        if beside is None:
            opened.tenants = tuple([await _tenant(servers, opened.clock, host) for host in hosts])
        else:
            opened.tenants = beside.tenants
        settings = load(_environment(opened, env or {}))
        for _ in range(gateways):
            seams = Seams(transport=open_pools(tls=_no_trust), clock=opened.clock)
            app = build(settings, seams)
            opened.gateways.append(Gateway(await servers.open(app), app))
        stack.callback(_let_go, opened)
        if wait and redis_url != EMBEDDED:
            for number in range(gateways):
                await until(partial(_hears, opened, number))
        yield opened


class _Servers:
    """Servers that end together: each takes a moment to, and a stage has several."""

    def __init__(self) -> None:
        self._closing = asyncio.Event()
        self._running: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing.set()
        await asyncio.gather(*self._running)

    async def open(self, app: ASGIApp) -> str:
        """Serve one more application; its origin, once it answers."""
        opened: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def serve() -> None:
            async with serving(app) as origin:
                opened.set_result(origin)
                await self._closing.wait()

        task = asyncio.create_task(serve(), name="served")
        self._running.append(task)
        task.add_done_callback(lambda _: opened.cancel())
        try:
            return await opened
        except asyncio.CancelledError:
            if task.done():
                task.result()
            raise


async def _tenant(servers: _Servers, clock: FakeClock, host: str) -> Tenant:
    name = host.partition(".")[0]
    options = SandboxOptions(space=name, members=0, throttle=False, clock=clock)
    app = create_app(options)
    origin = await servers.open(app)
    sandbox = sandbox_of(app)
    alice, bob = (
        _member(sandbox, user_id, coworker_id, f"canary-of-{who}-of-{name}")
        for who, user_id, coworker_id in (("alice", 7001, 101), ("bob", 7002, 202))
    )
    return Tenant(host, origin, sandbox, alice, bob)


def _member(sandbox: Sandbox, user_id: int, coworker_id: int, canary: str) -> Member:
    sandbox.world.edit(coworker_id, {"Canary": canary})
    return Member(user_id, coworker_id, canary, sandbox.tokens.mint(user_id))


def _environment(opened: Stage, env: Mapping[str, str]) -> dict[str, str]:
    if len(opened.tenants) == 1:
        spaces = {"BFF_UPSTREAM": opened.tenant.origin}
    else:
        pairs = (f"{tenant.host}={tenant.origin}" for tenant in opened.tenants)
        spaces = {"BFF_SPACES": ",".join(pairs)}
    return {
        **spaces,
        "BFF_REDIS_URL": opened.redis_url,
        # A busy test machine is slow, and never away.
        "BFF_REDIS_TIMEOUT_MS": "5000",
        "BFF_SECRET": SECRET,
        "BFF_OPS_TOKEN": OPS_TOKEN,
        "BFF_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "BFF_SENTINEL_RATE": "0",
        **PLAIN,
        **env,
    }


async def _hears(opened: Stage, via: int) -> bool:
    answer = await opened.get("/readyz", via=via)
    heard: bool = answer.json()["checks"]["invalidations"] == "heard"
    return heard


def _let_go(opened: Stage) -> None:
    for tenant in opened.tenants:
        tenant.release()


def _no_trust() -> ssl.SSLContext:
    """Trusts nobody, and takes no time to make: for upstreams without TLS."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
