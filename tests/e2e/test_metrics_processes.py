"""`/metrics` of several workers: one truth whoever is asked, also when a worker is killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.e2e.commands import HOST, Command, children_of, free_port
from tests.support.gateway import BOOTSTRAP, OPS_TOKEN, SECRET, bearer, until
from tests.support.plain import PLAIN
from tests.support.redis_server import RedisServer
from tests.support.scraping import Key, by_label, samples, steps_back, total

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

TOKEN: Final = "t-jane"
CONNECTIONS: Final = 8
PACE_S: Final = 0.05
"""Between two scrapes, which leaves the machine to those that are scraped."""
L1_BYTES: Final = 2**20
ASKED: Final = {
    BOOTSTRAP: bearer(TOKEN),
    f"{BOOTSTRAP}?_shape=User.Id": bearer(TOKEN),
    "/session/bootstrap?": {},
    "/nowhere": {},
}
EVERYBODY: Final = 12
"""So many answers in a row, each over a connection of its own, come from every worker."""


def opened(url: str) -> httpx.AsyncClient:
    """A client without the certificates that take most of the time to open one."""
    trusting_nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx.AsyncClient(base_url=url, trust_env=False, timeout=20, verify=trusting_nobody)


@dataclass(slots=True)
class Load:
    """Requests over a few connections. `answered`: by status, as the clients got them."""

    url: str
    answered: Counter[str] = field(default_factory=Counter)
    broken: int = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Until the end of the block, where nothing is under way any more."""
        over = asyncio.Event()
        tasks = [asyncio.create_task(self._client(over)) for _ in range(CONNECTIONS)]
        try:
            yield
        finally:
            over.set()
            await asyncio.gather(*tasks)

    async def more(self, requests: int) -> None:
        """Returns once so many more were answered."""
        aim = self.answered.total() + requests

        async def reached() -> bool:
            return self.answered.total() >= aim

        await until(reached)

    async def _client(self, over: asyncio.Event) -> None:
        async with opened(self.url) as client:
            while not over.is_set():
                for target, headers in ASKED.items():
                    try:
                        answer = await client.get(target, headers=headers)
                    except httpx.TransportError:
                        self.broken += 1
                    else:
                        self.answered[str(answer.status_code)] += 1


async def scraped(url: str) -> dict[Key, float]:
    """By whichever worker accepts, and lives to answer."""
    while True:
        with contextlib.suppress(httpx.TransportError):
            async with opened(url) as client:
                answer = await client.get("/metrics", headers=bearer(OPS_TOKEN))
            assert answer.status_code == 200
            return samples(answer.text)


def requests(found: dict[Key, float]) -> Counter[str]:
    """Those of the load, by status."""
    counted = Counter[str]()
    for route in (BOOTSTRAP, "unmatched"):
        for status, times in by_label(found, "bff_requests_total", "status", route=route).items():
            counted[status] += int(times)
    return counted


async def watch(url: str, over: asyncio.Event) -> int:
    """Scrape on and on: nothing that was counted is ever less. How often it was scraped."""
    before, times = await scraped(url), 1
    while not over.is_set():
        after = await scraped(url)
        assert steps_back(before, after) == []
        before, times = after, times + 1
        await asyncio.sleep(PACE_S)
    return times


@contextlib.asynccontextmanager
async def served(redis_url: str, temporary: Path) -> AsyncIterator[tuple[str, Command]]:
    """Two workers in front of a simulated Nexudus."""
    upstream, port = free_port(), free_port()
    variables = {
        "BFF_UPSTREAM": f"http://{HOST}:{upstream}",
        "BFF_REDIS_URL": redis_url,
        "BFF_REDIS_TIMEOUT_MS": "5000",
        "BFF_SECRET": SECRET,
        "BFF_OPS_TOKEN": OPS_TOKEN,
        "BFF_L1_BYTES": str(L1_BYTES),
        "BFF_LOG_LEVEL": "warning",
        "BFF_SENTINEL_RATE": "0",
        "TMPDIR": str(temporary),
        **PLAIN,
    }
    quiet = ("--members", "0", "--no-throttle", "--demo-token", TOKEN)
    with (
        Command("sandbox", "--port", str(upstream), *quiet) as sandbox,
        Command("serve", "--port", str(port), "--workers", "2", **variables) as gateway,
    ):
        url = f"http://{HOST}:{port}"
        await asyncio.to_thread(sandbox.serves, f"http://{HOST}:{upstream}/_sandbox/healthz")
        await asyncio.to_thread(gateway.serves, f"{url}/readyz")
        await until(partial(_serving, url, 2))
        yield url, gateway


async def _serving(url: str, workers: int) -> bool:
    return total(await scraped(url), "bff_workers") == workers


async def agreed(url: str, of: Callable[[dict[Key, float]], object]) -> object:
    """What every worker says."""
    said = [of(await scraped(url)) for _ in range(EVERYBODY)]
    assert all(each == said[0] for each in said)
    return said[0]


def left_in(folder: Path, pattern: str = "*") -> list[Path]:
    """What there is of such a name."""
    return list(folder.glob(pattern))


async def settled(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        await until(condition)


async def test_a_worker_that_is_killed_takes_nothing_back(
    own_redis: RedisServer, tmp_path: Path
) -> None:
    async with served(own_redis.url, tmp_path) as (url, gateway):
        load, over = Load(url), asyncio.Event()
        watching = asyncio.create_task(watch(url, over))
        async with load.running():
            await load.more(200)
        # Nothing is under way: what was counted is what the clients got.
        assert await agreed(url, requests) == load.answered
        assert load.broken == 0
        assert set(load.answered) == {"200", "401", "404"}

        [directory] = left_in(tmp_path)
        assert directory.stat().st_mode & 0o777 == 0o700
        killed, other = children_of(gateway.process.pid)
        async with load.running():
            await load.more(100)
            os.kill(killed, signal.SIGKILL)

            async def replaced() -> bool:
                now = children_of(gateway.process.pid)
                return len(now) == 2 and killed not in now and await _serving(url, 2)

            await settled(replaced)
            await load.more(100)
        counted = await agreed(url, requests)
        assert isinstance(counted, Counter)
        # A request may be counted whose answer broke off on its way, and none else.
        assert load.answered <= counted
        assert counted.total() <= load.answered.total() + load.broken
        assert load.broken <= CONNECTIONS

        last = await scraped(url)
        assert total(last, "bff_l1_limit_bytes") == 2 * L1_BYTES
        gauges = {path.stem.rpartition("_")[2] for path in left_in(directory, "gauge_live*")}
        assert gauges == {str(pid) for pid in children_of(gateway.process.pid)}
        assert str(other) in gauges
        counters = {path.stem.rpartition("_")[2] for path in left_in(directory, "counter_*.db")}
        assert counters == {"0", *gauges}
        over.set()
        assert await watching > 3

        with (directory / f"histogram_{other}.db").open("r+b") as file:
            file.write(b"\x7f" * 64)
        assert await agreed(url, requests) == counted, "its worker goes on, and every scrape"
    assert left_in(tmp_path) == []
    assert gateway.output.count("counts_lost") == 1
