"""`POST /hooks/nexudus[/{space}]`: signed webhooks, answered once they are applied."""

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
from bff.errors import UnknownHost
from bff.hooks.bodies import Bodies
from bff.hooks.deliveries import Digests, Effects
from bff.hooks.events import Affected
from bff.hooks.receive import WebhookReceiver
from bff.spaces import SpaceTable

log = structlog.get_logger("bff.hooks")

ROUTE = "/hooks/nexudus"
MEMORY_S: Final = 86_400.0
"""How long a delivery is remembered, so that the same one is not heeded twice."""

_APPLIED: Final = """
local found = {}
for i, name in ipairs(KEYS) do found[i] = redis.call('EXISTS', name) end
return found
"""
_REMEMBER: Final = """
for _, name in ipairs(KEYS) do redis.call('SET', name, '1', 'PX', ARGV[1]) end
return {}
"""


def dropping(
    secrets: Mapping[str, bytes], store: GuardedStore, invalidator: Invalidator, clock: Clock
) -> WebhookReceiver:
    """A receiver whose webhooks drop what they are about; `secrets` by space."""

    async def applied(space: str, digests: Digests) -> Digests:
        asked = sorted(digests)
        found = await store.run(space, _APPLIED, [*map(_name, asked)], [])
        return frozenset(digest for digest, is_known in zip(asked, found, strict=True) if is_known)

    async def remember(space: str, digests: Digests) -> None:
        await store.run(space, _REMEMBER, [*map(_name, digests)], [round(MEMORY_S * 1000)])

    async def invalidate(space: str, affected: Affected) -> None:
        dropped = {tags.user(u) for u in affected.users}
        dropped |= {tags.coworker(c) for c in affected.coworkers}
        await invalidator.invalidate(space, frozenset(dropped), "webhook")

    def report(space: str, affected: Affected, error: Exception) -> None:
        log.error("webhook_failed", space=space, affected=repr(affected), reason=str(error))

    return WebhookReceiver(secrets, Effects(applied, remember, invalidate, report), clock)


def _name(digest: str) -> str:
    # As `Store.remember` names it, for processes of versions that used that.
    return f"once:webhook-{digest}"


class HookEndpoint:
    """With one space the path may leave it out; with several it names the space."""

    def __init__(self, receiver: WebhookReceiver, table: SpaceTable) -> None:
        self._receiver = receiver
        self._table = table
        self._bodies = Bodies()

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
        # The body is named nowhere: it goes once its ids are read, however long they wait.
        accepted = await self._receiver.accept(
            space, scope["headers"], await self._bodies.read(receive, scope["headers"])
        )
        if not (accepted.duplicate or accepted.affected.understood):
            # It is Nexudus that says it otherwise than we know, and nobody else would tell.
            log.warning("webhook_not_understood", space=space)
        answer = Response(
            status_code=204, headers={"cache-control": "no-store", "vary": "Authorization, Origin"}
        )
        await answer(scope, receive, send)
