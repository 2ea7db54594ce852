"""The people and things of the simulated space, as immutable records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from bff.sandbox.forms import strict


class SignIn(Enum):
    """What `POST /api/token` asks of a member besides the password."""

    PASSWORD = auto()
    TWO_FACTOR = auto()
    MUST_RESET = auto()


@dataclass(frozen=True, slots=True)
class Member:
    """A user: who signs in. `current_id` is the active profile of every session of theirs."""

    user_id: int
    full_name: str
    email: str
    coworker_ids: tuple[int, ...]
    current_id: int | None
    active: bool = True
    admin: bool = False
    customer: bool = True  # False: no customer profile at this location, so 401 (FACTS 2.3)
    sign_in: SignIn = SignIn.PASSWORD


@dataclass(frozen=True, slots=True)
class Coworker:
    """A profile. `core` holds its documented and edited fields under their JSON names."""

    id: int
    user_id: int
    core: Mapping[str, object]

    @property
    def active(self) -> bool:
        return bool(self.core["Active"])

    @property
    def published(self) -> bool:
        """Whether the directory shows it."""
        return self.active and bool(self.core["ProfileIsPublic"])

    @property
    def tags(self) -> list[str]:
        """`ProfileTags`, which is one comma-separated text, as the directory lists it."""
        text = self.core["ProfileTags"]
        parts = text.split(",") if isinstance(text, str) else []
        return [tag for part in parts if (tag := part.strip())]


@dataclass(frozen=True, slots=True)
class Thread:
    """A community thread: shown as related to whoever carries its tag."""

    id: int
    author_id: int
    tag: str
    subject: str
    created_on: str
    replies: int


@dataclass(frozen=True, slots=True)
class Business:
    """The space: `space` is its bare subdomain."""

    id: int
    unique_id: str
    name: str
    space: str

    @property
    def origin(self) -> str:
        return f"https://{self.space}.spaces.nexudus.com"


@dataclass(frozen=True, slots=True)
class Seeded:
    """Everything that exists when the sandbox starts."""

    members: tuple[Member, ...]
    coworkers: tuple[Coworker, ...]
    threads: tuple[Thread, ...]


@strict
@dataclass(frozen=True, slots=True)
class Behaviour:
    """Ways in which the real Nexudus may behave and no document decides; all off by default."""

    viewer_threads: bool = False
    """Related threads name the viewer: the directory depends on who asks (FACTS 4.5)."""
    variants: bool = False
    """Cached documents name the caller's Accept-Language and X-Use-Timezone."""
    lenient_paths: bool = False
    """Whatever follows `/coworkers/profiles` (`/x.css`, `;x.js`) is answered as the profiles."""
