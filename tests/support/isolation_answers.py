"""What one answer of the gateway must be, given the truth: the invariants, one function each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Final, cast

import orjson

from tests.reference import shape_model
from tests.support.isolation_model import (
    CANARY,
    LETTERS,
    Grant,
    Json,
    Kind,
    Moment,
    Subject,
    Truth,
)

TROUBLE_STATUSES: Final = frozenset({401, 403, 409, 500, 502, 503, 504})
"""What a read may be answered with while its space is made to fail."""
SLOW_S: Final = 0.4
"""A fraction of every deadline that the gateways are given."""
EXP_SLACK_S: Final = 1.0
"""A space ends a token this much later than the token says, at most."""
MIN_COMPRESSED: Final = 256
_PART_STATUSES: Final = TROUBLE_STATUSES | {404}


class Route(Enum):
    """The cached routes."""

    BOOTSTRAP = "/session/bootstrap"
    PROFILES = "/api/public/coworkers/profiles"
    RELATED = "/api/public/coworkers/published/{id}/related"


@dataclass(frozen=True, slots=True)
class Identity:
    """Everything that one representation belongs to; `shape` in its canonical form."""

    space: str
    token: str
    route: Route
    ident: int
    shape: str
    language: str
    coding: str


@dataclass(frozen=True, slots=True)
class Request:
    """A read as it was sent. `ident`: of a related list; `coding`: what its header negotiates."""

    space: str
    token: str | None
    route: Route
    ident: int
    shape: str
    language: str
    coding: str
    validators: tuple[str, ...]

    def with_validators(self, validators: tuple[str, ...]) -> Request:
        return replace(self, validators=validators)

    def identity(self, coding: str) -> Identity:
        shape = shape_model.canonical(self.shape)
        token = self.token or ""
        return Identity(self.space, token, self.route, self.ident, shape, self.language, coding)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `body` is decoded. A status of 0 is a connection that was cut.

    `ended`: UTC s, by the clock of the stage. `took_s`: real seconds.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    ended: float
    took_s: float

    @property
    def slow(self) -> bool:
        """Whether a deadline may have been met on the way, if only because the machine is busy."""
        return self.took_s > SLOW_S

    @property
    def complete(self) -> bool:
        return self.headers.get("bff-complete") != "false"


@dataclass(frozen=True, slots=True)
class Terms:
    """When a read began, and whether its space may have failed since."""

    began: Moment
    troubled: bool


@dataclass(slots=True)
class Issued:
    """Every validator that was handed out, with whose and of what it is."""

    order: list[str] = field(default_factory=list)
    of: dict[str, tuple[Identity, bytes]] = field(default_factory=dict)

    def record(self, request: Request, answer: Answer) -> None:
        """Fails if one validator names two representations (pitfall 11)."""
        coding = answer.headers.get("content-encoding", "identity")
        assert coding == request.coding or (
            coding == "identity" and len(answer.body) < MIN_COMPRESSED
        ), f"coded as {coding}, negotiated was {request.coding}"
        etag, issued = answer.headers["etag"], (request.identity(coding), answer.body)
        assert self.of.setdefault(etag, issued) == issued, "one validator, two representations"
        if etag not in self.order:
            self.order.append(etag)


def check(truth: Truth, issued: Issued, request: Request, answer: Answer, terms: Terms) -> None:
    """Every invariant on the answer to one read."""
    check_headers(answer)
    check_canaries(truth, request, answer)
    grant = truth.grants.get((request.space, request.token or ""))
    if answer.status in (200, 304, 404):
        assert grant is not None, "data for a caller that no space knows"
        assert may_have_data(truth, grant, request.route, terms), "data for an ended token"
    else:
        assert may_fail(grant, answer, terms), f"status {answer.status} without a reason"
        return
    if answer.status == 304:
        answer = replace(answer, status=200, body=body_of_304(issued, request, answer))
        check_content(truth, grant, request, answer, terms)
        return
    check_content(truth, grant, request, answer, terms)
    if answer.status == 200:
        issued.record(request, answer)


def check_write(grant: Grant, answer: Answer, *, troubled: bool) -> None:
    """The answer to a write: nothing of anybody's, and an error for a reason only."""
    assert not CANARY.search(answer.body.decode()), "data in the answer to a write"
    if answer.status == 0:
        assert troubled, "a write was cut"
        return
    check_headers(answer)
    expected = {200, 404} if grant.accepted(answer.ended) else {200, 401, 404}
    assert troubled or answer.status in expected, f"status {answer.status} for a write"


def check_headers(answer: Answer) -> None:
    """Pitfall 19: nothing in between may keep it for somebody else."""
    caching = answer.headers.get("cache-control", "")
    assert "private" in caching or "no-store" in caching, f"Cache-Control: {caching}"
    assert "authorization" in answer.headers.get("vary", "").lower(), "Vary lacks Authorization"


def check_canaries(truth: Truth, request: Request, answer: Answer) -> None:
    """Pitfalls 1 and 4: no private datum of another user, none of another space or example."""
    grant = truth.grants.get((request.space, request.token or ""))
    text = answer.body.decode() + repr(dict(answer.headers))
    for kind, letter, space, _, mark in CANARY.findall(text):
        assert space == request.space, f"a datum of {space} in an answer of {request.space}"
        assert mark.startswith(f"e{truth.example}v"), f"a datum of another example: {mark}"
        own = grant is not None and letter == LETTERS[grant.user]
        assert own or (grant is not None and kind == "pub"), f"{kind} datum of {letter} leaked"
    for space, token in truth.grants:
        assert token == request.token or token not in text, f"a token of {space} leaked"


