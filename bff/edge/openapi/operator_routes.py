"""The routes for whoever runs the gateway; absent unless an operator token is configured."""

from __future__ import annotations

from typing import Final

from bff.edge.openapi.answers import refusals
from bff.edge.openapi.headers import unstored_headers
from bff.edge.openapi.notation import Json, exactly, flag, media, ref, text
from bff.edge.openapi.operator_explain import EXPLAIN_PATH, explain
from bff.edge.openapi.operator_page import page_paths
from bff.errors import (
    BodyTooLarge,
    CredentialsError,
    Overloaded,
    ParameterError,
    RequestStalled,
    RoleError,
)

_JSON: Final = "application/json"
_REFUSED: Final = (ParameterError, CredentialsError, RoleError, RequestStalled, BodyTooLarge)


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
        "/ops/api/refreshes": {"post": _refreshes()},
        "/ops/api/log-level": {"post": _log_level()},
        EXPLAIN_PATH: {"post": explain()},
        "/ops/api/whoami": {"get": _whoami()},
        **page_paths(),
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
    every = {"const": "all", "description": "In every space that is served; instead of `space`."}
    one: Json = {"oneOf": [{"required": [name]} for name in asked]}
    not_both: Json = {"not": {"required": ["space", "spaces"]}}
    done: Json = {
        "space": text("Empty for several."),
        "spaces": {"type": "array", "items": text(), "minItems": 1},
        "purged": text(),
        "stored": flag("Whether the shared store took it; else it comes before its next use."),
        "everywhere": flag("Whether every process is past it."),
    }
    return {
        "operationId": "purge",
        "tags": ["operators"],
        "summary": "Drop cached documents",
        "security": [{"operatorToken": []}],
        "description": "Without a space the only one that is served is meant; where there are "
        "several, one is named, or all.",
        "requestBody": _body(
            {**asked, "spaces": every}, {"allOf": [one, not_both]}, {"user": 7001}
        ),
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
            **refusals(*_REFUSED, Overloaded),
        },
    }


def _refreshes() -> Json:
    asked: Json = {"paused": flag("Whether nothing is fetched anew behind a stale answer.")}
    return _control("setRefreshes", "Pause or resume refreshes", asked, {"paused": True})


def _log_level() -> Json:
    level: Json = {
        "enum": ["debug", "info", "warning", "error"],
        "description": "The least severe log line written.",
    }
    return _control("setLogLevel", "Set the log level", {"level": level}, {"level": "debug"})


def _control(name: str, summary: str, asked: Json, example: Json) -> Json:
    return {
        "operationId": name,
        "tags": ["operators"],
        "summary": summary,
        "description": "In every process, within some two seconds, and until it is set again.",
        "security": [{"operatorToken": []}],
        "requestBody": {
            "required": True,
            "description": "At most 4 KiB.",
            "content": {_JSON: {"schema": exactly(asked), "example": example}},
        },
        "responses": {"200": _done("Set.", asked), **refusals(*_REFUSED, Overloaded)},
    }


def _whoami() -> Json:
    role: Json = {"enum": ["read", "act"], "description": "`act` may read too."}
    return {
        "operationId": "readOperator",
        "tags": ["operators"],
        "summary": "Whose operator token this is, and what it may do",
        "security": [{"operatorToken": []}],
        "responses": {
            "200": _done("The operator.", {"name": text(), "role": role}),
            **refusals(CredentialsError),
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
