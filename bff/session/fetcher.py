"""The cached calls to Nexudus: the caller's token, the variants, nothing else of the request."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
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
from bff.spaces import Space, SpaceTable

BEGUN: Final = 0.75
"""Part of a deadline within which a call has to begin; the rest is for its answer, and for whoever
waits to be told of a refusal rather than of a timeout."""


@dataclass(frozen=True, slots=True)
class _Errand:
    """A GET, and its time in monotonic seconds: the latest begin of a call, and the end of all.

    `bearer`: the digest of its token, if it has one.
    """

    space: Space
    purpose: Purpose
    path: str
    headers: RawHeaders
    begins_by: float
    ends_by: float
    bearer: str = ""


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
        headers = cached_request_headers(call.principal.token, call.variants)
        space, within_s = call.principal.space, self._deadline_s
        errand = self._errand(space, call.purpose, call.path, headers, within_s)
        errand = replace(errand, bearer=call.principal.digest)
        return await self._get(errand, call.urgency, call.begins)

    async def listed_by(self, space: str, credentials: RawHeaders, within_s: float) -> Answer:
        """The profile list under credentials other than a bearer token."""
        headers: list[Header] = [*credentials, (b"accept", b"application/json")]
        purpose = Purpose(PROFILES.name, Reason.LISTING)
        within_s = min(within_s, self._deadline_s)
        errand = self._errand(space, purpose, PROFILES.path, headers, within_s)
        now = self._admission.clock.monotonic()
        return await self._get(errand, Urgency(Priority.FORWARDED, now))

    def _errand(
        self, space: str, purpose: Purpose, path: str, headers: RawHeaders, within_s: float
    ) -> _Errand:
        now = self._admission.clock.monotonic()
        begins_by, ends_by = now + BEGUN * within_s, now + within_s
        return _Errand(self._table.by_name(space), purpose, path, headers, begins_by, ends_by)

    async def _get(
        self, errand: _Errand, urgency: Urgency, begins: Callable[[], Awaitable[None]] = _nothing
    ) -> Answer:
        name, purpose, bearer = errand.space.name, errand.purpose, errand.bearer
        intent = Intent(name, purpose, urgency, errand.begins_by, repeatable=True, bearer=bearer)
        tries = self._admission.tries(intent)
        while True:
            try:
                async with tries.attempt() as attempt:
                    await begins()
                    answer = await self._called(errand, attempt)
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

    async def _called(self, errand: _Errand, attempt: Attempt) -> Answer:
        left_s = max(0.0, errand.ends_by - self._admission.clock.monotonic())
        return await self._client.get(errand.space, errand.path, errand.headers, left_s, attempt)


def _final(answer: Answer, attempt: Attempt) -> Answer:
    mishap = attempt.mishap
    if mishap is not None and mishap.cause is Cause.THROTTLED:
        raise Overloaded(
            "Nexudus allows this space no call for the moment.",
            retry_after_s=math.ceil(mishap.retry_after_s),
        )
    return answer
