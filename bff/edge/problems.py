"""The gateway's own errors as RFC 9457 problem documents, from one catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import orjson

from bff.errors import (
    BffError,
    BodyTooLarge,
    CredentialsError,
    HeaderError,
    MissingCredentials,
    Overloaded,
    ParameterError,
    RequestStalled,
    RoleError,
    ShapeError,
    TargetError,
    UnknownHost,
    UnknownRequest,
    UnusableAnswer,
    UpstreamDown,
    UpstreamError,
    UpstreamTimeout,
)

DEFAULT_RETRY_AFTER_S: Final = 1

_CHALLENGE: Final = 'Bearer realm="nexudus", error="invalid_token"'


@dataclass(frozen=True, slots=True)
class ProblemType:
    """One row of the catalogue. `cause`: the error it stands for, None when no error is raised.

    `remedy`: what the developer who meets it should do. `challenge`: its WWW-Authenticate.
    """

    slug: str
    status: int
    title: str
    remedy: str
    cause: type[BffError] | None = None
    challenge: str | None = None

    @property
    def uri(self) -> str:
        """The stable `type` of the documents; it names, and is not meant to be fetched."""
        return f"urn:bff:problem:{self.slug}"


NOT_FOUND: Final = ProblemType(
    slug="not-found",
    status=404,
    title="No such route",
    remedy="Check the path against `/openapi.json`; only `/api/…` and `/{lang}/…` are forwarded.",
)
METHOD_NOT_ALLOWED: Final = ProblemType(
    slug="method-not-allowed",
    status=405,
    title="Method not allowed on this route",
    remedy="Use one of the methods that the `Allow` header names.",
)
INTERNAL: Final = ProblemType(
    slug="internal",
    status=500,
    title="The gateway failed",
    remedy="Repeat the request once; if it fails again, report the request id to the operators.",
)

PROBLEMS: Final[tuple[ProblemType, ...]] = (
    ProblemType(
        slug="bad-shape",
        status=400,
        title="The shape cannot be used",
        remedy="Send `_shape` as comma-separated dotted paths within the limits, or a named shape.",
        cause=ShapeError,
    ),
    ProblemType(
        slug="bad-parameter",
        status=400,
        title="A parameter cannot be used",
        remedy="Send each parameter once, percent-encoded, and only those that the route takes; a "
        "posted JSON object as the detail says.",
        cause=ParameterError,
    ),
    ProblemType(
        slug="bad-header",
        status=400,
        title="A request header cannot be used",
        remedy="Send the header that the detail names once, in printable ASCII.",
        cause=HeaderError,
    ),
    ProblemType(
        slug="bad-credentials",
        status=401,
        title="The credentials cannot be used",
        remedy="Send one `Authorization: Bearer <token>` header, with a member's token of `POST "
        "/api/token` or an operator's where those are asked for; a webhook is signed instead.",
        cause=CredentialsError,
        challenge=_CHALLENGE,
    ),
    ProblemType(
        slug="no-credentials",
        status=401,
        title="No bearer token",
        remedy="Send one `Authorization: Bearer <token>` header, with a member's token of `POST "
        "/api/token` or an operator's where those are asked for.",
        cause=MissingCredentials,
        challenge='Bearer realm="nexudus"',
    ),
    ProblemType(
        slug="role-too-small",
        status=403,
        title="This operator may look, not act",
        remedy="Use the token of an operator with the role `act`; `/ops/api/whoami` tells yours.",
        cause=RoleError,
    ),
    ProblemType(
        slug="bad-target",
        status=404,
        title="This path is never forwarded",
        remedy="Send a plain path: no `//`, `.`, `..`, backslash or encoded `/`, `\\`, `?`, `#`; "
        "and percent-encode the values of a query.",
        cause=TargetError,
    ),
    NOT_FOUND,
    ProblemType(
        slug="unknown-request",
        status=404,
        title="No process remembers this request",
        remedy="Ask soon after it, with the `X-Request-Id` of an answer of a cached route.",
        cause=UnknownRequest,
    ),
    METHOD_NOT_ALLOWED,
    ProblemType(
        slug="request-stalled",
        status=408,
        title="The request body stopped arriving",
        remedy="Send the whole body without a pause; before repeating, check whether it was used.",
        cause=RequestStalled,
    ),
    ProblemType(
        slug="body-too-large",
        status=413,
        title="The request body is too large",
        remedy="Send less at once, or ask the operators to raise `BFF_MAX_BODY`.",
        cause=BodyTooLarge,
    ),
    ProblemType(
        slug="unknown-host",
        status=421,
        title="No space answers to this host",
        remedy="Use the host name that the operators configured for the space.",
        cause=UnknownHost,
    ),
    INTERNAL,
    ProblemType(
        slug="unusable-answer",
        status=502,
        title="Nexudus sent an answer that cannot be used",
        remedy="Repeat the request later; report the request id if it persists.",
        cause=UnusableAnswer,
    ),
    ProblemType(
        slug="upstream-down",
        status=503,
        title="Nexudus cannot be reached",
        remedy="Wait for `Retry-After` seconds, then repeat the request.",
        cause=UpstreamDown,
    ),
    ProblemType(
        slug="overloaded",
        status=503,
        title="The gateway is shedding calls",
        remedy="Wait for `Retry-After` seconds, then repeat the request; ask less often.",
        cause=Overloaded,
    ),
    ProblemType(
        slug="upstream-timeout",
        status=504,
        title="Nexudus did not answer in time",
        remedy="Repeat a read; before repeating a write, check whether it took effect.",
        cause=UpstreamTimeout,
    ),
)

_INTRODUCTION: Final = """\
# Problems

