"""The routes that ask for no bearer token: webhooks, health, and this document."""

from __future__ import annotations

from typing import Final

from bff.edge.hooks import ROUTE as HOOK_PATH
from bff.edge.openapi.answers import refusals
from bff.edge.openapi.headers import unstored_headers
from bff.edge.openapi.notation import Json, exactly, flag, media, record, ref, refs, text
from bff.errors import (
    BodyTooLarge,
    CredentialsError,
    HeaderError,
    Overloaded,
    RequestStalled,
    UnknownHost,
)
from bff.hooks import SIGNATURE_HEADER
from bff.hooks.receive import MAX_BODY

DOCUMENT_PATH: Final = "/openapi.json"
OPENAPI: Final = "3.1.0"

_JSON: Final = "application/json"


def webhook_paths() -> Json:
    """Path items by path."""
    space = {
        "name": "space",
        "in": "path",
        "required": True,
        "description": "The name of the space, as in the logs; needed if several are served.",
        "schema": text(),
        "example": "nexudushq",
    }
    return {
        HOOK_PATH: {"post": _webhook("receiveWebhook")},
        f"{HOOK_PATH}/{{space}}": {"parameters": [space], "post": _webhook("receiveSpaceWebhook")},
    }


def health_paths() -> Json:
    """Path items by path; these answer whatever the Host is."""
    return {
        "/healthz": {
            "get": {
                "operationId": "readLiveness",
                "tags": ["health"],
                "summary": "Whether the process answers",
                "security": [],
                "responses": {"200": _state("It does.", exactly({"status": {"const": "alive"}}))},
            }
        },
        "/readyz": {
            "get": {
                "operationId": "readReadiness",
                "tags": ["health"],
                "summary": "Whether requests should be sent here, and why",
                "security": [],
                "responses": {
                    "200": _state("They should.", _readiness()),
                    "503": _state("Starting or stopping.", _readiness()),
                },
            }
        },
    }


def document_paths() -> Json:
    """The path item of the document itself."""
    kept: Json = {
        "Cache-Control": {
            "required": True,
            "schema": {"type": "string", "pattern": "^public, max-age=[0-9]+$"},
        },
        **refs("headers", ("ETag", "X-Request-Id")),
    }
    content = exactly({"openapi": {"const": OPENAPI}, "info": {}, "paths": {}})
    whole: Json = {"description": "OpenAPI 3.1.", "headers": kept, "content": media(_JSON, content)}
    kept_stands: Json = {"description": "What the client keeps stands.", "headers": kept}
    return {
        DOCUMENT_PATH: {
            "get": {
                "operationId": "readOpenApi",
                "tags": ["health"],
                "summary": "This document",
                "security": [],
                "parameters": [ref("parameters", n) for n in ("ifNoneMatch", "acceptEncoding")],
                "responses": {"200": whole, "304": kept_stands},
            }
        }
    }


def _webhook(operation_id: str) -> Json:
    signature: Json = {
        "name": SIGNATURE_HEADER.decode().title(),
        "in": "header",
        "required": True,
        "description": "HMAC-SHA256 of the body under the webhook secret, in hex of either case.",
        "schema": {"type": "string", "pattern": "^[0-9A-Fa-f]{64}$"},
    }
    ids = {name: ref("schemas", "Id") for name in ("Id", "UserId", "CoworkerId")}
    entity = record(ids, "Any entity of Nexudus; only these ids are read, and none of the rest.")
    events: Json = {"anyOf": [{"type": "array", "items": entity}, entity]}
    example = [{"Id": 101, "UserId": 7001, "FullName": "Jane Doe"}]
    return {
        "operationId": operation_id,
        "tags": ["webhooks"],
        "summary": "A webhook of Nexudus",
        "description": "Drops what the event makes old, and does nothing else; a delivery that "
        "comes again does nothing. The answer comes once that is done; after a 503 it is to be "
        "delivered again.",
        "security": [],
        "parameters": [signature],
        "requestBody": {
            "required": True,
            "description": f"At most {MAX_BODY >> 20} MiB, of any media type.",
            "content": {_JSON: {"schema": events, "example": example}},
        },
        "responses": {
            "204": {"description": "Applied.", "headers": unstored_headers()},
            **refusals(
                HeaderError,
                UnknownHost,
                CredentialsError,
                RequestStalled,
                BodyTooLarge,
                Overloaded,
            ),
        },
    }


def _state(description: str, schema: Json) -> Json:
    return {
        "description": description,
        "headers": unstored_headers(),
        "content": media(_JSON, schema),
    }


def _readiness() -> Json:
    checks: Json = {
        "serving": flag(),
        "store": text("Whether the shared store is used; that it is away is no reason."),
        "invalidations": text("Whether those of other processes are heard."),
        "invalidations_pending": {"type": "integer", "minimum": 0},
    }
    spaces: Json = {
        "type": "object",
        "description": "Each space's own standing, for those who present the operator token.",
        "additionalProperties": text(),
    }
    nexudus = text("How many spaces can be reached, and what is wrong with the others.")
    known = exactly(checks, {"nexudus": nexudus, "spaces": spaces})
    return exactly({"status": {"enum": ["ready", "starting or stopping"]}, "checks": known})
