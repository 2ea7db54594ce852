"""What every answer of the fleet must be, and which of them must not be an error.

**An answer could be had** by a member for a cached route when
- Nexudus was well while the call was under way, within its budget, whatever Redis did; or
- Redis was well, and has been since the documents that the answer needs were stored there: they
  were fetched (or found there) for this member after the last trouble of Redis had ended, were not
  dropped by a write since (of the member, or of somebody whom they mention), and are younger than
  their freshness and error window together.
Any status but 200 and 304 is then an *error while an answer could be had*, as is an answer that is
not complete. When Redis and Nexudus both fail, or nobody has been answered yet, an error is told as
it is: it still must be one of those that mean trouble, and come in time.

Calls that pass through have no second source: an error is avoidable while all is well. In process
alone nothing is promised: what a worker that hears no invalidations holds is dropped by
design after the lease, or the cap in age.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

import orjson

from tests.reference import shape_model
from tests.support.fleet import MOBILE_SHAPE, Terms
from tests.support.fleet_client import CUT, Reply
from tests.support.fleet_members import LISTED, Json, Member, related_of
from tests.support.fleet_weather import Trouble

GOOD: Final = frozenset((200, 304))
TROUBLED: Final = frozenset((409, 429, 500, 502, 503, 504))
_CANARY: Final = re.compile(rb"canary-of-(\d+)-")
_LATE_S: Final = 1.5
"""How much later than its deadline an answer may come where the machine is busy."""


class Wrong(Enum):
    """What is counted; each has to be zero."""

    BODY = "wrong bodies"
    STATUS = "statuses without a reason"
    AVOIDABLE = "errors while an answer could be had"
    PARTIAL = "incomplete while all could be had"
    AGE = "answers past their age"
    REVOKED = "data for a revoked token"
    LOST = "answers lost"
    LATE = "answers past the deadline"


class Kind(Enum):
    """What is asked for."""

    BOOTSTRAP = "bootstrap"
    MOBILE = "bootstrap @mobile"
    PROFILES = "profiles"
    RELATED = "related"
    FORWARDED = "passed through"
    GARBAGE = "garbage token"
    REVOKED = "revoked token"


@dataclass(frozen=True, slots=True)
class Fault:
    """One answer that must not be, and why."""

    wrong: Wrong
    text: str


@dataclass(frozen=True, slots=True)
class Stored:
    """A document that was in Redis after `since`; `fetched_at` at the earliest. Both monotonic."""

    fetched_at: float
    since: float


@dataclass(slots=True)
class Session:
    """One token of a member, and what it was told. `stored`: by name of the document."""

    member: Member
    token: str
    home: int
    etags: dict[str, dict[str, int | None]] = field(default_factory=dict)
    latest: dict[str, str] = field(default_factory=dict)
    stored: dict[str, Stored] = field(default_factory=dict)
    revoked_at: float | None = None
    refused_at: float | None = None
    _seen: set[tuple[Kind, int | None, bytes]] = field(default_factory=set)

    def is_right(self, kind: Kind, active: int | None, body: bytes) -> bool:
        """Whether a body is exactly what this session may be told with that profile active."""
        if (kind, active, body) in self._seen:
            return True
        if orjson.loads(body) != self._expected(kind, active):
            return False
        self._seen.add((kind, active, body))
        return True

    def is_right_in_part(self, kind: Kind, active: int, body: bytes) -> bool:
        """The same of a bootstrap whose related part is missing, its problem aside."""
        part = {**self._listed(active), "RelatedProfiles": [], "Threads": []}
        told = {name: value for name, value in orjson.loads(body).items() if name != "Bootstrap"}
        return bool(
            told == (shape_model.select(part, MOBILE_SHAPE) if kind is Kind.MOBILE else part)
        )

    def _listed(self, active: int) -> Json:
        listed = self.member.profiles[active]
        return {**listed, "User": {**listed["User"], "AccessToken": self.token}}

    def _expected(self, kind: Kind, active: int | None) -> Any:
        assert active is not None
        if kind is Kind.RELATED:
            return self.member.related[active]
        if kind is Kind.PROFILES:
            return self._listed(active)
        own = {"CoworkerId": active, "Complete": True, "Problems": []}
        whole = {**self._listed(active), **self.member.related[active], "Bootstrap": own}
        return shape_model.select(whole, MOBILE_SHAPE) if kind is Kind.MOBILE else whole


@dataclass(frozen=True, slots=True)
class Ask:
    """One request of a session. `coworker`: whose related list is asked for by itself.

    `about`: the profile that was thought to be active, or that one.
    """

    session: Session
    kind: Kind
    target: str
    coworker: int | None = None
    validator: str = ""
    about: int | None = None


@dataclass(frozen=True, slots=True)
class Ground:
    """What was in trouble while an answer was made, and since when Redis has been well."""

    troubles: frozenset[Trouble]
    redis_calm_since: float
    terms: Terms

    def oldest_s(self, reply: Reply) -> float:
        """How old an answer may be.

        Without Redis, or just after, everything is asked anew at once: that the budget has no call
        for it in time counts as failing, too.
        """
        if Trouble.NEXUDUS in self.troubles or self.refilling(reply):
            return self.terms.while_failing_s
        return self.terms.fresh_or_stale_s

    def refilling(self, reply: Reply) -> bool:
        """Whether Redis is, or was a moment ago, in trouble."""
        calm = self.redis_calm_since
        return calm > 0 and reply.began < calm + self.terms.fresh_or_stale_s

    def could_be_had(self, ask: Ask, reply: Reply) -> bool:
        """See the head of this page."""
        if Trouble.NEXUDUS not in self.troubles:
            return True
        if Trouble.REDIS in self.troubles or Trouble.PROCESS in self.troubles:
            return False
        needed = [LISTED] if ask.kind is Kind.PROFILES else [LISTED, related_of(ask.about)]
        return all(self._is_stored(ask.session, name, reply) for name in needed)

    def _is_stored(self, session: Session, name: str, reply: Reply) -> bool:
        stored = session.stored.get(name)
        if stored is None or stored.since < session.member.dropped_until(name):
            return False
        window = self.terms.profiles if name == LISTED else self.terms.related
        usable_s = window[0] * 0.9 + window[2] - 1
        # A worker that was alone may have been holding it, until its copies were too old.
        since = self.redis_calm_since + self.terms.l1_max_age_s if self.redis_calm_since else 0.0
        return stored.fetched_at > since and reply.ended - stored.fetched_at < usable_s


def check(ask: Ask, reply: Reply, ground: Ground) -> list[Fault]:
    """Everything that is wrong with one answer; what it tells is noted in its session."""
    found = [*_check_canaries(ask, reply), *_check_time(reply, ground)]
    if reply.status == 503 and not reply.headers.get("retry-after", "").isdecimal():
        found.append(Fault(Wrong.STATUS, f"no Retry-After: {_told(reply)}"))
    match ask.kind:
        case Kind.GARBAGE:
            return found + _check_refused(reply, ground, "a garbage token")
        case Kind.FORWARDED:
            return found + check_forwarded(reply, ground)
        case Kind.REVOKED:
            return found + _check_revoked(ask, reply, ground)
        case _:
            return found + _check_cached(ask, reply, ground)


def _told(reply: Reply) -> str:
    cache = reply.headers.get("cache-status", "")
    detail = reply.why or (
        reply.body[:160].decode("utf-8", "replace") if reply.status > 304 else ""
    )
    return f"{reply.status} in {reply.took_s:.3f} s via {reply.gateway} [{cache}] {detail}"


def _check_canaries(ask: Ask, reply: Reply) -> list[Fault]:
    own = str(ask.session.member.user_id).encode()
    others = set(_CANARY.findall(reply.body)) - {own}
    return [Fault(Wrong.BODY, f"data of {others} shown to {own.decode()}")] if others else []


def _check_time(reply: Reply, ground: Ground) -> list[Fault]:
    if reply.took_s > ground.terms.deadline_s + _LATE_S:
        return [Fault(Wrong.LATE, _told(reply))]
    return []


def _check_refused(reply: Reply, ground: Ground, whom: str) -> list[Fault]:
    if reply.status == 401:
        return []
    if reply.status == CUT:
        return _check_cut(reply, ground)
    if reply.status in TROUBLED:
        failing = Trouble.NEXUDUS in ground.troubles
        # Strangers have a part of the budget, which is spent first while everything is asked anew.
        failing |= reply.status == 503 and ground.refilling(reply)
        return [] if failing else [Fault(Wrong.AVOIDABLE, f"for {whom}: {_told(reply)}")]
    return [Fault(Wrong.STATUS, f"for {whom}: {_told(reply)}")]


def _check_cut(reply: Reply, ground: Ground) -> list[Fault]:
    return [] if Trouble.PROCESS in ground.troubles else [Fault(Wrong.LOST, _told(reply))]


def check_forwarded(reply: Reply, ground: Ground) -> list[Fault]:
    """What passes through has no second source, and the rest of the budget.

    While everything is asked anew, there may be nothing left for it. A 409 is Nexudus' own answer;
    what it refuses as too much is counted apart.
    """
    if reply.status in (200, 409) or Trouble.NEXUDUS in ground.troubles:
        return []
    if reply.status == CUT:
        return _check_cut(reply, ground)
    if reply.status == 503 and ground.refilling(reply):
        return []
    wrong = Wrong.AVOIDABLE if reply.status in TROUBLED else Wrong.STATUS
    return [Fault(wrong, f"passed through: {_told(reply)}")]


def _check_revoked(ask: Ask, reply: Reply, ground: Ground) -> list[Fault]:
    session = ask.session
    assert session.revoked_at is not None
    if reply.status not in GOOD:
        if reply.status == 401:
            session.refused_at = session.refused_at or reply.ended
        return _check_refused(reply, ground, "a revoked token")
    terms, failing = ground.terms, Trouble.NEXUDUS in ground.troubles
    bound_s = terms.while_failing_s if failing else terms.fresh_or_stale_s
    if reply.began > session.revoked_at + bound_s:
        return [Fault(Wrong.REVOKED, f"{reply.began - session.revoked_at:.1f} s after")]
    return []


def _check_cached(ask: Ask, reply: Reply, ground: Ground) -> list[Fault]:
    if reply.status == CUT:
        return _check_cut(reply, ground)
    if reply.status not in GOOD:
        if reply.status not in TROUBLED:
            return [Fault(Wrong.STATUS, f"{ask.kind.value}: {_told(reply)}")]
        if ground.could_be_had(ask, reply):
            return [Fault(Wrong.AVOIDABLE, f"{ask.kind.value}: {_told(reply)}")]
        return []
    found = [*_check_age(ask, reply, ground), *_check_body(ask, reply, ground)]
    if not found:
        _note_stored(ask, reply, ground)
    return found


def _check_age(ask: Ask, reply: Reply, ground: Ground) -> list[Fault]:
    bound_s = ground.oldest_s(reply)
    # Age is that of the oldest part, at the moment when it was answered.
    if reply.age_s > bound_s + reply.took_s:
        return [Fault(Wrong.AGE, f"{ask.kind.value}: {reply.age_s} s old, {_told(reply)}")]
    return []


def _check_body(ask: Ask, reply: Reply, ground: Ground) -> list[Fault]:
    session = ask.session
    candidates: set[int] = {ask.coworker} if ask.coworker else set()
    candidates = candidates or session.member.may_be_active(reply.began, reply.ended)
    if reply.status == 304:
        known = session.etags.get(ask.target, {}).get(reply.headers["etag"])
        fits = known in candidates and reply.headers["etag"] in ask.validator
        return [] if fits else [Fault(Wrong.BODY, f"304 of {known}, may be {candidates}")]
    if reply.headers.get("bff-complete") == "false":
        if not any(session.is_right_in_part(ask.kind, each, reply.body) for each in candidates):
            return [Fault(Wrong.BODY, f"in part: {reply.body[:300]!r}")]
        if ground.could_be_had(ask, reply):
            return [Fault(Wrong.PARTIAL, f"{_told(reply)} {reply.body[-200:]!r}")]
        return []
    for active in candidates:
        if session.is_right(ask.kind, active, reply.body):
            session.etags.setdefault(ask.target, {})[reply.headers["etag"]] = active
            session.latest[ask.target] = reply.headers["etag"]
            return []
    shown = [a for a in session.member.profiles if session.is_right(ask.kind, a, reply.body)]
    text = f"{ask.kind.value}: shows {shown or reply.body[:300]!r}, may be {candidates}"
    return [Fault(Wrong.BODY, f"{text}; {_told(reply)}")]


def _note_stored(ask: Ask, reply: Reply, ground: Ground) -> None:
    """Which documents are surely in Redis now: those that were just found or stored there."""
    session, cache = ask.session, reply.headers.get("cache-status", "")
    sure = "; stored" in cache or cache.endswith("detail=l2")
    if not sure or Trouble.REDIS in ground.troubles:
        return
    shown = session.etags[ask.target][reply.headers["etag"]]
    names = [LISTED] if ask.kind is not Kind.RELATED else []
    names += [related_of(shown)] if ask.kind is not Kind.PROFILES else []
    for name in names:
        if reply.began >= session.member.dropped_until(name):
            session.stored[name] = Stored(reply.ended - reply.age_s - 1, reply.began)
