"""The operators' page and its figures, as OpenAPI."""

from __future__ import annotations

from typing import Final

from bff.edge.openapi.answers import refusals
from bff.edge.openapi.headers import unstored_headers
from bff.edge.openapi.notation import Json, exactly, flag, media, ref, text
from bff.errors import CredentialsError, Overloaded, ParameterError

_JSON: Final = "application/json"


def page_paths() -> Json:
    """Path items by path."""
    return {
        "/ops": {"get": _page()},
        "/ops/assets/{name}": {"parameters": [_name()], "get": _asset()},
        "/ops/api/snapshot": {"get": _snapshot()},
        "/ops/api/live": {"get": _live()},
    }


def _page() -> Json:
    return {
        "operationId": "readPage",
        "tags": ["operators"],
        "summary": "The operators' page, which asks for the operator token itself",
        "security": [],
        "responses": {"200": _file("The page.", "text/html"), "304": _unchanged()},
    }


def _name() -> Json:
    return {
        "name": "name",
        "in": "path",
        "required": True,
        "description": "A file of the page.",
        "schema": text(),
        "example": "style.css",
    }


def _asset() -> Json:
    return {
        "operationId": "readPageFile",
        "tags": ["operators"],
        "summary": "A file of the operators' page",
        "security": [],
        "responses": {
            "200": _file("The file.", "text/css", "text/javascript", "text/html"),
            "304": _unchanged(),
            "404": ref("responses", "not-found"),
        },
    }


def _file(description: str, *media_types: str) -> Json:
    content: Json = {}
    for media_type in media_types:
        content |= media(media_type, text())
    return {"description": description, "headers": _headers(), "content": content}


def _unchanged() -> Json:
    return {"description": "What the caller holds is current.", "headers": _headers()}


def _headers() -> Json:
    return {"X-Request-Id": ref("headers", "X-Request-Id")}


def _snapshot() -> Json:
    return {
        "operationId": "readFigures",
        "tags": ["operators"],
        "summary": "The figures of all processes over the last hour",
        "security": [{"operatorToken": []}],
        "parameters": [_space()],
        "responses": {
            "200": {
                "description": "The figures; `docs/ops.md` says what each means.",
                "headers": unstored_headers(),
                "content": media(_JSON, _figures()),
            },
            **refusals(ParameterError, CredentialsError),
        },
    }


def _live() -> Json:
    return {
        "operationId": "watchFigures",
        "tags": ["operators"],
        "summary": "The same as a stream of events, every two seconds",
        "security": [{"operatorToken": []}],
        "parameters": [_space()],
        "responses": {
            "200": {
                "description": "Events `snapshot`, whose data are the figures and the SVG of "
                "their charts, until the caller leaves or the gateway stops.",
                "headers": unstored_headers(),
                "content": media("text/event-stream", text()),
            },
            **refusals(ParameterError, CredentialsError, Overloaded),
        },
    }


def _space() -> Json:
    return {
        "name": "space",
        "in": "query",
        "description": "The name of one space; all of them without it.",
        "schema": text(),
    }


def _figures() -> Json:
    verdict = exactly(
        {
            "level": {"enum": ["well", "impaired", "failing", "quiet"]},
            "headline": text(),
            "causes": {"type": "array", "items": text()},
        }
    )
    return exactly(
        {
            "at": {"type": "number", "description": "UTC seconds."},
            "space": text("Empty for all of them."),
            "spaces": {"type": "array", "items": text()},
            "fleet": flag("Whether these are the figures of all processes, or of this one."),
            "verdict": verdict,
            "refreshes_paused": flag(),
            "log_level": text(),
        }
    )
