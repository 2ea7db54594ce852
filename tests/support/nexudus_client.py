"""A client with real pools, beside the upstream that it calls."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bff.clock import SystemClock
from bff.nexudus.client import MAX_ANSWER, NexudusClient, Timeouts, open_pools
from tests.support.raw_upstream import Handler, Upstream, upstream

PATIENT = Timeouts()


def no_trust() -> ssl.SSLContext:
    """Trusts nobody, and takes no time to make: for upstreams without TLS."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@asynccontextmanager
async def nexudus_client(
    timeouts: Timeouts = PATIENT, *, connections: int = 100, max_answer: int = MAX_ANSWER
) -> AsyncIterator[NexudusClient]:
    pools = open_pools(connections, tls=no_trust)
    client = NexudusClient(pools, timeouts, SystemClock(), max_answer=max_answer)
    try:
        yield client
    finally:
        await client.aclose()


@asynccontextmanager
async def client_and_upstream(
    handler: Handler,
    timeouts: Timeouts = PATIENT,
    *,
    connections: int = 100,
    max_answer: int = MAX_ANSWER,
) -> AsyncIterator[tuple[NexudusClient, Upstream]]:
    async with (
        upstream(handler) as up,
        nexudus_client(timeouts, connections=connections, max_answer=max_answer) as client,
    ):
        yield client, up
