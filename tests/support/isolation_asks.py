"""What the machine draws: reads, writes and mishaps, as values that print for a replay."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from hypothesis import strategies as st

from tests.support.isolation_answers import Route
from tests.support.isolation_model import IDS, OWNERS, SPACES, Json

CODINGS: Final = (
    ("", "identity"),
    ("gzip", "gzip"),
    ("br", "br"),
    ("zstd", "zstd"),
    ("gzip;q=0.2, br;q=0.8", "br"),
)
"""`Accept-Encoding`, and what it negotiates."""

PATHS: Final = (
    "Profiles.Id",
    "Profiles.Position",
    "Profiles[].MobilePhone",
    "Profiles.IsDefaultProfile",
    "User",
    "User.AccessToken",
    "DefaultBusiness.Name",
    "RelatedProfiles",
    "RelatedProfiles.Position",
    "Threads",
    "Bootstrap",
    "Bootstrap.CoworkerId",
    "Culture",
    "No.Such",
)

SHAPES: Final = (
    "",
    "Profiles.Id,Profiles.Position",
    "RelatedProfiles",
    "User,Profiles[].MobilePhone",
    "Bootstrap,Culture",
)
"""Drawn more often than others, so that the same shape is asked for again."""

LATEST: Final = -1
"""In place of the number of a token or gateway: that of the last read. In place of a validator's:
the one last given for this very request."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A read. `login` counts the tokens, `validators` the ETags of anybody from the newest on."""

    gateway: int = 0
    login: int = LATEST
    route: Route = Route.BOOTSTRAP
    coworker: int = 101
    hinted: bool = False
    shape: str = ""
    language: str = ""
    coding: int = 0
    validators: tuple[int, ...] = ()


class Verb(Enum):
    """The writes through the gateway, by method and target."""

    SWITCH = ("PUT", "/api/public/coworkers/profiles/current?coworkerId={coworker}")
    LEGACY_SWITCH = ("GET", "/en/coworker/setCurrentProfile?coworkerId={coworker}")
    EDIT = ("PATCH", "/api/public/coworker/profile")
    LEGACY_EDIT = ("POST", "/en/profile")

    @property
    def switches(self) -> bool:
        return self in (Verb.SWITCH, Verb.LEGACY_SWITCH)

    @property
    def legacy(self) -> bool:
        return self in (Verb.LEGACY_SWITCH, Verb.LEGACY_EDIT)


@dataclass(frozen=True, slots=True)
class Write:
    """A write. A switch goes to `coworker`; an edit sets what the directory shows."""

    gateway: int = 0
    login: int = LATEST
    verb: Verb = Verb.SWITCH
    coworker: int = 101
    public: bool = True
    tags: str | None = "UX,Research"

    @property
    def shown(self) -> Json:
        return {"ProfileIsPublic": self.public, "ProfileTags": self.tags}


class Operation(Enum):
    """What an operator drops."""

    COWORKER = "what is about a coworker"
    USER = "what is a user's"
    SPACE = "everything of a space"
    REDIS = "everything in Redis, behind the gateways' back"


class Stranger(Enum):
    """Callers that a space does not know, by their `Authorization`; the last has one elsewhere."""

    ANONYMOUS = None
    EMPTY = "Bearer"
    BASIC = "Basic QTpC"
    GARBAGE = "Bearer garbage-that-nobody-issued"
    ENDED_JWT = "Bearer eyJhbGciOiJub25lIn0.eyJleHAiOjF9.c2ln"
    FOREIGN = "Bearer of another space"


FAULTS: Final[dict[str, Json]] = {
    "throttled": {"kind": "status", "status": 409, "retry_after": 1},
    "error": {"kind": "status", "status": 500},
    "refused": {"kind": "status", "status": 401},
    "forbidden": {"kind": "status", "status": 403},
    "html": {"kind": "html200"},
    "empty": {"kind": "empty200"},
    "wrong form": {"kind": "wrong_form"},
    "cut": {"kind": "truncate", "mode": "length"},
    "half a JSON": {"kind": "truncate", "mode": "json"},
    "reset": {"kind": "reset"},
    "cookie": {"kind": "set_cookie"},
    "no-store": {"kind": "no_store"},
}
HANG: Final[Json] = {"kind": "hang"}
"""Happens once, and costs a whole deadline: so it is drawn seldom."""
HARMLESS: Final = frozenset({"cookie", "no-store"})
"""Faults that forbid storing, and break nothing."""
PARTS: Final = {
    "everything": "^/(api|en)/",
    "profiles": "coworkers/profiles$",
    "related": "/related$",
    "writes": "(profiles/current|coworker/profile|setCurrentProfile|en/profile)$",
}
READS: Final = "(coworkers/profiles|/related)$"

faults = st.sampled_from((*FAULTS, *FAULTS, *FAULTS, "hang"))
gateways = st.integers(0, 1)
spaces = st.sampled_from((None, None, *SPACES))
"""None is the space of the last caller."""
shapes = st.one_of(
    st.sampled_from(SHAPES), st.lists(st.sampled_from(PATHS), max_size=3).map(",".join)
)
numbers = st.integers(0, 40)
logins = st.one_of(st.just(LATEST), st.integers(0, 11))


@st.composite
def asks(draw: st.DrawFn) -> Ask:
    """Reads; the plainest first, so that failures shrink to them."""
    return Ask(
        gateway=draw(gateways),
        login=draw(logins),
        route=draw(st.sampled_from(Route)),
        coworker=draw(st.sampled_from(IDS)),
        hinted=draw(st.booleans()),
        shape=draw(shapes),
        language=draw(st.sampled_from(("", "", "es"))),
        coding=draw(st.integers(0, len(CODINGS) - 1)),
        validators=draw(st.one_of(st.just(()), st.just((LATEST,)), st.tuples(numbers))),
    )


@dataclass(frozen=True, slots=True)
class Again:
    """The last read once more: where and by whom, with its own validator or without.

    `translated`: in the other language, which is another document of the cache.
    """

    gateway: int = LATEST
    login: int = LATEST
    validated: bool = False
    translated: bool = False

    def of(self, last: Ask) -> Ask:
        language = last.language
        if self.translated:
            language = "" if language else "es"
        validators = (LATEST,) if self.validated else ()
        return replace(
            last,
            gateway=last.gateway if self.gateway == LATEST else self.gateway,
            login=self.login,
            language=language,
            validators=validators,
        )


@dataclass(frozen=True, slots=True)
class Leap:
    """Time passes: by the number of a leap of the stage."""

    number: int


subjects = st.sampled_from((LATEST, LATEST, *OWNERS))
"""A coworker; LATEST is the one that the last read was about."""


agains = st.builds(
    Again,
    st.sampled_from((LATEST, LATEST, 0, 1)),
    st.one_of(st.just(LATEST), logins),
    st.booleans(),
    st.sampled_from((False, False, False, True)),
)
leaps = st.builds(Leap, numbers)
perhaps_later = st.one_of(leaps, leaps, st.none())


@st.composite
def writes(draw: st.DrawFn) -> Write:
    """Writes through a gateway."""
    return Write(
        gateway=draw(gateways),
        login=draw(logins),
        verb=draw(st.sampled_from(Verb)),
        coworker=draw(st.sampled_from((101, 145, 202, 177))),
        public=draw(st.booleans()),
        tags=draw(st.sampled_from(("UX,Research", "Design,UX", "Research", None))),
    )


thens = st.lists(st.one_of(agains, agains, leaps, writes()), max_size=2)
"""What follows right after something happened: the last read again, time, a write."""
