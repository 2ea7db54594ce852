"""The routes of Nexudus (webhooks), of platforms (health), of operators, and this document."""

from __future__ import annotations

from bff.edge.hooks import ROUTE as HOOK_PATH
from bff.edge.openapi.answers import refusals
from bff.edge.openapi.notation import Json, flag, media, ref, text
from bff.hooks import SIGNATURE_HEADER
from bff.hooks.receive import MAX_BODY

OPERATOR: list[dict[str, list[str]]] = [{"operatorToken": []}]

_JSON = "application/json"
_HOST = ("bad-header", "unknown-host")


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
    request_id: Json = {"headers": {"X-Request-Id": ref("headers", "X-Request-Id")}}
    ready = {**request_id, "content": media(_JSON, _readiness())}
    return {
        "/healthz": {
            "get": {
                "operationId": "readLiveness",
                "tags": ["health"],
                "summary": "Whether the process answers",
                "security": [],
                "responses": {
                    "200": {
                        "description": "It does.",
                        **request_id,
                        "content": media(
                            _JSON,
                            {
                                "type": "object",
                                "properties": {"status": {"const": "alive"}},
                                "required": ["status"],
                            },
                        ),
                    }
                },
            }
        },
        "/readyz": {
            "get": {
                "operationId": "readReadiness",
                "tags": ["health"],
                "summary": "Whether requests should be sent here, and why",
                "security": [],
                "responses": {
                    "200": {"description": "They should.", **ready},
                    "503": {"description": "Starting or stopping.", **ready},
                },
            }
        },
    }


def document_path() -> Json:
    """The path item of the document itself."""
    caching: Json = {
        "ETag": ref("headers", "ETag"),
        "Cache-Control": {
            "required": True,
            "schema": {"type": "string", "pattern": "^public, max-age=[0-9]+$"},
        },
        "X-Request-Id": ref("headers", "X-Request-Id"),
    }
    return {
        "/openapi.json": {
            "get": {
                "operationId": "readOpenApi",
                "tags": ["health"],
                "summary": "This document",
                "security": [],
                "parameters": [
                    ref("parameters", "ifNoneMatch"),
                    ref("parameters", "acceptEncoding"),
                ],
                "responses": {
                    "200": {
                        "description": "OpenAPI 3.1.",
                        "headers": caching,
                        "content": media(
                            _JSON,
                            {
                                "type": "object",
                                "properties": {"openapi": {"const": "3.1.0"}},
                                "required": ["openapi", "info", "paths"],
                            },
                        ),
                    },
                    "304": {"description": "What the client keeps stands.", "headers": caching},
                    **refusals(*_HOST),
                },
            }
        }
    }


def operator_paths() -> Json:
    """Path items by path; the routes are absent without an operator token."""
    return {
        "/metrics": {
            "get": {
                "operationId": "readMetrics",
                "tags": ["operators"],
                "summary": "Prometheus metrics",
                "security": OPERATOR,
                "responses": {
                    "200": {
                        "description": "Prometheus text format; `docs/metrics.md` lists them.",
                        "headers": _unstored(),
                        "content": media("text/plain", text()),
                    },
                    **refusals("bad-credentials"),
                },
            }
        },
        "/ops/api/purge": {"post": _purge()},
        "/ops/api/sharing": {"post": _sharing()},
    }


def _webhook(operation_id: str) -> Json:
    signature = {
        "name": SIGNATURE_HEADER.decode().title(),
        "in": "header",
        "required": True,
        "description": "HMAC-SHA256 of the body under the webhook secret, in hex of either case.",
        "schema": {"type": "string", "pattern": "^[0-9A-Fa-f]{64}$"},
    }
    entity: Json = {
        "type": "object",
        "description": "Of its fields only ids are read, none is kept.",
    }
    event: Json = {"anyOf": [{"type": "array", "items": entity}, entity]}
    return {
        "operationId": operation_id,
        "tags": ["webhooks"],
        "summary": "A webhook of Nexudus",
        "description": "Drops what the event makes old, and does nothing else; a delivery that "
        "comes again does nothing. The answer does not wait for it.",
        "security": [],
        "parameters": [signature],
        "requestBody": {
            "required": True,
            "description": f"At most {MAX_BODY >> 20} MiB, of any media type.",
            "content": {
                _JSON: {
                    "schema": event,
                    "example": [{"Id": 101, "UserId": 7001, "FullName": "Jane Doe"}],
                }
            },
        },
        "responses": {
            "204": {"description": "Accepted.", "headers": _unstored()},
            **refusals(*_HOST, "bad-credentials", "body-too-large", "overloaded"),
        },
    }


def _purge() -> Json:
    whose: Json = {
        "user": {**_id(), "description": "A user id: the profile lists in all of their tokens."},
        "coworker": {**_id(), "description": "A coworker id: every list it is in."},
        "token": text("A digest, as metrics and logs show it; never a token."),
        "everything": {"const": True},
    }
    answer: Json = {
        "space": text(),
        "purged": text(),
        "stored": flag(_STORED),
        "everywhere": flag(_EACH),
    }
    return {
        "operationId": "purge",
        "tags": ["operators"],
        "summary": "Drop cached documents",
        "security": OPERATOR,
        "requestBody": _body(
            {"oneOf": [{"required": [name]} for name in whose]}, whose, {"user": 7001}
        ),
        "responses": {
            "200": {
                "description": "Dropped.",
                "headers": _unstored(),
                "content": media(_JSON, _exactly(answer)),
            },
            **refusals(*_HOST, "bad-parameter", "bad-credentials", "body-too-large"),
        },
    }


_STORED = "Whether the shared store took it; if not, it is delivered before the store is used."
_EACH = "Whether every process is past it."


def _sharing() -> Json:
    scope = {"enum": ["coworker", "token"], "description": "Whose the related lists are."}
    return {
        "operationId": "setSharing",
        "tags": ["operators"],
        "summary": "Share related lists between tokens, or keep one for each",
        "security": OPERATOR,
        "requestBody": _body({"required": ["scope"]}, {"scope": scope}, {"scope": "token"}),
        "responses": {
            "200": {
                "description": "Set, for all processes.",
                "headers": _unstored(),
                "content": media(_JSON, _exactly({"space": text(), "scope": scope})),
            },
            **refusals(*_HOST, "bad-parameter", "bad-credentials", "body-too-large"),
        },
    }


def _body(constraint: Json, properties: Json, example: Json) -> Json:
    space = text("The name of the space; needed if several are served.")
    schema = {"type": "object", "properties": {"space": space, **properties}, **constraint}
    return {
        "required": True,
        "description": "At most 4 KiB.",
        "content": {_JSON: {"schema": schema, "example": example}},
    }


def _readiness() -> Json:
    checks: Json = {
        "serving": flag(),
        "store": text("Whether the shared store is used; that it is away is no reason."),
        "invalidations": text("Whether those of other processes are heard."),
        "invalidations_pending": {"type": "integer", "minimum": 0},
    }
    statuses = ["ready", "starting or stopping"]
    return _exactly({"status": {"enum": statuses}, "checks": _exactly(checks)})


def _exactly(properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _id() -> Json:
    return {"type": ["integer", "string"], "minimum": 1, "pattern": "^[0-9]{1,19}$"}


def _unstored() -> Json:
    return {
        "Cache-Control": ref("headers", "No-Store"),
        "X-Request-Id": ref("headers", "X-Request-Id"),
    }
