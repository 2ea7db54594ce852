"""`POST /hooks/nexudus[/{space}]`: signed webhooks, answered at once."""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from bff.edge import exchange as exchanges
from bff.errors import Overloaded, UnknownHost
from bff.hooks.receive import WebhookReceiver, read_body
from bff.spaces import SpaceTable

ROUTE = "/hooks/nexudus"
BODIES = 64
"""Read at once at most: whoever sends one may be anybody until it is whole."""


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
        await self._receiver.accept(space, scope["headers"], body)
        answer = Response(
            status_code=204, headers={"cache-control": "no-store", "vary": "Authorization, Origin"}
        )
        await answer(scope, receive, send)
