"""The declared table of cached resources. A new part of the bootstrap is a new row here.

A row says where Nexudus serves it, whose it is, what form a good answer has, what drops it, and
which members of the bootstrap document it brings. Freshness numbers are settings, by row name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeGuard

from bff.cache import tags
from bff.cache.keys import Scope

Json = Mapping[str, object]

MAX_TAGGED = 64
"""Coworkers of one document that get a tag of their own; the rest age out."""


def as_id(value: object) -> int | None:
    """A positive 64-bit id, also when it comes as digits in a string (FACTS 7)."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 19:
        value = int(value)
    # Its very type: true and false are numbers too.
    return value if type(value) is int and 0 < value < 2**63 else None


@dataclass(frozen=True, slots=True)
class Resource:
    """One cached GET of Nexudus. `path` may hold `{id}`; `members` are its top-level fields."""

    name: str
    path: str
    scope: Scope
    members: frozenset[str]
    accepts: Callable[[object], bool]
    document_tags: Callable[[Json], frozenset[str]]
    negative: frozenset[int] = field(default=frozenset())
    absent: bytes = b"{}"
    """The JSON that stands in the bootstrap for a session that has no such document."""
    secret: tuple[str, ...] | None = None
    """Path of the member that mirrors the caller's token."""

    def path_for(self, ident: str) -> str:
        """Path of one document; `ident` was validated as an id, or is empty."""
        return self.path.format(id=ident)

    def ident_of(self, active: int | None) -> str | None:
        """Which document belongs to a session that acts as profile `active`; None if none does."""
        if self.scope is not Scope.COWORKER:
            return ""
        return None if active is None else str(active)

    def tags_for(self, document: object, ident: str) -> tuple[str, ...]:
        """What drops a document; `document` is None for a negative answer."""
        found = {tags.resource(self.name)}
        if self.scope is Scope.COWORKER:
            found.add(tags.coworker(int(ident)))
        if _is_object(document):
            found |= self.document_tags(document)
        return tuple(sorted(found))


def _is_object(value: object) -> TypeGuard[Json]:
    return isinstance(value, dict)


def _identified(value: object) -> list[tuple[int, Json]] | None:
    """The items of a list of objects that all have an id, or None."""
    if not isinstance(value, list):
        return None
    found: list[tuple[int, Json]] = []
    for item in value:
        ident = as_id(item.get("Id")) if isinstance(item, dict) else None
        if ident is None:
            return None
        found.append((ident, item))
    return found


def _coworker_tags(items: object) -> set[str]:
    return {tags.coworker(ident) for ident, _ in (_identified(items) or [])[:MAX_TAGGED]}


def user_of(document: object) -> int | None:
    """`User.Id` of a profile list."""
    user = document.get("User") if _is_object(document) else None
    return as_id(user.get("Id")) if _is_object(user) else None


def coworkers_of(document: object) -> tuple[int, ...]:
    """`Profiles[].Id` of a profile list."""
    profiles = _identified(document.get("Profiles")) if _is_object(document) else None
    return tuple([ident for ident, _ in profiles or ()])


def active_profile(document: object) -> int | None:
    """The profile that the session acts as: `IsDefaultProfile`, else the first active one."""
    profiles = _identified(document.get("Profiles")) if _is_object(document) else None
    for wanted in ("IsDefaultProfile", "Active"):
        for ident, profile in profiles or ():
            if profile.get(wanted) is True:
                return ident
    return None


def _accepts_profiles(document: object) -> bool:
    return (
        _is_object(document)
        and user_of(document) is not None
        and _identified(document.get("Profiles")) is not None
    )


def _profiles_tags(document: Json) -> frozenset[str]:
    user = user_of(document)
    assert user is not None
    return frozenset(_coworker_tags(document.get("Profiles")) | {tags.user(user)})


def _accepts_related(document: object) -> bool:
    return (
        _is_object(document)
        and _identified(document.get("RelatedProfiles")) is not None
        and isinstance(document.get("Threads", []), list | None)
    )


def _related_tags(document: Json) -> frozenset[str]:
    return frozenset(_coworker_tags(document.get("RelatedProfiles")))


PROFILES = Resource(
    name="profiles",
    path="/api/public/coworkers/profiles",
    scope=Scope.TOKEN,
    members=frozenset({"User", "DefaultBusiness", "Profiles"}),
    accepts=_accepts_profiles,
    document_tags=_profiles_tags,
    secret=("User", "AccessToken"),
)
RELATED = Resource(
    name="related",
    path="/api/public/coworkers/published/{id}/related",
    scope=Scope.COWORKER,
    members=frozenset({"RelatedProfiles", "Threads"}),
    accepts=_accepts_related,
    document_tags=_related_tags,
    negative=frozenset({404}),
    absent=b'{"RelatedProfiles":[],"Threads":[]}',
)
TABLE: tuple[Resource, ...] = (PROFILES, RELATED)
PARTS: tuple[Resource, ...] = tuple(row for row in TABLE if row is not PROFILES)
"""What the bootstrap document holds beside the profile list."""
ALL_TAGS = frozenset(
    [*(tags.resource(row.name) for row in TABLE), tags.resource(tags.PROOF_RESOURCE)]
)
"""Dropping these drops everything stored for a space."""
