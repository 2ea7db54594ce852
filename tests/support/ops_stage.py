"""What operators look at: two spaces, a Redis, a gateway of two workers, members who come and go.

Each is a process of its own, as it is run: `bff sandbox`, `redis-server`, `bff serve`.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import orjson

from tests.e2e.commands import HOST, free_port, unmeasured
from tests.support.fleet import Gateway, Nexudus
from tests.support.gateway import SECRET
from tests.support.processes import program
from tests.support.redis_server import RedisServer

ACTS: Final = "operator-jane-who-may-act"
READS: Final = "operator-carl-who-may-read"
SPACES: Final = ("acme", "beta")
BOOTSTRAP: Final = "/session/bootstrap?_shape=@mobile"
MEMBERS: Final = 6
_PAUSE_S: Final = 0.04
_BFF: Final = (sys.executable, "-m", "bff")


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody with a token, and the Host that their app asks."""

    user_id: int
    host: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"host": self.host, "authorization": f"Bearer {self.token}"}


class Load:
    """Members who ask for their bootstrap, one after the other; every answer is counted.

    `answers`: by status; 0 stands for those that never came.
    """

    def __init__(self, url: str, members: list[Member]) -> None:
        self.answers: Counter[int] = Counter()
        self._url = url
        self._members = members

    @property
    def requests(self) -> int:
        return self.answers.total()

    async def some(self, requests: int, target: str = BOOTSTRAP) -> None:
        """So many, as fast as they come, with a few at a time."""
        async with self._client() as client:
            waiting = [self._members[n % len(self._members)] for n in range(requests)]

            async def app() -> None:
                while waiting:
                    await self._ask(client, waiting.pop(), target)

            await asyncio.gather(*(app() for _ in range(4)))

    @asynccontextmanager
    async def running(self, pause_s: float = _PAUSE_S) -> AsyncIterator[None]:
        """One after the other with a pause, until the end of the block."""
        done = asyncio.Event()

        async def go_on() -> None:
            async with self._client() as client:
                number = 0
                while not done.is_set():
                    await self._ask(client, self._members[number % len(self._members)], BOOTSTRAP)
                    number += 1
                    await asyncio.sleep(pause_s)

        apps = [asyncio.create_task(go_on()) for _ in range(3)]
        try:
            yield
        finally:
            done.set()
            await asyncio.gather(*apps)

    async def _ask(self, client: httpx.AsyncClient, member: Member, target: str) -> None:
        try:
            answer = await client.get(target, headers=member.headers)
        except httpx.TransportError:
            self.answers[0] += 1
        else:
            self.answers[answer.status_code] += 1

    def _client(self) -> httpx.AsyncClient:
        # Each connection is another worker's, perhaps: more than one is needed to meet both.
        limits = httpx.Limits(max_keepalive_connections=4, keepalive_expiry=1)
        return _client(self._url, limits=limits)


@dataclass(slots=True)
class OpsStage:
    """The one door to everything that runs."""

    redis: RedisServer
    nexudus: Mapping[str, Nexudus]
    gateway: Gateway
    members: list[Member] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.gateway.url

    @property
    def jane(self) -> Member:
        """The first member of the first space."""
        return self.members[0]

    def load(self) -> Load:
        return Load(self.url, self.members)

    async def ask(self, path: str, token: str = ACTS, body: object = None) -> Any:
        """The JSON of the operators' API."""
        async with _client(self.url) as client:
            answer = await client.request(
                "GET" if body is None else "POST",
                f"/ops/api/{path}",
                headers={"authorization": f"Bearer {token}"},
                content=None if body is None else orjson.dumps(body),
            )
        assert answer.status_code == 200, answer.text
        return orjson.loads(answer.content)

    async def counted(self, metric: str, *labels: str) -> float:
        """The sum of a counter over the series that have these labels, as `/metrics` tells it."""
        async with _client(self.url) as client:
            answer = await client.get("/metrics", headers={"authorization": f"Bearer {ACTS}"})
        lines = [line for line in answer.text.splitlines() if line.startswith(f"{metric}_total{{")]
        return sum(
            float(line.rsplit(" ", 1)[1])
            for line in lines
            if all(label in line for label in labels)
        )

    async def get(self, member: Member, target: str = BOOTSTRAP) -> httpx.Response:
        async with _client(self.url) as client:
            return await client.get(target, headers=member.headers)

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The lines of the gateway's log of this name."""
        lines = [line for line in self.gateway.said().splitlines() if f'"{event}"' in line]
        return [orjson.loads(line) for line in lines]

    async def fail(self, **effect: object) -> None:
        """From now on, Nexudus answers all spaces so."""
        for each in self.nexudus.values():
            await each.fail(effect)

    async def recover(self) -> None:
        for each in self.nexudus.values():
            await each.recover()


