"""The webhook door: proves a delivery, answers at once, invalidates behind the answer."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from bff.clock import Clock
from bff.errors import (
    BodyTooLarge,
    CredentialsError,
    HeaderError,
    Overloaded,
    RequestStalled,
    StoreUnavailable,
)
from bff.hooks.events import Affected, parse_events
from bff.hooks.verify import signature_is_valid

SIGNATURE_HEADER = b"x-nexudus-hook-signature"
MAX_BODY = 1024 * 1024
BODY_WITHIN_S = 10.0

RawHeaders: TypeAlias = Iterable[tuple[bytes, bytes]]
Once: TypeAlias = Callable[[str, str], Awaitable[bool]]
Invalidate: TypeAlias = Callable[[str, Affected], Awaitable[None]]
Report: TypeAlias = Callable[[str, Affected, Exception], None]

_LENGTH = re.compile(rb"[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class Accepted:
    """A proven delivery. A duplicate affects nobody a second time."""

    duplicate: bool
    affected: Affected


@dataclass(frozen=True, slots=True)
class ReceiverLimits:
    """How much runs behind the answers at once, and how long a failing invalidation is tried."""

    running: int = 64
    attempt_timeout_s: float = 5.0
    retry_delays_s: tuple[float, ...] = (0.2, 1.0, 3.0)


class WebhookReceiver:
    """Accepts signed deliveries and owns the invalidations that follow from them.

    A space without a secret in `secrets`, or with an empty one, takes no webhooks. `once(space,
    digest)` remembers a delivery and says whether it is the first; `invalidate(space, affected)`
    must bear repetition; `report(space, affected, error)` hears what was given up, must not raise.
    """

    def __init__(
        self,
        secrets: Mapping[str, bytes],
        *,
        once: Once,
        invalidate: Invalidate,
        report: Report,
        clock: Clock,
        limits: ReceiverLimits | None = None,
    ) -> None:
        self._secrets = secrets
        self._once = once
        self._invalidate = invalidate
        self._report = report
        self._clock = clock
        self._limits = ReceiverLimits() if limits is None else limits
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def accept(self, space_name: str, headers: RawHeaders, body: bytes) -> Accepted:
        """Prove the delivery and begin to act on it; returns before the invalidation is done.

        Raises HeaderError (400) for a repeated signature, CredentialsError (401) for an absent or
        wrong one or a space without a secret, Overloaded (503) when too much runs or after aclose:
        Nexudus then delivers again (FACTS section 9).
        """
        digest = self._prove(space_name, headers, body)
        if self._closed or len(self._tasks) >= self._limits.running:
            raise Overloaded("too many webhooks at once: deliver this one again", retry_after_s=1)
        affected = parse_events(body)
        first: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        # Owned from here on: a delivery that is remembered and then lost with a cancelled caller
        # would be taken for a duplicate when it comes again.
        task = asyncio.create_task(self._settle(space_name, digest, affected, first))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: first.cancel())
        if await asyncio.shield(first):
            return Accepted(duplicate=False, affected=affected)
        return Accepted(duplicate=True, affected=Affected(understood=affected.understood))

    async def aclose(self) -> None:
        """Accept nothing more and wait for the invalidations under way; may be repeated."""
        self._closed = True
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _prove(self, space_name: str, headers: RawHeaders, body: bytes) -> str:
        """The digest under which this delivery is remembered; raises as `accept` does."""
        presented = [value for name, value in headers if name.lower() == SIGNATURE_HEADER]
        if len(presented) > 1:
            raise HeaderError("X-Nexudus-Hook-Signature is repeated: send it once")
        secret = self._secrets.get(space_name, b"")
        if not secret:
            raise CredentialsError(
                "this space takes no webhooks: BFF_WEBHOOK_SECRET is not set for it"
            )
        signature = presented[0].decode("latin-1") if presented else None
        if signature is None or not signature_is_valid(body, secret, signature):
            raise CredentialsError(
                "X-Nexudus-Hook-Signature is missing or is not the HMAC-SHA256 of this body"
            )
        # Of the signature, not of the body: copies altered where the signed ASCII form is blind
        # share their signature, and so count as replays.
        return hashlib.sha256(bytes.fromhex(signature)).hexdigest()

    async def _settle(
        self, space_name: str, digest: str, affected: Affected, first: asyncio.Future[bool]
    ) -> None:
        is_first = await self._is_first(space_name, digest, affected)
        first.set_result(is_first)
        if is_first and not affected.empty:
            await self._invalidate_or_report(space_name, affected)

    async def _is_first(self, space_name: str, digest: str, affected: Affected) -> bool:
        # Without a memory every delivery is the first: a replay can only invalidate again.
        try:
            async with asyncio.timeout(self._limits.attempt_timeout_s):
                return await self._once(space_name, digest)
        except StoreUnavailable:
            return True
        except Exception as error:
            self._report(space_name, affected, error)
            return True

    async def _invalidate_or_report(self, space_name: str, affected: Affected) -> None:
        delays = iter(self._limits.retry_delays_s)
        while True:
            try:
                async with asyncio.timeout(self._limits.attempt_timeout_s):
                    await self._invalidate(space_name, affected)
            except Exception as error:
                delay_s = next(delays, None)
                if delay_s is None:
                    self._report(space_name, affected, error)
                    return
            else:
                return
            await self._clock.sleep(delay_s)


async def read_body(receive: Receive, limit: int = MAX_BODY, headers: RawHeaders = ()) -> bytes:
    """The request body, at most `limit` bytes; never holds more than one chunk beyond that.

    Raises BodyTooLarge (413), before reading when Content-Length says so; HeaderError (400) for a
    repeated or malformed Content-Length (RFC 9110 section 8.6); RequestStalled (408) when it is not
    whole within BODY_WITHIN_S; starlette's ClientDisconnect when the sender leaves before the end.
    """
    declared = [value for name, value in headers if name.lower() == b"content-length"]
    if len(declared) > 1 or not all(map(_LENGTH.fullmatch, declared)):
        raise HeaderError("Content-Length is repeated or is not a number of bytes")
    if any(int(length) > limit for length in declared):
        raise _too_large(limit)
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            return await _whole(receive, limit)
    except TimeoutError:
        raise RequestStalled(f"the body was not whole within {BODY_WITHIN_S:g} s") from None


async def _whole(receive: Receive, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"the request body passes {limit} bytes")