def may_have_data(truth: Truth, grant: Grant, route: Route, terms: Terms) -> bool:
    """Pitfall 2: an ended token is shown what is cached for its bound only, then nothing."""
    began, windows = terms.began, truth.windows
    if grant.exp is not None and began.wall >= grant.exp + EXP_SLACK_S:
        return False
    if grant.revoked_at is None:
        return True
    if grant.refused_in is not None and grant.refused_in < began.step:
        return False
    window = windows.proof if route is Route.RELATED else windows.profiles
    return began.wall < grant.revoked_at + window.of(troubled=terms.troubled)


def may_fail(grant: Grant | None, answer: Answer, terms: Terms) -> bool:
    """Whether the answer may be an error: nobody known, an ended token, or a failing space."""
    if terms.troubled and answer.status in TROUBLE_STATUSES:
        return True
    return answer.status == 401 and (grant is None or not grant.accepted(answer.ended))


def body_of_304(issued: Issued, request: Request, answer: Answer) -> bytes:
    """The body that the caller is told to use again; fails unless it is the caller's own."""
    assert answer.body == b""
    etag = answer.headers["etag"]
    assert etag in request.validators, "a 304 for a validator that was not sent"
    assert etag in issued.of, "a 304 for a validator that was never handed out"
    identity, body = issued.of[etag]
    coding = request.coding if identity.coding == request.coding else "identity"
    assert identity == request.identity(coding), "a 304 across user, shape, coding or space"
    assert coding == request.coding or len(body) < MIN_COMPRESSED, "a 304 across codings"
    return body


def check_content(
    truth: Truth, grant: Grant, request: Request, answer: Answer, terms: Terms
) -> None:
    """The body is the projection of a whole that may be shown at this moment."""
    candidates = list(documents(truth, grant, request, answer, terms))
    if answer.status == 404:
        assert None in candidates, "404 for a list that nobody hid"
        return
    own = orjson.loads(answer.body)
    told = own.get("User", {}).get("AccessToken", request.token) if isinstance(own, dict) else None
    assert told == request.token, "another token in User.AccessToken"
    seen = orjson.dumps(own)
    assert any(
        document is not None and orjson.dumps(shape_model.select(document, request.shape)) == seen
        for document in candidates
    ), f"not what any of {len(candidates)} acceptable documents projects to: {answer.body[:2000]!r}"


def documents(
    truth: Truth, grant: Grant, request: Request, answer: Answer, terms: Terms
) -> Iterator[Json | None]:
    """The whole documents that the answer may be a projection of; None stands for a 404."""
    if request.route is Route.RELATED:
        subject = Subject(request.space, Kind.RELATED, request.ident)
        for version in truth.shown(subject, terms.began, troubled=terms.troubled):
            document = version.document
            yield None if document is None else {**document, **_variant(request)}
        return
    subject = Subject(request.space, Kind.PROFILES, grant.user)
    for version in truth.shown(subject, terms.began, troubled=terms.troubled):
        assert version.document is not None
        user = {**cast(Json, version.document["User"]), "AccessToken": request.token}
        listed = {**version.document, "User": user, **_variant(request)}
        if request.route is Route.PROFILES:
            yield listed
        else:
            yield from _bootstraps(truth, grant, listed, answer, terms)


def _bootstraps(
    truth: Truth, grant: Grant, listed: Json, answer: Answer, terms: Terms
) -> Iterator[Json]:
    active = _active(listed)
    if not answer.complete:
        accepted = grant.accepted(answer.ended)
        assert terms.troubled or not accepted, "an incomplete answer without a reason"
        yield _merged(listed, {}, active, _problems(answer))
        return
    if active is None:
        yield _merged(listed, {}, active, [])
        return
    subject = Subject(grant.space, Kind.RELATED, active)
    for version in truth.shown(subject, terms.began, troubled=terms.troubled):
        yield _merged(listed, version.document or {}, active, [])


def _active(listed: Json) -> int | None:
    """The default profile, else the first that is active."""
    profiles = cast(list[dict[str, Any]], listed["Profiles"])
    default = [each for each in profiles if each["IsDefaultProfile"]]
    found = [*default, *(each for each in profiles if each["Active"])]
    return int(found[0]["Id"]) if found else None


def _merged(listed: Json, related: Json, active: int | None, problems: list[object]) -> Json:
    own = {"CoworkerId": active, "Complete": not problems, "Problems": problems}
    parts = {name: related.get(name, []) for name in ("RelatedProfiles", "Threads")}
    return {**listed, **parts, "Bootstrap": own}


def _problems(answer: Answer) -> list[object]:
    """The problems that an incomplete answer names, or one whose text the shape left out."""
    document: object = orjson.loads(answer.body)
    own = document.get("Bootstrap") if isinstance(document, dict) else None
    problems = own.get("Problems") if isinstance(own, dict) else None
    if not isinstance(problems, list):
        return [{}]
    assert len(problems) == 1
    assert problems[0].get("Part", "related") == "related"
    assert problems[0].get("Status", 503) in _PART_STATUSES
    return problems


def _variant(request: Request) -> Json:
    return {"Culture": request.language, "UseTimezone": ""}
