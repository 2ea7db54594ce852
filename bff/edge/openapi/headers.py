"""The parameters that requests carry, and the headers that answers do."""

from __future__ import annotations

from bff.edge.caching import CACHED_CACHE_CONTROL, CACHED_VARY
from bff.edge.conditional import MAX_IF_NONE_MATCH
from bff.edge.openapi.notation import Json, ref, refs
from bff.edge.target import MAX_COWORKER_ID
from bff.nexudus.headers import VARIANT_LIMIT
from bff.shape import DEFAULT_LIMITS

SHAPE = "shape"
COWORKER_HINT = "coworkerHint"
CALLER_HEADERS = ("ifNoneMatch", "acceptEncoding", "acceptLanguage", "useTimezone", "requestId")

CACHED_HEADERS = (
    "ETag",
    "Cache-Control",
    "Vary",
    "Age",
    "Cache-Status",
    "Server-Timing",
    "X-Request-Id",
)
"""On every answer made from a cached document, its 304 included."""


def parameters() -> Json:
    """`components.parameters`."""
    return {
        SHAPE: _shape(),
        COWORKER_HINT: {
            "name": "coworkerId",
            "in": "query",
            "description": "The profile that the client remembers as active. Both lists are then "
            "fetched at once; a wrong hint costs one more call, never a wrong answer.",
            "schema": _coworker_id(),
            "example": 101,
        },
        "ifNoneMatch": _header(
            "If-None-Match",
            "The `ETag` of an answer that the client keeps; 304 if it still stands. Malformed, or "
            f"longer than {MAX_IF_NONE_MATCH} bytes, it is ignored.",
            {"type": "string"},
        ),
        "acceptEncoding": _header(
            "Accept-Encoding", "`br`, `zstd` and `gzip`, by q-value.", {"type": "string"}
        ),
        "acceptLanguage": _header(
            "Accept-Language",
            "Passed to Nexudus and part of what is kept apart in the cache; unprintable or longer "
            f"than {VARIANT_LIMIT} characters, it is ignored.",
            {"type": "string"},
        ),
        "useTimezone": _header(
            "X-Use-Timezone",
            "Passed to Nexudus and part of what is kept apart in the cache; any other value is "
            "ignored.",
            {"type": "string", "enum": ["true", "false"]},
        ),
        "requestId": _header(
            "X-Request-Id",
            "Kept as the id of this request if it has this form, else replaced.",
            {"type": "string", "pattern": "^[A-Za-z0-9._-]{8,64}$"},
        ),
    }


def coworker_in_path() -> Json:
    """The `{id}` of the related list. Another form of it is not this route: it is forwarded."""
    return {
        "name": "id",
        "in": "path",
        "required": True,
        "description": "`Profiles[].Id`, in decimal without leading zeros.",
        "schema": _coworker_id(),
        "example": 202,
    }


def headers() -> Json:
    """`components.headers`."""
    return {
        "ETag": _sent(
            "Strong validator of exactly this representation: caller, document, shape, coding.",
            {"type": "string", "pattern": '^"[!#-~]+"$'},
        ),
        "Cache-Control": _sent(
            "Keep it, but ask every time.", {"type": "string", "const": CACHED_CACHE_CONTROL}
        ),
        "Vary": _sent("", {"type": "string", "const": CACHED_VARY}),
        "Age": _sent(
            "Seconds since Nexudus sent the oldest part.", {"type": "integer", "minimum": 0}
        ),
        "Cache-Status": _sent(
            "How the cache was used (RFC 9211): `bff; hit; ttl=42; detail=l1`.",
            {"type": "string", "pattern": "^bff; "},
        ),
        "Server-Timing": _sent("Milliseconds spent.", {"type": "string", "pattern": ";dur="}),
        "X-Request-Id": _sent("For the operators' logs.", {"type": "string", "minLength": 8}),
        "BFF-Complete": {
            "description": "Sent if a part is missing; `Bootstrap.Problems` then says why.",
            "schema": {"type": "string", "const": "false"},
        },
        "Retry-After": _sent("Seconds to wait.", {"type": "integer", "minimum": 1}),
        "Nexudus-Retry-After": {
            "description": "Seconds to wait; or a date, if Nexudus sent one.",
            "schema": {"type": "string"},
        },
        "Nexudus-WWW-Authenticate": {
            "description": "Which credentials are wanted, if Nexudus says so.",
            "schema": {"type": "string"},
        },
        "WWW-Authenticate": _sent("Which credentials are wanted.", {"type": "string"}),
        "Allow": _sent("The methods of the route.", {"type": "string"}),
        "No-Store": _sent("", {"type": "string", "const": "no-store"}),
        "Problem-Vary": _sent("", {"type": "string", "const": "Authorization, Origin"}),
    }


def cached_headers() -> Json:
    """The response headers of an answer made from a cached document."""
    return refs("headers", CACHED_HEADERS)


def bootstrap_headers() -> Json:
    """Those of the bootstrap, which may be incomplete."""
    return {**cached_headers(), "BFF-Complete": ref("headers", "BFF-Complete")}


def unstored_headers() -> Json:
    """Those of an answer of the gateway itself that nobody may keep."""
    return {
        "Cache-Control": ref("headers", "No-Store"),
        "X-Request-Id": ref("headers", "X-Request-Id"),
    }


def _shape() -> Json:
    limits = DEFAULT_LIMITS
    return {
        "name": "_shape",
        "in": "query",
        "description": "The fields to answer with: dotted paths separated by commas, mapped "
        "through lists; a parent keeps all that is below it, an unknown path selects nothing, an "
        "empty shape everything. `@name` stands for a named shape of the configuration. At most "
        f"{limits.max_bytes} bytes, {limits.max_paths} paths, {limits.max_depth} names in a path.",
        "schema": {"type": "string", "maxLength": limits.max_bytes},
        "examples": {
            "everything": {"value": ""},
            "paths": {"value": "User.FullName,Profiles.Id,Profiles.IsDefaultProfile"},
            "mobile": {"value": "@mobile", "summary": "The least that a home screen needs"},
            "portal": {"value": "@portal", "summary": "Account switcher and related cards"},
        },
    }


def _coworker_id() -> Json:
    return {"type": "integer", "format": "int64", "minimum": 1, "maximum": MAX_COWORKER_ID}


def _header(name: str, description: str, schema: Json) -> Json:
    return {"name": name, "in": "header", "description": description, "schema": schema}


def _sent(description: str, schema: Json) -> Json:
    header: Json = {"required": True, "schema": schema}
    return {"description": description, **header} if description else header
