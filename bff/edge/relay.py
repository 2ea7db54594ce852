"""Every other call: streamed to Nexudus and back, never stored; writes are followed by drops."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from bff.cache.secrets import Keyring
from bff.edge import exchange as exchanges
from bff.edge.caching import (
    PASS_THROUGH_VARY,
    Forward,
    Forwarded,
    cache_status,
    merge_vary,
    private_cache_control,
)
from bff.edge.headers_in import bearer, single
from bff.edge.target import Target
from bff.errors import CredentialsError, UpstreamError
from bff.nexudus.client import NexudusClient
from bff.nexudus.headers import Header, values_of
from bff.nexudus.passthrough import Plan, ResponseCutError, forward
from bff.observe.metrics import Metrics
from bff.session.principal import Principal, identify
from bff.session.reads import Reads
from bff.session.writes import Writes, changes_profiles


@dataclass(frozen=True, slots=True)
class RelayBounds:
    """`max_body`: bytes of a request body. `idle_s`: bounds each wait of a stream."""

    max_body: int
    idle_s: float


class Relay:
    """The pass-through."""

    def __init__(
        self,
        client: NexudusClient,
        reads: Reads,
        writes: Writes,
        keyring: Keyring,
        metrics: Metrics,
        bounds: RelayBounds,
    ) -> None:
        self._client = client
        self._reads = reads
        self._writes = writes
        self._keyring = keyring
        self._metrics = metrics
        self._bounds = bounds

    async def __call__(self, scope: Scope, receive: Receive, send: Send, target: Target) -> None:
        space = exchanges.space_of(scope)
        authorized = single(scope["headers"], b"authorization") is not None
        personal = authorized or bool(values_of(scope["headers"], b"cookie"))
        principal = self._principal(scope) if authorized else None
        writing = changes_profiles(scope["method"], target.path)

        async def settle() -> None:
            """The write may have been executed: nobody reads what was cached before it again."""
            if writing and personal:
                await self._writes.settle(space.name, principal, target.query)

        async def before_start(status: int, headers: list[Header]) -> list[Header]:
            # 4xx: Nexudus refused, so nothing changed. 5xx may come after the change.
            if not 400 <= status < 500:
                await settle()
            if status == 401 and principal is not None:
                await self._reads.refused(principal, on_profiles=False)
            return _finished(status, headers, personal=personal)

        plan = Plan(self._bounds.max_body, self._bounds.idle_s, before_start, settle)
        try:
            done = await forward(scope, receive, send, client=self._client, space=space, plan=plan)
        except ResponseCutError as cut:
            self._metrics.count("bff_upstream_calls", space.name, "forwarded", "cut")
            exchanges.of(scope).cache = f"cut after {cut.forwarded.bytes_down} bytes"
            raise
        except UpstreamError as error:
            self._metrics.count("bff_upstream_calls", space.name, "forwarded", type(error).__name__)
            raise
        outcome = f"{done.status // 100}xx"
        self._metrics.count("bff_upstream_calls", space.name, "forwarded", outcome)
        exchange = exchanges.of(scope)
        exchange.status = done.status

    def _principal(self, scope: Scope) -> Principal | None:
        """Who calls, if by bearer token; other schemes (FACTS 2.2) are passed on as they are."""
        try:
            token = bearer(scope["headers"])
        except CredentialsError:
            return None
        return identify(exchanges.space_of(scope).name, token, self._keyring)


def _finished(status: int, headers: list[Header], *, personal: bool) -> list[Header]:
    """Nexudus' headers, made safe for caches in between, and how the call was handled."""
    kept = [(n, v) for n, v in headers if n not in (b"cache-control", b"vary", b"expires")]
    caching = [v.decode("latin-1") for v in values_of(headers, b"cache-control")]
    vary = [v.decode("latin-1") for v in values_of(headers, b"vary")]
    if personal:
        value = private_cache_control(", ".join(caching) or None)
        kept.append((b"cache-control", value.encode()))
    elif caching:
        kept.append((b"cache-control", ", ".join(caching).encode("latin-1")))
    required = (*PASS_THROUGH_VARY, "Cookie") if personal else PASS_THROUGH_VARY
    kept.append((b"vary", merge_vary(", ".join(vary) or None, required).encode("latin-1")))
    status_line = cache_status(Forward(Forwarded.BYPASS, status=status))
    kept.append((b"cache-status", status_line.encode()))
    return kept
