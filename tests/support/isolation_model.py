"""What two members may be shown, said plainly: documents, their past, and until when each is good.

The truth of a space is a copy of its simulated world, changed by the same calls. Every change
leaves a version behind; a version may be shown while it is true, for its window after it was
overwritten, and not at all to whoever asks after a write that drops it was answered.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, cast

import orjson

from bff.sandbox.directory import Directory, NotPublished
from bff.sandbox.documents import Documents
from bff.sandbox.seed import business_of, seeded
from bff.sandbox.world import Switched, World

Json = dict[str, object]

SPACES: Final = ("acme", "beta")
SEED: Final = 7
"""Of every simulated space, unless it is told another."""
ACTIVE_AT_FIRST: Final = {7001: 101, 7002: 202, 7003: 303}
OWNERS: Final = {101: 7001, 145: 7001, 177: 7001, 202: 7002, 303: 7003}
LETTERS: Final = {7001: "A", 7002: "B", 7003: "C"}
IDS: Final = (101, 202, 145, 303, 999)
"""Coworkers that are asked for: of A, of B, A's other one, of C, nobody's."""
TAGS_AT_FIRST: Final = {101: "Design,UX", 202: "UX,Research", 303: "Research"}

CANARY: Final = re.compile(r"(pub|priv)-([ABC])-(acme|beta)-(\d+)-(e\d+v\d+)")


def canaries(space: str, coworker: int, mark: str) -> Json:
    """Fields that tell whose data an answer holds: one that the directory shows, one it does not.

    `mark` (`e3v17`) is that of one write and comes nowhere else.
    """
    whose = f"{LETTERS[OWNERS[coworker]]}-{space}-{coworker}-{mark}"
    return {"Position": f"pub-{whose}", "MobilePhone": f"priv-{whose}"}


def first_fields(space: str, coworker: int, mark: str) -> Json:
    """What a coworker is set to when an example begins."""
    tags = TAGS_AT_FIRST.get(coworker)
    shown = {"ProfileIsPublic": tags is not None, "ProfileTags": tags}
    return {**canaries(space, coworker, mark), **shown}


class Kind(Enum):
    """Of which list a document is."""

    PROFILES = "profiles"
    RELATED = "related"


@dataclass(frozen=True, slots=True)
class Subject:
    """One document of one space: a user's profile list, or a coworker's related list."""

    space: str
    kind: Kind
    ident: int


@dataclass(frozen=True, slots=True)
class Window:
    """Seconds after an overwrite in which the older version may be shown; longer in trouble."""

    calm_s: float
    troubled_s: float

    def of(self, *, troubled: bool) -> float:
        return self.troubled_s if troubled else self.calm_s


@dataclass(frozen=True, slots=True)
class Windows:
    """Of profile lists, related lists, 404s, and of the proof of a token (ADR 0004)."""

    profiles: Window
    related: Window
    negative: Window
    proof: Window

    def around(self, version: Version, kind: Kind) -> Window:
        if kind is Kind.PROFILES:
            return self.profiles
        return self.related if version.document is not None else self.negative


@dataclass(frozen=True, slots=True)
class Moment:
    """The place of an event in the order of the example, and the wall clock then (UTC s)."""

    step: int
    wall: float


@dataclass(slots=True)
class Version:
    """`document` is None for a 404; `coworkers`: whom it is about or mentions.

    `overwritten_at`: the highest wall clock seen until it was; `dropped_in`: the step of the answer
    after which nobody may be shown it.
    """

    document: Json | None
    coworkers: frozenset[int]
    overwritten_at: float | None = None
    dropped_in: int | None = None


@dataclass(slots=True)
class Grant:
    """A token that one space knows: whose it is, and what ended it.

    `exp`: UTC s in its text. `revoked_at`: the highest wall clock until then. `refused_in`: the
    step in which the gateway passed on Nexudus' 401 since.
    """

    space: str
    user: int
    exp: float | None = None
    revoked_at: float | None = None
    refused_in: int | None = None

    def accepted(self, wall: float) -> bool:
        """Whether Nexudus surely accepts it until `wall`."""
        return self.revoked_at is None and (self.exp is None or wall < self.exp)


@dataclass(frozen=True, slots=True)
class Replica:
    """A copy of one sandbox."""

    world: World
    documents: Documents
    directory: Directory

    @classmethod
    def of(cls, space: str) -> Replica:
        world = World(seeded(SEED, 0), business_of(space), SEED)
        return cls(world, Documents(world), Directory(world))

    def current(self, user: int) -> int:
        """The user's active profile."""
        current = self.world.member(user).current_id
        assert current is not None
        return current

    def document(self, kind: Kind, ident: int) -> Json | None:
        """As Nexudus sends it but for the token and the variant; None for a 404."""
        if kind is Kind.PROFILES:
            return self.documents.profiles(ident, "")
        try:
            return self.directory.related(ident)
        except NotPublished:
            return None


