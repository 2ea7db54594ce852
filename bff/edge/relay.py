"""Every other call: streamed to Nexudus and back, never stored; writes are followed by drops."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

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
from bff.errors import CredentialsError
from bff.nexudus.admission import Admission, Tries
from bff.nexudus.blame import Asked
from bff.nexudus.budget.contract import Priority, Urgency
from bff.nexudus.client import Call, NexudusClient
from bff.nexudus.headers import Header, upward, values_of
from bff.nexudus.intent import FORWARDED, Intent
from bff.nexudus.passthrough import Passage, Plan, ResponseCutError, forward
from bff.session.principal import Principal, identify
from bff.session.reads import Reads
from bff.session.writes import Writer, Writes, changes_profiles

_CREDENTIALS = frozenset((b"authorization", b"cookie"))
# Prefixes: whatever a lenient router might take for one of these (FACTS 2.1, 2.2).
_TOKEN_ROUTES = re.compile(
    r"/api/(?:token|sys/users/(?:[0-9]+/)?(?:token|exchange)|public/auth/"
    r"|public/coworkers/[^/]+/impersonate)"
    r"|/[a-z]{2}(?:-[a-z]{2,4})?/user/",
    re.IGNORECASE,
)


def hands_out_tokens(path: str) -> bool:
    """Whether an answer of this route may hold a token, GETs included; `path` as sent, encoded."""
    return _TOKEN_ROUTES.match(unquote(path)) is not None


@dataclass(frozen=True, slots=True)
class RelayBounds:
    """`max_body`: bytes of a request body. `idle_s`: bounds each wait of a stream.

    `deadline_s`: how long a request that can be sent may be held back, or made again.
    """

    max_body: int
    idle_s: float
    deadline_s: float


@dataclass(frozen=True, slots=True)
class _Care:
    """What an answer has to say to caches: `personal` depends on who asks, `secret` on nothing."""

    personal: bool
    secret: bool


class Relay:
    """The pass-through."""

    def __init__(
        self,
        client: NexudusClient,
        reads: Reads,
        writes: Writes,
        keyring: Keyring,
        admission: Admission,
        bounds: RelayBounds,
    ) -> None:
        self._client = client
        self._reads = reads
        self._writes = writes
        self._keyring = keyring
        self._admission = admission
        self._bounds = bounds

    async def __call__(self, scope: Scope, receive: Receive, send: Send, target: Target) -> None:
        space = exchanges.space_of(scope)
        writer = self._writer(scope)
        # By what came, not by what goes up: `Connection: Authorization` would make it public.
        personal = any(name.lower() in _CREDENTIALS for name, _ in scope["headers"])
        writing = changes_profiles(scope["method"], target.path)
        care = _Care(personal, secret=writing or hands_out_tokens(target.path))

        async def settle() -> None:
            """The write may have been executed: nobody reads what was cached before it again."""
            if writing and personal:
                await self._writes.settle(writer, target.query)

        async def before_start(status: int, headers: list[Header]) -> list[Header]:
            # 4xx: Nexudus refused, so nothing changed. 5xx may come after the change.
            if not 400 <= status < 500:
                await settle()
            if status == 401 and writer.principal is not None:
                await self._reads.refused(writer.principal, on_profiles=False)
            return _finished(status, headers, care)

        # Nexudus executes a write whether or not its caller waits: if the call were ended with its
        # caller, the drops that follow it could come before the change that they are for.
        plan = Plan(
            self._bounds.max_body, self._bounds.idle_s, before_start, settle, finishes=writing
        )
        passage = Passage(
            self._client, space, lambda call: self._tries(scope, target.path, call, care)
        )
        try:
            done = await forward(scope, receive, send, passage=passage, plan=plan)
        except ResponseCutError as cut:
            exchanges.of(scope).cache = f"cut after {cut.forwarded.bytes_down} bytes"
            raise
        exchanges.of(scope).status = done.status

    def _tries(self, scope: Scope, path: str, call: Call, care: _Care) -> Tries:
        # Of the older interface, whose paths begin with a language, GETs can change something.
        repeatable = not care.secret and path.startswith("/api/")
        intent = Intent(
            space=exchanges.space_of(scope).name,
            purpose=FORWARDED,
            urgency=Urgency(Priority.FORWARDED, exchanges.of(scope).started),
            until=self._client.clock.monotonic() + self._bounds.deadline_s,
            method=call.method,
            repeatable=repeatable and call.method in ("GET", "HEAD") and call.body is None,
            asked=Asked(call.method, path, call.body is not None, call.arriving),
        )
        return self._admission.tries(intent)

    def _writer(self, scope: Scope) -> Writer:
        """Who calls. Raises HeaderError for credentials that two readers could take differently."""
        space = exchanges.space_of(scope).name
        single(scope["headers"], b"authorization")
        held = tuple(pair for pair in upward(scope["headers"]) if pair[0] in _CREDENTIALS)
        return Writer(space, self._principal(scope), held)

    def _principal(self, scope: Scope) -> Principal | None:
        """The caller by its bearer token; other schemes (FACTS 2.2) are passed on as they are."""
        try:
            token = bearer(scope["headers"])
        except CredentialsError:
            return None
        return identify(exchanges.space_of(scope).name, token, self._keyring)


def _finished(status: int, headers: list[Header], care: _Care) -> list[Header]:
    """Nexudus' headers, made safe for caches in between, and how the call was handled."""
    kept = [(n, v) for n, v in headers if n not in (b"cache-control", b"vary", b"expires")]
    caching = b", ".join(values_of(headers, b"cache-control")).decode("latin-1")
    vary = b", ".join(values_of(headers, b"vary")).decode("latin-1")
    # A cookie that Nexudus sets on anybody is that client's own from then on.
    personal = care.personal or bool(values_of(headers, b"set-cookie"))
    if care.secret:
        caching = "no-store"
    elif personal:
        caching = private_cache_control(caching or None)
    if caching:
        kept.append((b"cache-control", caching.encode("latin-1")))
    required = (*PASS_THROUGH_VARY, "Cookie") if personal else PASS_THROUGH_VARY
    kept.append((b"vary", merge_vary(vary or None, required).encode("latin-1")))
    status_line = cache_status(Forward(Forwarded.BYPASS, status=status))
    kept.append((b"cache-status", status_line.encode()))
    return kept