The gateway's own errors are `application/problem+json` (RFC 9457) with `type`, `title`, `status`,
`detail` (what was wrong with this request) and `request_id` (the `X-Request-Id` of the answer).
Decide by `type`: it is stable, while `title` and `detail` are for people. Nexudus' own errors are
passed on and are not in this list; on the cached routes one that is shared between members (a
404 on a related list, a 5xx of a call that several waited for) keeps its status and loses its body.

Every problem carries `Cache-Control: no-store` and `Vary: Authorization, Origin`; a 401 also
`WWW-Authenticate`, a 405 `Allow`, a 503 `Retry-After` in seconds.

What cannot be read as a request is answered by the server itself: 400 to what is not HTTP, such as
a blank in a target, 414 to a target of 64 KiB or more, and 431 to more headers (100) or longer ones
than it reads. These have an empty body and none of the headers of CORS: a script in a browser is
told of a network error.

This page is generated from `bff/edge/problems.py`.

| status | type | title | error | what to do |
| --- | --- | --- | --- | --- |"""

_BY_CAUSE: Final[dict[type, ProblemType]] = {row.cause: row for row in PROBLEMS if row.cause}


@dataclass(frozen=True, slots=True)
class Problem:
    """One occurrence. `detail`: a sentence to act on, free of secrets.

    `retry_after_s`: for a 503. `allow`: the methods of the route, for a 405.
    """

    kind: ProblemType
    detail: str
    request_id: str
    retry_after_s: int = DEFAULT_RETRY_AFTER_S
    allow: tuple[str, ...] = ()

    def body(self) -> bytes:
        """The document: `type`, `title`, `status`, `detail`, `request_id` (RFC 9457 §3)."""
        return orjson.dumps(
            {
                "type": self.kind.uri,
                "title": self.kind.title,
                "status": self.kind.status,
                "detail": _encodable(self.detail),
                "request_id": _encodable(self.request_id),
            }
        )

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers of the answer, as ASGI wants them; Content-Length is left to the sender."""
        fields = [
            (b"content-type", b"application/problem+json"),
            (b"cache-control", b"no-store"),
            (b"vary", b"Authorization, Origin"),
        ]
        if self.kind.challenge is not None:
            fields.append((b"www-authenticate", self.kind.challenge.encode("ascii")))
        if self.kind.status == 503:
            # 0 would invite every waiting client back at the same moment.
            fields.append((b"retry-after", str(max(1, self.retry_after_s)).encode("ascii")))
        if self.kind.status == 405:
            fields.append((b"allow", ", ".join(self.allow).encode("ascii")))
        return fields


def problem_for(error: BffError, request_id: str) -> Problem:
    """The problem document of an error, by its own class or the nearest mapped ancestor.

    Its message is the detail, or the remedy when it has none. Raises TypeError for an error that
    the catalogue does not map: no answer may be made from it.
    """
    for ancestor in type(error).__mro__:
        kind = _BY_CAUSE.get(ancestor)
        if kind is not None:
            retry_after_s = error.retry_after_s if isinstance(error, UpstreamError) else None
            return Problem(
                kind=kind,
                detail=str(error) or kind.remedy,
                request_id=request_id,
                retry_after_s=DEFAULT_RETRY_AFTER_S if retry_after_s is None else retry_after_s,
            )
    raise TypeError(f"{type(error).__name__} has no row in the catalogue of problems")


def render_catalogue() -> str:
    """The text of `docs/problems.md`."""
    rows = [
        f"| {kind.status} | `{kind.uri}` | {kind.title} | {_cause(kind)} | {kind.remedy} |"
        for kind in PROBLEMS
    ]
    return "\n".join([_INTRODUCTION, *rows, ""])


def _cause(kind: ProblemType) -> str:
    return f"`{kind.cause.__name__}`" if kind.cause else "–"


def _encodable(text: str) -> str:
    """Without lone surrogates, which JSON cannot carry: an error must not fail to be told."""
    return text.encode("utf-8", "replace").decode("utf-8")
