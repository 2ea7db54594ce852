"""`POST /ops/api/explain`: what is asked and what is told, as OpenAPI."""

from __future__ import annotations

from typing import Final

from bff.edge.openapi.answers import refusals
from bff.edge.openapi.headers import unstored_headers
from bff.edge.openapi.notation import Json, exactly, listing, media, record, text, whole
from bff.errors import (
    BodyTooLarge,
    CredentialsError,
    ParameterError,
    RequestStalled,
    UnknownRequest,
)

EXPLAIN_PATH: Final = "/ops/api/explain"

_JSON: Final = "application/json"
_REFUSED: Final = (ParameterError, CredentialsError, UnknownRequest, RequestStalled, BodyTooLarge)
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_SECONDS: Final[Json] = {"type": ["number", "null"]}


def explain() -> Json:
    """The operation."""
    asked: Json = {
        "type": "object",
        "properties": {
            "url": text("As a member's app has it; its host names the space."),
            "path": text("Instead of a URL: a path, and a query if there is one."),
            "space": text("The space of a path; needed if several are served."),
            "method": {"enum": list(_METHODS), "default": "GET"},
            "headers": {
                "type": "object",
                "description": "Those of the request, the member's `Authorization` among them. "
                "Nothing of them is kept, logged or told.",
                "additionalProperties": {"anyOf": [text(), {"type": "array", "items": text()}]},
            },
            "request_id": {
                **text("Instead of a request that might come: one that was answered."),
                "pattern": "^[A-Za-z0-9._-]{8,64}$",
            },
        },
        "oneOf": [{"required": [name]} for name in ("url", "path", "request_id")],
    }
    return {
        "operationId": "explain",
        "tags": ["operators"],
        "summary": "What a request would be answered, or was, and which rule decides",
        "description": "Nothing is called, filled, moved or counted for it. A request that would "
        "be refused is explained too. What was decided for the latest 2,000 requests to cached "
        "routes is remembered by the process that served them, until it ends.",
        "security": [{"operatorToken": []}],
        "requestBody": {
            "required": True,
            "description": "At most 32 KiB.",
            "content": {_JSON: {"schema": asked, "example": _example()}},
        },
        "responses": {
            "200": {
                "description": "The explanation.",
                "headers": unstored_headers(),
                "content": media(_JSON, {"oneOf": [_foreseen(), _remembered()]}),
            },
            **refusals(*_REFUSED),
        },
    }


def _example() -> Json:
    return {
        "url": "https://members.example.com/session/bootstrap?_shape=@mobile",
        "headers": {"Authorization": "Bearer the-token-of-a-member"},
    }


def _foreseen() -> Json:
    answer = exactly(
        {
            "status": {"type": ["integer", "null"], "description": "Null if Nexudus decides."},
            "calls": whole("To Nexudus before the answer, at most."),
            "behind": whole("To Nexudus behind the answer, at most."),
            "rule": _rule(),
            "rule_text": text("How the rule begins."),
            "sentence": text("What happens, and why."),
        }
    )
    looked = record({"key": text(), "tier": {"enum": ["l1", "l2", "none"]}}, "One place.")
    document = exactly(
        {
            "resource": text(),
            "ident": text("The coworker id of a related list."),
            "plan": {"enum": ["serve", "refresh", "fall_back", "fetch", "open"]},
            "verdict": {"enum": ["fresh", "stale", "lapsed", "dead"]},
            "why": text(),
            "looked_at": listing(looked, "Where a read looks, and what is there."),
        }
    )
    return exactly(
        {
            "request": record({"digest": text("Of the token.")}, "How it is understood."),
            "answer": answer,
            "finished": record({"state": text()}, "The finished bytes in process."),
            "documents": {"type": "array", "items": document},
            "space": {"type": ["object", "null"], "description": "Its breaker and its budget."},
            "process": record({"redis": text()}, "The process that explains."),
        }
    )


def _remembered() -> Json:
    document = exactly(
        {
            "resource": text(),
            "key": text(),
            "outcome": text(),
            "tier": {"enum": ["l1", "l2", "upstream"]},
            "verdict": {"enum": ["fresh", "stale", "lapsed", "fetched"]},
            "age_s": _SECONDS,
        }
    )
    return exactly(
        {
            "request_id": text(),
            "process": text("The one that served it."),
            "at": {"type": "number", "description": "UTC seconds."},
            "space": text(),
            "route": text(),
            "digest": text(),
            "status": whole("0 while it is being answered."),
            "cache": text("As in the log line."),
            "problem": text("The type of a problem document, if that was the answer."),
            "documents": {"type": "array", "items": document},
            "rule": _rule(),
            "sentence": text(),
        }
    )


def _rule() -> Json:
    return {
        "type": ["integer", "null"],
        "description": "Number of the cache rule in docs/architecture.md, 0 for the table of "
        "freshness before them; null where none decides.",
        "minimum": 0,
        "maximum": 9,
    }