@asynccontextmanager
async def ops_stage(folder: Path, redis: RedisServer, **variables: str) -> AsyncIterator[OpsStage]:
    """Everything running; a few members of each space have a token."""
    async with contextlib.AsyncExitStack() as stack:
        sandboxes = await asyncio.gather(
            *(stack.enter_async_context(_sandbox(space, folder)) for space in SPACES)
        )
        nexudus = dict(zip(SPACES, sandboxes, strict=True))
        gateway = Gateway(1, folder / "gateway.log", _environment(nexudus, redis, variables))
        await gateway.start()
        stack.push_async_callback(gateway.end)
        opened = OpsStage(redis, nexudus, gateway)
        for space, each in nexudus.items():
            people = await each.control("GET", "members")
            active = [row["user_id"] for row in people if row["active"] and row["customer"]]
            minted = await each.control("POST", "tokens", {"user_ids": active[:MEMBERS]})
            opened.members += [
                Member(row["user_id"], f"{space}.test", row["token"]) for row in minted["tokens"]
            ]
        yield opened


def _client(url: str, **options: Any) -> httpx.AsyncClient:
    # Nobody speaks TLS here, and to read all the authorities takes 20 ms.
    return httpx.AsyncClient(base_url=url, timeout=15, trust_env=False, verify=False, **options)


def _environment(
    nexudus: Mapping[str, Nexudus], redis: RedisServer, variables: Mapping[str, str]
) -> dict[str, str]:
    own = {
        "BFF_SPACES": ",".join(f"{space}.test={each.url}" for space, each in nexudus.items()),
        "BFF_REDIS_URL": redis.url,
        # A busy test machine is slow, and never away.
        "BFF_REDIS_TIMEOUT_MS": "2000",
        "BFF_SECRET": SECRET,
        "BFF_OPS_TOKENS": f"jane:act={ACTS},carl:read={READS}",
        "BFF_LOG_FORMAT": "json",
        "BFF_SENTINEL_RATE": "0",
        "BFF_FRESHNESS_JITTER": "0",
        "BFF_RETRIES": "0",
        "BFF_DEADLINE_S": "5",
        "BFF_BREAKER_OPEN_S": "0.5",
        "BFF_BUDGET_CALLS": "1/10ms,1200/m",
        **variables,
    }
    return unmeasured(own)


@asynccontextmanager
async def _sandbox(space: str, folder: Path) -> AsyncIterator[Nexudus]:
    port = free_port()
    nexudus = Nexudus(f"http://{HOST}:{port}")

    async def answers(_: Process) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return bool(await nexudus.control("GET", "healthz"))
        return False

    options = ("--port", str(port), "--space", space, "--members", "40", "--no-throttle")
    command = (*_BFF, "sandbox", *options)
    try:
        async with program(command, answers, log=folder / f"{space}.log", env=unmeasured()):
            yield nexudus
    finally:
        await nexudus.aclose()


def number_in(text: str, words: str) -> int:
    """The number before some words: `1,234 in the hour` is 1234."""
    found = re.search(rf"([\d,]+) {re.escape(words)}", text)
    assert found, f"{words!r} in {text!r}"
    return int(found[1].replace(",", ""))
