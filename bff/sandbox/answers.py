"""Answers in the forms that Nexudus uses: shaped JSON, envelopes, empty errors, HTML (FACTS 7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import orjson
from starlette.requests import Request
from starlette.responses import Response

from bff.sandbox.shaping import project, selection_of

JSON = "application/json; charset=utf-8"
HTML = "text/html; charset=utf-8"

LOGIN_PAGE = b"<!DOCTYPE html><html><head><title>Log in</title></head><body></body></html>"


class Refusal(Exception):
    """An answer other than success; `body` is the JSON value to send, or nothing."""

    def __init__(self, status: int, body: object = None) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


async def refusal_response(_: Request, refusal: Exception) -> Response:
    """Turns a Refusal into its response; without a body it has no content type either."""
    assert isinstance(refusal, Refusal)
    if refusal.body is None:
        return Response(status_code=refusal.status)
    return encoded(orjson.dumps(refusal.body), refusal.status)


def encoded(body: bytes, status: int = 200) -> Response:
    """JSON that is already bytes."""
    return Response(body, status, media_type=JSON)


def shaped(request: Request, value: object) -> Response:
    """200 with the JSON value, filtered by the request's `_shape`."""
    return encoded(orjson.dumps(project(selection_of(shape_text(request)), value)))


def shape_text(request: Request) -> str:
    """The request's `_shape`, empty when it has none."""
    if b"_shape" not in request.scope["query_string"]:
        return ""
    return request.query_params.get("_shape", "")


def html() -> Response:
    """What `/{lang}/…` answers when content negotiation or authentication misses."""
    return Response(LOGIN_PAGE, media_type=HTML)


def confirmation(value: object = None, message: str | None = None) -> dict[str, object]:
    """The envelope of a write that was carried out."""
    return {
        "WasSuccessful": True,
        "Value": value,
        "Status": 200,
        "Message": message,
        "Errors": None,
    }


def failure(field: str, attempted: object, message: str) -> dict[str, object]:
    """The envelope of a write that was not, which Nexudus sends with status 200."""
    errors = [{"AttemptedValue": attempted, "Message": message, "PropertyName": field}]
    return {
        "WasSuccessful": False,
        "Value": None,
        "Status": 500,
        "Message": message,
        "Errors": errors,
    }


def invalid(field: str, attempted: object, message: str) -> Refusal:
    """400 in the documented validation form."""
    errors = [{"AttemptedValue": attempted, "Message": message, "PropertyName": field}]
    body = {
        "Message": f"{field}: {message}",
        "Value": None,
        "Errors": errors,
        "WasSuccessful": False,
    }
    return Refusal(400, body)


async def json_object(request: Request) -> Mapping[str, object]:
    """The request's body as a JSON object. Raises Refusal 400."""
    try:
        value: object = orjson.loads(await request.body())
    except orjson.JSONDecodeError:
        raise Refusal(400, "not valid") from None
    if not isinstance(value, dict):
        raise Refusal(400, "not valid")
    return cast(dict[str, object], value)


def id_of(text: str) -> int:
    """A 64-bit id out of a path or query; -1, which nothing has, for any other text."""
    fits = text.isascii() and text.isdigit() and len(text) <= 19
    return int(text) if fits else -1
