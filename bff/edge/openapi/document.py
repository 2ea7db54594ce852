"""The document as a whole: what it is about, its routes, its components."""

from __future__ import annotations

from collections.abc import Container
from typing import Final, cast

from bff import __version__
from bff.edge.openapi import answers, examples, headers, schemas
from bff.edge.openapi.member_routes import member_paths
from bff.edge.openapi.notation import Json
from bff.edge.openapi.open_routes import OPENAPI, document_paths, health_paths, webhook_paths
from bff.edge.openapi.operator_routes import operator_paths

_DESCRIPTION: Final = """\
A caching gateway in front of the Nexudus public API: one merged session document, the two cached \
lists that it is made of, and everything else forwarded.

**Forwarded.** Any other `/api/…` or `/{lang}/…`, with any method, goes to Nexudus and comes back \
as it is, and is never stored. It is documented by Nexudus and therefore not in the list of paths.

**Which space.** The `Host` decides, by the operators' configuration and nothing else; webhooks \
may name it in their path. Health, operators' routes and this document answer to any `Host`.

**Cached answers** carry a strong `ETag` and `Cache-Control: private, no-cache`: keep them, and \
ask with `If-None-Match`. `Age` and `Cache-Status` (RFC 9211) say where an answer came from. 304 \
is given only to a caller who may have the answer. Every GET can be a HEAD. Answers are \
compressed by `Accept-Encoding`, and these headers are exposed to the configured browser origins.

**Errors.** Nexudus' own pass unchanged, but on the cached routes one that is shared between \
members (a 404 on a related list, a 5xx of a call that several waited for) keeps its status and \
loses its body. Where Nexudus throttles a space (409 with `Retry-After`), \
a forwarded call gets that answer, and those that come while the space has to be left alone get \
503 with `Retry-After`; the cached routes answer from what they have, or with that 503. \
The gateway's own are `application/problem+json` (RFC 9457); decide by `type`. A \
405 (`urn:bff:problem:method-not-allowed`) names the methods in `Allow`. A 500 \
(`urn:bff:problem:internal`) is a defect of the gateway: please report its `request_id`."""

_TAGS: Final = (
    ("session", "One request at the start of a session."),
    ("lists", "Nexudus' own URLs, bodies and errors, answered from the cache."),
    (
        "forwarded",
        "Everything else under `/api/…` and `/{lang}/…` is streamed to Nexudus and back. A "
        "successful write to a profile, or a switch of the active one, is followed by fresh reads.",
    ),
    ("webhooks", "For Nexudus to call."),
    ("health", "For platforms and tools."),
    ("operators", "For whoever runs the gateway; absent unless an operator token is configured."),
)


def describe(served: Container[str]) -> Json:
    """The OpenAPI document of a gateway that serves these paths, of all that can be documented."""
    components = _components()
    return {
        "openapi": OPENAPI,
        "info": {
            "title": "Nexudus gateway",
            "summary": "A caching backend-for-frontend for member portals and mobile apps",
            "description": _DESCRIPTION,
            "version": __version__,
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": about} for name, about in _TAGS],
        "paths": {
            path: _with_head(cast(Json, item), components)
            for path, item in documented().items()
            if path in served
        },
        "components": components,
    }


def documented() -> Json:
    """Every path item there is, whatever is configured."""
    return {
        **member_paths(),
        **webhook_paths(),
        **health_paths(),
        **document_paths(),
        **operator_paths(),
    }


def _components() -> Json:
    return {
        "schemas": schemas.schemas(),
        "responses": answers.responses(),
        "parameters": headers.parameters(),
        "headers": headers.headers(),
        "examples": {**examples.examples(), **answers.examples()},
        "securitySchemes": {
            "memberToken": {
                "type": "http",
                "scheme": "bearer",
                "description": "A member's token, from `POST /api/token`.",
            },
            "operatorToken": {
                "type": "http",
                "scheme": "bearer",
                "description": "`BFF_OPS_TOKEN`, or one of `BFF_OPS_TOKENS`.",
            },
        },
    }


def _with_head(item: Json, components: Json) -> Json:
    """A path item whose GET can be a HEAD too: the same answers without their content."""
    if "get" not in item:
        return item
    get = cast(Json, item["get"])
    head = {
        **get,
        "operationId": f"{get['operationId']}Head",
        "summary": f"{get['summary']} (headers only)",
        "responses": {
            status: _without_content(cast(Json, response), components)
            for status, response in cast(Json, get["responses"]).items()
        },
    }
    return {**item, "head": head}


def _without_content(response: Json, components: Json) -> Json:
    if "$ref" in response:
        name = str(response["$ref"]).rpartition("/")[2]
        response = cast(Json, cast(Json, components["responses"])[name])
    return {name: value for name, value in response.items() if name != "content"}
