"""The cached calls to Nexudus: the caller's token, the variants, nothing else of the request."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from bff.errors import Overloaded, UpstreamError
from bff.nexudus.admission import Admission, Attempt
from bff.nexudus.answers import Answer
from bff.nexudus.budget.contract import Priority, Urgency
from bff.nexudus.client import NexudusClient
from bff.nexudus.headers import Header, RawHeaders, cached_request_headers
from bff.nexudus.intent import Intent, Purpose, Reason
from bff.nexudus.retry import Cause
from bff.resources import PROFILES
from bff.session.landing import Call
from bff.spaces import SpaceTable

BEGUN: Final = 0.75
"""Part of a deadline within which a call has to begin; the rest is for its answer, and for whoever
waits to be told of a refusal rather than of a timeout."""


@dataclass(frozen=True, slots=True)
class _Errand:
    """A GET, and its time in monotonic seconds: the latest begin of a call, and the end of all."""

    path: str
    headers: RawHeaders
    begins_by: float
    ends_by: float


async def _nothing() -> None:
    return None


class Fetcher:
    """`deadline_s` bounds each fetch: the wait for its turn, the calls and their repetitions.

    A fetch raises UpstreamError: Overloaded also where Nexudus throttles until after the deadline.
    """

    def __init__(
        self, client: NexudusClient, table: SpaceTable, admission: Admission, *, deadline_s: float
    ) -> None:
        self._client = client
        self._table = table
        self._admission = admission
        self._deadline_s = deadline_s

    async def fetch(self, call: Call) -> Answer:
        """A GET under the caller's own token."""
        principal = call.principal
        headers = cached_request_headers(principal.token, call.variants)
        errand = self._errand(call.path, headers, self._deadline_s)
        intent = Intent(
            principal.space, call.purpose, call.urgency, errand.begins_by,
            repeatable=True, bearer=principal.digest,
        )  # fmt: skip
        return await self._get(intent, errand, call.begins)

    async def listed_by(self, space: str, credentials: RawHeaders, within_s: float) -> Answer:
        """The profile list under credentials other than a bearer token."""
        headers: list[Header] = [*credentials, (b"accept", b"application/json")]
        purpose = Purpose(PROFILES.name, Reason.LISTING)
        errand = self._errand(PROFILES.path, headers, min(within_s, self._deadline_s))
        urgency = Urgency(Priority.FORWARDED, self._admission.clock.monotonic())
        intent = Intent(space, purpose, urgency, errand.begins_by, repeatable=True)
        return await self._get(intent, errand)

    def _errand(self, path: str, headers: RawHeaders, within_s: float) -> _Errand:
        now = self._admission.clock.monotonic()
        return _Errand(path, headers, now + BEGUN * within_s, now + within_s)

    async def _get(
        self, intent: Intent, errand: _Errand, begins: Callable[[], Awaitable[None]] = _nothing
    ) -> Answer:
        space, tries = self._table.by_name(intent.space), self._admission.tries(intent)
        while True:
            try:
                async with tries.attempt() as attempt:
                    await begins()
                    left_s = max(0.0, errand.ends_by - self._admission.clock.monotonic())
                    answer = await self._client.get(
                        space, errand.path, errand.headers, left_s, attempt
                    )
                    await attempt.answered(answer.status, answer.headers)
            except UpstreamError:
                delay_s = tries.delay()
                if delay_s is None:
                    raise
            else:
                delay_s = tries.delay()
                if delay_s is None:
                    return _final(answer, attempt)
            await self._admission.clock.sleep(delay_s)


def _final(answer: Answer, attempt: Attempt) -> Answer:
    mishap = attempt.mishap
    if mishap is not None and mishap.cause is Cause.THROTTLED:
        raise Overloaded(
            "Nexudus allows this space no call for the moment.",
            retry_after_s=math.ceil(mishap.retry_after_s),
        )
    return answer
