"""`/openapi.json`: the gateway's own routes (OpenAPI 3.1)."""

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from bff.edge import exchange as exchanges


class OpenApiEndpoint:
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchanges.of(scope).route = "/openapi.json"
        await JSONResponse({})(scope, receive, send)
