"""The webhook door: proves a delivery, and answers once it is applied."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from bff.clock import Clock
from bff.errors import (
    BodyTooLarge,
    CredentialsError,
    HeaderError,
    Overloaded,
    RequestStalled,
)
from bff.hooks.deliveries import Deliveries, DeliveryLimits, Effects, Outcome
from bff.hooks.events import Affected, parse_events
from bff.hooks.verify import signature_is_valid

SIGNATURE_HEADER = b"x-nexudus-hook-signature"
MAX_BODY = 1024 * 1024
BODY_WITHIN_S = 10.0
ANSWERED_WITHIN_S: Final = 10.0
"""A sender is told to come again if its delivery is not applied by then."""

RawHeaders: TypeAlias = Iterable[tuple[bytes, bytes]]

_LENGTH = re.compile(rb"[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class Accepted:
    """A delivery that is applied. A duplicate affects nobody a second time."""

    duplicate: bool
    affected: Affected


class WebhookReceiver:
    """Accepts signed deliveries, and answers each once what it is about is dropped.

    A space without a secret in `secrets`, or with an empty one, takes no webhooks.
    """

    def __init__(
        self,
        secrets: Mapping[str, bytes],
        effects: Effects,
        clock: Clock,
        limits: DeliveryLimits | None = None,
        answered_within_s: float = ANSWERED_WITHIN_S,
    ) -> None:
        self._secrets = secrets
        self._deliveries = Deliveries(effects, clock, limits or DeliveryLimits())
        self._answered_within_s = answered_within_s
        self._closed = False

    async def accept(self, space_name: str, headers: RawHeaders, body: bytes) -> Accepted:
        """Prove the delivery and have it applied, also if its caller is cancelled.

        Raises HeaderError (400) for a repeated signature, CredentialsError (401) for an absent or
        wrong one or a space without a secret, Overloaded (503) when too many wait, when it is not
        applied in time, and after aclose: Nexudus then delivers again (FACTS section 9).
        """
        digest = self._prove(space_name, headers, body)
        if self._closed:
            raise Overloaded("this process is stopping: deliver this one again", retry_after_s=1)
        affected = parse_events(body)
        del body  # many may wait, and each body may be large
        outcome = self._deliveries.add(space_name, digest, affected)
        # Not the caller's to cancel: others may wait for the same.
        await asyncio.wait({outcome}, timeout=self._answered_within_s)
        if not outcome.done() or outcome.cancelled() or outcome.result() is Outcome.FAILED:
            said = "the webhook could not be applied in time: deliver this one again"
            raise Overloaded(said, retry_after_s=1)
        if outcome.result() is Outcome.APPLIED:
            return Accepted(duplicate=False, affected=affected)
        return Accepted(duplicate=True, affected=Affected(understood=affected.understood))

    async def aclose(self) -> None:
        """Accept nothing more and wait for the invalidations under way; may be repeated."""
        self._closed = True
        await self._deliveries.aclose()

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
