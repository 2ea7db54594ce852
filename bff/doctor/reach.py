"""Whether Nexudus answers: any HTTP answer will do; without one, the step that fails is named."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from bff import __version__
from bff.clock import Clock
from bff.doctor import clocks
from bff.doctor.findings import Finding, fault, ok, warning
from bff.errors import UpstreamError
from bff.nexudus.client import Call, NexudusClient
from bff.nexudus.delivery import Head
from bff.nexudus.headers import values_of
from bff.spaces import Origin, Space

PATH: Final = b"/api/public/businesses/current"
_HEADERS: Final = (
    (b"accept", b"application/json"),
    (b"user-agent", f"bff/{__version__}".encode()),
)


@dataclass(frozen=True, slots=True)
class _Answered:
    """A head, how long it took, and the wall time half-way."""

    head: Head
    took_s: float
    at: float


async def reach(client: NexudusClient, space: Space, clock: Clock, limit_s: float) -> list[Finding]:
    """Of one space: the answer, and the clock beside its Date."""
    try:
        answered = await _ask(client, space, clock, limit_s)
    except (UpstreamError, TimeoutError) as error:
        reason = await _failing_step(space.origin, limit_s)
        detail = reason or f"connects, but does not answer ({_words(error, limit_s)})"
        remedy = "Check BFF_UPSTREAM or BFF_SPACES, and that this machine may reach it."
        return [fault(f"Nexudus {space.name}", detail, remedy)]
    ahead_s = _ahead_s(answered)
    skew = [] if ahead_s is None else [clocks.judge(f"Nexudus {space.name}", ahead_s)]
    return [_judged(space, answered), *skew]


async def _ask(client: NexudusClient, space: Space, clock: Clock, limit_s: float) -> _Answered:
    began, sent_at = clock.monotonic(), clock.wall()
    async with asyncio.timeout(limit_s):
        async with client.stream(space, Call("GET", PATH, _HEADERS), limit_s) as exchange:
            head = await exchange.head()
            took_s = clock.monotonic() - began
    return _Answered(head, took_s, sent_at + took_s / 2)


def _judged(space: Space, answered: _Answered) -> Finding:
    check, status = f"Nexudus {space.name}", answered.head.status
    detail = f"{space.origin.url} answers {status} in {answered.took_s * 1000:.0f} ms"
    if status in (409, 429):
        return warning(check, f"{detail}: throttled", "Other programs use up the space's limits.")
    if status >= 500:
        return warning(check, detail, "Nexudus is unwell, or a proxy before it.")
    types = values_of(answered.head.headers, b"content-type")
    if status == 200 and not any(b"json" in each.lower() for each in types):
        return warning(check, f"{detail}, without JSON", "Is this the host of a Nexudus space?")
    return ok(check, detail)


def _ahead_s(answered: _Answered) -> float | None:
    """Seconds that this clock is ahead of Nexudus' Date (whole seconds); None without a Date."""
    headers = answered.head.headers
    with contextlib.suppress(ValueError, IndexError):
        moment = parsedate_to_datetime(values_of(headers, b"date")[0].decode("latin-1"))
        ages = values_of(headers, b"age") or (b"0",)
        told = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() + int(ages[0])
        return answered.at - (told + 0.5)
    return None


async def _failing_step(origin: Origin, limit_s: float) -> str:
    """In words: name, TCP or TLS; empty if a connection can be had."""
    tls = httpx.create_ssl_context(trust_env=False) if origin.scheme == "https" else None
    try:
        async with asyncio.timeout(limit_s):
            _, writer = await asyncio.open_connection(origin.host, origin.port, ssl=tls)
    except socket.gaierror:
        return f"the name {origin.host} does not resolve"
    except ssl.SSLCertVerificationError as error:
        return f"TLS: its certificate is refused: {error.verify_message}"
    except ssl.SSLError as error:
        return f"TLS: {error.reason or 'the handshake fails'}"
    except TimeoutError:
        return f"TCP: no connection to {origin.url} within {limit_s:.0f} s"
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "every address refuses"
        return f"TCP: no connection to {origin.url}: {reason}"
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return ""


def _words(error: Exception, limit_s: float) -> str:
    return str(error) or f"within {limit_s:.0f} s"
