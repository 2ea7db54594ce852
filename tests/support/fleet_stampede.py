"""Everybody at once: so many callers of one document, over all workers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from bff.sandbox.auth import token_digest
from tests.support.fleet import GATEWAYS, Fleet
from tests.support.fleet_members import minted
from tests.support.gateway import PROFILES
from tests.support.raw_client import RawConnection
from tests.support.redis_server import HOST

CALLERS: Final = 1_000
SLOW_MS: Final = 800
"""How long Nexudus takes for it: long enough for all to arrive before it is there."""
_JANE: Final = 7001
_LIMIT: Final = 2**20
_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class Stampede:
    """Callers with a connection each, all of them with one token."""

    fleet: Fleet
    token: str
    connections: list[RawConnection]

    async def run(self) -> Counter[int]:
        """All ask for the profile list at once: how often they were told which status."""
        nexudus = self.fleet.nexudus
        await nexudus.fail({"kind": "latency", "ms": SLOW_MS}, path_prefix=PROFILES)
        head = f"GET {PROFILES} HTTP/1.1\r\nhost: app.test\r\nauthorization: Bearer {self.token}"
        request = f"{head}\r\n\r\n".encode()
        answers = await asyncio.gather(*(each.ask(request) for each in self.connections))
        await nexudus.recover()
        told = Counter((each.status, each.body[:120]) for each in answers)
        assert len({answer.body for answer in answers}) == 1, told.most_common(5)
        return Counter(answer.status for answer in answers)

    async def calls(self) -> int:
        """How many calls have reached Nexudus for them."""
        log = await self.fleet.nexudus.control("GET", "log")
        digest = token_digest(self.token)
        return sum(visit["token"] == digest for visit in log)


@asynccontextmanager
async def gathered(fleet: Fleet, callers: int = CALLERS) -> AsyncIterator[Stampede]:
    """The callers, connected."""
    _allow_open_files(2 * callers)
    (token,) = await minted(fleet.nexudus, _JANE)
    connections: list[RawConnection] = []
    try:
        while len(connections) < callers:
            ports = [fleet.gateways[number % GATEWAYS].port for number in range(_AT_ONCE)]
            connecting = (asyncio.open_connection(HOST, port, limit=_LIMIT) for port in ports)
            opened = await asyncio.gather(*connecting)
            connections += [RawConnection(*streams) for streams in opened]
        yield Stampede(fleet, token, connections)
    finally:
        for connection in connections:
            connection.leave()


def _allow_open_files(number: int) -> None:
    """Raise this process' limit if it is lower; elsewhere than on Unix there is none."""
    try:
        import resource  # noqa: PLC0415 - Unix only
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < number:
        most = number if hard == resource.RLIM_INFINITY else min(number, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
