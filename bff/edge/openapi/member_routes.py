"""The routes that members' apps call: the bootstrap and the two cached lists."""

from __future__ import annotations

from collections.abc import Sequence

from bff.edge.openapi.answers import NEXUDUS, refusals
from bff.edge.openapi.headers import (
    CALLER_HEADERS,
    COWORKER_HINT,
    SHAPE,
    bootstrap_headers,
    cached_headers,
    coworker_in_path,
)
from bff.edge.openapi.notation import Json, media, ref
from bff.edge.target import BOOTSTRAP_PATH
from bff.errors import (
    CredentialsError,
    HeaderError,
    ParameterError,
    ShapeError,
    UnknownHost,
    UpstreamError,
)
from bff.resources import PROFILES, RELATED

_JSON = "application/json"


def member_paths() -> Json:
    """Path items by path."""
    return {
        BOOTSTRAP_PATH: {"get": _bootstrap()},
        PROFILES.path: {"get": _profiles()},
        RELATED.path: {"parameters": [coworker_in_path()], "get": _related()},
    }


def _bootstrap() -> Json:
    documents = ("bootstrap", "bootstrapMobile", "bootstrapIncomplete")
    return {
        "operationId": "readBootstrap",
        "tags": ["session"],
        "summary": "Everything that a session starts with",
        "description": "The profile list and the related list of its active profile (the default "
        "one, else the first active one) as one document. A user without a profile, or whose "
        "profile is not published, gets empty lists. If only the related list cannot be had, the "
        "answer is 200 with `Bootstrap.Complete: false` and `BFF-Complete: false`; if the profile "
        "list cannot, the request fails with its status. A shape that names no member of the "
        "related list causes no call for it. Without `_shape` the body is an "
        "`UnshapedBootstrapDocument`.",
        "security": [{"memberToken": []}],
        "parameters": [ref("parameters", SHAPE), ref("parameters", COWORKER_HINT), *_callers()],
        "responses": {
            "200": {
                "description": "The session, whole or with its related list missing.",
                "headers": bootstrap_headers(),
                "content": media(_JSON, ref("schemas", "BootstrapDocument"), documents),
            },
            "304": {"description": "What the client keeps stands.", "headers": bootstrap_headers()},
            **_refusals(),
        },
    }


def _profiles() -> Json:
    return {
        "operationId": "readProfiles",
        "tags": ["lists"],
        "summary": "Nexudus' profile list, cached for each token",
        "description": "Same URL, body and errors as at Nexudus. With any other query parameter "
        "the call is forwarded instead. Without `_shape` the body is an `UnshapedProfilesList`.",
        "security": [{"memberToken": []}],
        "parameters": [ref("parameters", SHAPE), *_callers()],
        "responses": _list_responses("ProfilesList", ("profiles", "profilesIds")),
    }


def _related() -> Json:
    return {
        "operationId": "readRelated",
        "tags": ["lists"],
        "summary": "Nexudus' related profiles of a published one, cached for each coworker",
        "description": "Same URL, body and errors as at Nexudus; shown only to a token that "
        "Nexudus accepted lately. With any other query parameter the call is forwarded instead. "
        "Without `_shape` the body is an `UnshapedRelatedList`.",
        "security": [{"memberToken": []}],
        "parameters": [ref("parameters", SHAPE), *_callers()],
        "responses": _list_responses("RelatedList", ("related", "relatedNone"), 404),
    }


def _list_responses(schema: str, examples: Sequence[str], *documented: int) -> Json:
    return {
        "200": {
            "description": "The list, whole or in the shape asked for.",
            "headers": cached_headers(),
            "content": media(_JSON, ref("schemas", schema), examples),
        },
        "304": {"description": "What the client keeps stands.", "headers": cached_headers()},
        **_refusals(*documented),
    }


def _refusals(*documented: int) -> Json:
    """`documented`: the statuses that Nexudus documents for a route besides 401."""
    nexudus = (401, 502, 503, 504, *documented)
    return {
        **refusals(
            ShapeError,
            ParameterError,
            HeaderError,
            CredentialsError,
            UnknownHost,
            UpstreamError,
            nexudus=nexudus,
        ),
        # Whatever else Nexudus refuses with comes through as well.
        "4XX": ref("responses", NEXUDUS),
        "5XX": ref("responses", NEXUDUS),
    }


def _callers() -> list[Json]:
    return [ref("parameters", name) for name in CALLER_HEADERS]
