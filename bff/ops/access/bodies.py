"""Reading what operators post: a JSON object, within bounds of size and time."""

from __future__ import annotations

import asyncio
from typing import Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from bff.errors import BodyTooLarge, ParameterError, RequestStalled
from bff.spaces import SpaceTable

MAX_BODY: Final = 4096
MAX_QUESTION: Final = 32 * 1024
"""A request to be explained is posted with its headers, of which a token alone may have 8 KiB."""
BODY_WITHIN_S = 10.0


async def json_object(request: Request, max_bytes: int = MAX_BODY) -> dict[str, object]:
    """Raises BodyTooLarge, RequestStalled, and ParameterError for anything but an object."""
    body = b""
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > max_bytes:
                    raise BodyTooLarge(f"Send at most {max_bytes} bytes.")
    except TimeoutError:
        raise RequestStalled(f"The body was not whole within {BODY_WITHIN_S:g} s.") from None
    try:
        asked: object = orjson.loads(body)
    except ValueError:
        asked = None
    if not isinstance(asked, dict):
        raise ParameterError("Send a JSON object.")
    return asked


def json_answer(content: object) -> Response:
    """200 with JSON; whoever guards the route forbids to keep it."""
    return Response(orjson.dumps(content), media_type="application/json")


def named_space(asked: dict[str, object], table: SpaceTable) -> str:
    """The space that `"space"` names; without one, the only space that is served.

    Raises ParameterError where that is not one.
    """
    name = asked.get("space")
    if name is None and len(table.spaces) == 1:
        return table.spaces[0].name
    try:
        return table.by_name(str(name)).name
    except KeyError:
        known = ", ".join(space.name for space in table.spaces)
        raise ParameterError(f'"space" must be one of: {known}.') from None
