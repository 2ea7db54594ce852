"""`POST /hooks/nexudus[/{space}]`: signed webhooks, answered at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from bff.cache import tags
from bff.cache.guarded import GuardedStore
from bff.cache.invalidation import Invalidator
from bff.clock import Clock
from bff.edge import exchange as exchanges
from bff.errors import Overloaded, UnknownHost
from bff.hooks.events import Affected
from bff.hooks.receive import WebhookReceiver, read_body
from bff.spaces import SpaceTable

log = structlog.get_logger("bff.hooks")

ROUTE = "/hooks/nexudus"
BODIES = 64
"""Read at once at most: whoever sends one may be anybody until it is whole."""
MEMORY_S: Final = 86_400.0
"""How long a delivery is remembered, so that the same one is not heeded twice."""


def dropping(
    secrets: Mapping[str, bytes], store: GuardedStore, invalidator: Invalidator, clock: Clock
) -> WebhookReceiver:
    """A receiver whose webhooks drop what they are about; `secrets` by space."""

    async def once(space: str, digest: str) -> bool:
        return await store.remember(space, f"webhook-{digest}", MEMORY_S)

    async def invalidate(space: str, affected: Affected) -> None:
        dropped = {tags.user(u) for u in affected.users}
        dropped |= {tags.coworker(c) for c in affected.coworkers}
        await invalidator.invalidate(space, frozenset(dropped), "webhook")

    def report(space: str, affected: Affected, error: Exception) -> None:
        log.error("webhook_failed", space=space, affected=repr(affected), reason=str(error))

    return WebhookReceiver(secrets, once=once, invalidate=invalidate, report=report, clock=clock)


class HookEndpoint:
    """With one space the path may leave it out; with several it names the space."""

    def __init__(self, receiver: WebhookReceiver, table: SpaceTable) -> None:
        self._receiver = receiver
        self._table = table
        self._reading = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchanges.of(scope).route = ROUTE
        name = scope["path_params"].get("space")
        if name is None:
            space = exchanges.space_of(scope).name
        else:
            try:
                space = self._table.by_name(name).name
            except KeyError:
                raise UnknownHost("This path names no configured space.") from None
        if self._reading >= BODIES:
            raise Overloaded("too many webhooks at once: deliver this one again", retry_after_s=1)
        self._reading += 1
        try:
            body = await read_body(receive, headers=scope["headers"])
        finally:
            self._reading -= 1
        accepted = await self._receiver.accept(space, scope["headers"], body)
        if not (accepted.duplicate or accepted.affected.understood):
            # It is Nexudus that says it otherwise than we know, and nobody else would tell.
            log.warning("webhook_not_understood", space=space)
        answer = Response(
            status_code=204, headers={"cache-control": "no-store", "vary": "Authorization, Origin"}
        )
        await answer(scope, receive, send)
