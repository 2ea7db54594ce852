"""The cached calls to Nexudus: the caller's token, the variants, nothing else of the request."""

from __future__ import annotations

from bff.errors import UpstreamError
from bff.nexudus.answers import Answer
from bff.nexudus.budget.contract import Urgency
from bff.nexudus.client import NexudusClient
from bff.nexudus.headers import Header, RawHeaders, Variants, cached_request_headers
from bff.observe.metrics import Metrics
from bff.resources import PROFILES
from bff.session.principal import Principal
from bff.spaces import SpaceTable


class Fetcher:
    """`deadline_s` bounds each call."""

    def __init__(
        self, client: NexudusClient, table: SpaceTable, metrics: Metrics, *, deadline_s: float
    ) -> None:
        self._client = client
        self._table = table
        self._metrics = metrics
        self._deadline_s = deadline_s

    async def fetch(
        self, principal: Principal, path: str, variants: Variants, urgency: Urgency
    ) -> Answer:
        """A GET under the caller's own token. Raises UpstreamError."""
        del urgency
        headers = cached_request_headers(principal.token, variants)
        return await self._get(principal.space, path, headers)

    async def listed_by(self, space: str, credentials: RawHeaders) -> Answer:
        """The profile list under credentials other than a bearer token. Raises UpstreamError."""
        headers: list[Header] = [*credentials, (b"accept", b"application/json")]
        return await self._get(space, PROFILES.path, headers)

    async def _get(self, space: str, path: str, headers: RawHeaders) -> Answer:
        try:
            answer = await self._client.get(
                self._table.by_name(space), path, headers, self._deadline_s
            )
        except UpstreamError as error:
            self._count(space, type(error).__name__)
            raise
        self._count(space, f"{answer.status // 100}xx")
        return answer

    def _count(self, space: str, outcome: str) -> None:
        self._metrics.count("bff_upstream_calls", space, "cached", outcome)