@dataclass(slots=True)
class Truth:
    """Both spaces, their past, their tokens. `highest`: the highest wall clock so far (UTC s)."""

    windows: Windows
    example: int
    step: int = 0
    highest: float = float("-inf")
    replicas: dict[str, Replica] = field(
        default_factory=lambda: {space: Replica.of(space) for space in SPACES}
    )
    grants: dict[tuple[str, str], Grant] = field(default_factory=dict)
    _versions: dict[Subject, list[Version]] = field(default_factory=dict)
    _marks: int = 0

    def moment(self, wall: float) -> Moment:
        """The moment of an event at `wall`."""
        self.highest = max(self.highest, wall)
        return Moment(self.step, wall)

    def new_mark(self) -> str:
        """The mark of a new write."""
        self._marks += 1
        return f"e{self.example}v{self._marks}"

    def edit(self, space: str, coworker: int, fields: Json, wall: float) -> None:
        """A coworker was edited in Nexudus, not later than `wall`."""
        self.moment(wall)
        self.replicas[space].world.edit(coworker, fields)
        self._record(space)

    def switch(self, space: str, user: int, coworker: int, wall: float) -> None:
        """A user switched the active profile in Nexudus, not later than `wall`."""
        self.moment(wall)
        done = self.replicas[space].world.switch(user, coworker)
        assert done is Switched.DONE
        self._record(space)

    def begin(self) -> None:
        """What is true now is what the example begins with."""
        self._versions.clear()
        for space in SPACES:
            self._record(space)

    def drop(self, space: str, users: Collection[int], coworkers: Collection[int]) -> None:
        """From the next step on, nobody is shown older versions that depend on any of these."""
        for subject, version in self._older(space):
            named = subject.ident in users and subject.kind is Kind.PROFILES
            if named or not version.coworkers.isdisjoint(coworkers):
                version.dropped_in = version.dropped_in or self.step

    def shown(self, subject: Subject, began: Moment, *, troubled: bool) -> Iterator[Version]:
        """The versions that an answer to a request begun then may hold, the newest first."""
        for version in reversed(self._versions[subject]):
            window = self.windows.around(version, subject.kind)
            if version.dropped_in is not None and version.dropped_in < began.step:
                continue
            if version.overwritten_at is None or (
                began.wall < version.overwritten_at + window.of(troubled=troubled)
            ):
                yield version

    def _older(self, space: str) -> Iterator[tuple[Subject, Version]]:
        for subject, versions in self._versions.items():
            if subject.space == space:
                yield from ((subject, version) for version in versions[:-1])

    def _record(self, space: str) -> None:
        subjects = [Subject(space, Kind.PROFILES, user) for user in ACTIVE_AT_FIRST]
        subjects += [Subject(space, Kind.RELATED, ident) for ident in IDS]
        for subject in subjects:
            document = self.replicas[space].document(subject.kind, subject.ident)
            kept = cast(Json | None, orjson.loads(orjson.dumps(document)))
            versions = self._versions.setdefault(subject, [])
            if versions and versions[-1].document == kept:
                continue
            if versions:
                versions[-1].overwritten_at = self.highest
            versions.append(Version(kept, _coworkers(subject, kept)))


def _coworkers(subject: Subject, document: Mapping[str, object] | None) -> frozenset[int]:
    own = {subject.ident} if subject.kind is Kind.RELATED else set()
    listed = (document or {}).get(
        "Profiles" if subject.kind is Kind.PROFILES else "RelatedProfiles"
    )
    items = cast(list[Mapping[str, int]], listed or [])
    return frozenset(own | {item["Id"] for item in items})
