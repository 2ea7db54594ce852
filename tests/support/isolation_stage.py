"""What the machine acts on: gateways over one Redis, two simulated spaces, one wall clock.

Everything the machine does is a coroutine in an event loop that runs in a thread of its own: the
heartbeats of gateways that live there too go on while the machine thinks.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import itertools
import re
import threading
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, TypeVar, cast

import httpx
import orjson
import redis

from tests.support.gateway import OPS_TOKEN, WEBHOOK_SECRET, until
from tests.support.isolation_answers import Answer
from tests.support.isolation_model import SPACES, Json, Windows

T = TypeVar("T")

HOSTS: Final = {space: f"{space}.test" for space in SPACES}

DEADLINES: Final = {"BFF_DEADLINE_S": "1.2", "BFF_READ_TIMEOUT_S": "1", "BFF_STREAM_TIMEOUT_S": "1"}
"""Settings of every gateway, so that a call which hangs does not take long."""

_STEP_LIMIT_S = 30.0
_CALL_LIMIT_S = 15.0
_WEBHOOKS = re.compile(
    r'^bff_invalidations_total\{[^}]*cause="webhook"[^}]*\} (\S+)$', re.MULTILINE
)


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="isolation stage")
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], limit_s: float = _STEP_LIMIT_S) -> T:
        """The result of `work`, run there."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(limit_s)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


class Time:
    """The wall clock of everything on the stage, in UTC seconds; the machine lets it pass."""

    def wall(self) -> float:
        raise NotImplementedError

    async def advance(self, seconds: float) -> None:
        """Let so much wall time pass; a negative number sets it back."""
        raise NotImplementedError

    def rewind(self) -> None:
        """Undo it all, as far as it can be."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where everything listens, and how it is set up. Durations in seconds.

    `hooked`: the gateways that webhooks go to, one process each, whose metrics tell when one is
    done. `leaps`: by how much the wall clock moves. `lifetimes`: of the tokens that name their end.
    `keeps_connections`: not where several workers share an address.
    """

    gateways: tuple[str, str]
    sandboxes: Mapping[str, str]
    redis_url: str
    windows: Windows
    hooked: tuple[int, ...]
    leaps: tuple[float, ...]
    lifetimes: tuple[float, ...]
    keeps_connections: bool = True


@dataclass(slots=True)
class Stage:
    """The one door of the machine to what it tests.

    `examples` numbers the examples, `tally` counts what happened in all of them, `failures` tells
    the course of those that failed: what depends on the moment may not fail again.
    """

    loop: Loop
    place: Place
    time: Time
    examples: Iterator[int] = field(default_factory=itertools.count)
    tally: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    _gateways: tuple[httpx.AsyncClient, ...] = ()
    _sandboxes: Mapping[str, httpx.AsyncClient] = field(default_factory=dict)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run(work)

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Connections to everything; the spaces answer by language from here on."""
        kept = None if self.place.keeps_connections else 0
        async with contextlib.AsyncExitStack() as stack:

            async def client(origin: str) -> httpx.AsyncClient:
                opened = httpx.AsyncClient(
                    base_url=origin,
                    timeout=_CALL_LIMIT_S,
                    trust_env=False,
                    verify=False,
                    limits=httpx.Limits(max_keepalive_connections=kept),
                )
                del opened.headers["accept-encoding"]
                return await stack.enter_async_context(opened)

            self._gateways = tuple([await client(origin) for origin in self.place.gateways])
            self._sandboxes = {
                space: await client(origin) for space, origin in self.place.sandboxes.items()
            }
            for space in SPACES:
                await self.control(space, "PUT", "behaviour", {"variants": True})
            yield

    async def ask(
        self,
        gateway: int,
        space: str,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: Json | None = None,
    ) -> Answer:
        """One call to a gateway; a connection that is cut is a status of 0."""
        sent = {"host": HOSTS[space], "accept": "application/json", **headers}
        if body is not None:
            sent["content-type"] = "application/json"
        content = None if body is None else orjson.dumps(body)
        client, began = self._gateways[gateway], monotonic()
        try:
            answer = await client.request(method, target, headers=sent, content=content)
        except (httpx.RemoteProtocolError, httpx.ReadError):
            return Answer(0, {}, b"", self.time.wall(), monotonic() - began)
        ended, took_s = self.time.wall(), monotonic() - began
        return Answer(answer.status_code, answer.headers, answer.content, ended, took_s)

    async def control(self, space: str, method: str, path: str, body: object = None) -> Any:
        """One call to `/_sandbox/…` of a space."""
        content = None if body is None else orjson.dumps(body)
        answer = await self._sandboxes[space].request(method, f"/_sandbox/{path}", content=content)
        assert answer.is_success or answer.status_code == 408, answer.text
        return orjson.loads(answer.content) if answer.content else None

    async def idle(self, space: str) -> None:
        """Returns once the space has no call under way."""

        async def is_idle() -> bool:
            return not (await self.control(space, "GET", "calls"))["in_flight"]

        await until(is_idle)

    async def deliver(self, gateway: int, space: str, entity: Json) -> None:
        """Send a signed webhook, and wait until what it drops is dropped everywhere."""
        body = orjson.dumps([entity])
        signature = hmac.digest(WEBHOOK_SECRET.encode(), body, hashlib.sha256).hex().upper()
        headers = {"host": HOSTS[space], "x-nexudus-hook-signature": signature}
        before = await self._webhooks_done(gateway)
        client = self._gateways[gateway]
        answer = await client.post("/hooks/nexudus", headers=headers, content=body)
        assert answer.status_code == 204, answer.text

        async def is_done() -> bool:
            return await self._webhooks_done(gateway) > before

        await until(is_done)

    async def purge(self, gateway: int, space: str, what: Json) -> None:
        """An operator drops something of a space, everywhere."""
        named = {"space": self.place.sandboxes[space].removeprefix("http://"), **what}
        headers = {"authorization": f"Bearer {OPS_TOKEN}"}
        answer = await self.ask(gateway, space, "POST", "/ops/api/purge", headers, named)
        assert answer.status == 200, answer.body
        assert orjson.loads(answer.body)["everywhere"], answer.body

    def empty_redis(self) -> None:
        """FLUSHALL, what the processes know of each other included."""
        with redis.Redis.from_url(self.place.redis_url) as client:
            client.flushall(asynchronous=False)

    def forget_stored(self) -> None:
        """Drop everything stored, but for what the processes know of each other."""
        with redis.Redis.from_url(self.place.redis_url) as client:
            keys = cast(list[bytes], client.keys())
            stored = [key for key in keys if not key.endswith(b":processes")]
            if stored:
                client.delete(*stored)

    async def _webhooks_done(self, gateway: int) -> float:
        headers = {"authorization": f"Bearer {OPS_TOKEN}"}
        answer = await self._gateways[gateway].get("/metrics", headers=headers)
        assert answer.status_code == 200
        return sum(map(float, _WEBHOOKS.findall(answer.text)))
