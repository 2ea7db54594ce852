"""The routes for whoever runs the gateway; absent unless an operator token is configured."""

from __future__ import annotations

from typing import Final

from bff.edge.openapi.answers import refusals
from bff.edge.openapi.headers import unstored_headers
from bff.edge.openapi.notation import Json, exactly, flag, media, ref, text
from bff.errors import BodyTooLarge, CredentialsError, ParameterError, RequestStalled

_JSON: Final = "application/json"
_REFUSED: Final = (ParameterError, CredentialsError, RequestStalled, BodyTooLarge)


def operator_paths() -> Json:
    """Path items by path."""
    return {
        "/metrics": {
            "get": {
                "operationId": "readMetrics",
                "tags": ["operators"],
                "summary": "Prometheus metrics",
                "security": [{"operatorToken": []}],
                "responses": {
                    "200": {
                        "description": "Prometheus text format; `docs/metrics.md` lists them.",
                        "headers": unstored_headers(),
                        "content": media("text/plain", text()),
                    },
                    **refusals(CredentialsError),
                },
            }
        },
        "/ops/api/purge": {"post": _purge()},
        "/ops/api/sharing": {"post": _sharing()},
    }


def _purge() -> Json:
    asked: Json = {
        "user": _id("A user id: the profile lists in all of their tokens."),
        "coworker": _id("A coworker id: every list that it is in."),
        "token": {
            **text("The 32 characters that name a token in Redis, never a token."),
            "pattern": "^[A-Za-z0-9_-]{32}$",
        },
        "everything": {"const": True},
    }
    done: Json = {
        "space": text(),
        "purged": text(),
        "stored": flag("Whether the shared store took it; else it comes before its next use."),
        "everywhere": flag("Whether every process is past it."),
    }
    return {
        "operationId": "purge",
        "tags": ["operators"],
        "summary": "Drop cached documents",
        "security": [{"operatorToken": []}],
        "requestBody": _body(asked, {"oneOf": [{"required": [n]} for n in asked]}, {"user": 7001}),
        "responses": {"200": _done("Dropped.", done), **refusals(*_REFUSED)},
    }


def _sharing() -> Json:
    scope: Json = {"enum": ["coworker", "token"], "description": "Whose the related lists are."}
    return {
        "operationId": "setSharing",
        "tags": ["operators"],
        "summary": "Share related lists between tokens, or keep one for each",
        "security": [{"operatorToken": []}],
        "requestBody": _body({"scope": scope}, {"required": ["scope"]}, {"scope": "token"}),
        "responses": {
            "200": _done("Set.", {"space": text(), "scope": scope}),
            **refusals(*_REFUSED),
        },
    }


def _body(properties: Json, constraint: Json, example: Json) -> Json:
    space = text("The name of the space; needed if several are served.")
    schema = {"type": "object", "properties": {"space": space, **properties}, **constraint}
    return {
        "required": True,
        "description": "At most 4 KiB.",
        "content": {_JSON: {"schema": schema, "example": example}},
    }


def _done(description: str, properties: Json) -> Json:
    return {
        "description": description,
        "headers": unstored_headers(),
        "content": media(_JSON, exactly(properties)),
    }


def _id(description: str) -> Json:
    return {**ref("schemas", "Id"), "description": description}
