"""What is looked for in the cache, what is found there, and what is kept."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from bff.cache import tags as tagging
from bff.cache.entry import Entry, Proof
from bff.cache.keys import Address, Scope


class Tier(enum.Enum):
    """Where something came from."""

    L1 = "l1"
    L2 = "l2"
    UPSTREAM = "upstream"


@dataclass(frozen=True, slots=True, repr=False)
class Want:
    """One document: its address, the same under older secrets, and the token that opens it."""

    address: Address
    older: tuple[Address, ...]
    token: str | None
    key: str = field(init=False, compare=False)
    """Its name in process."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", self.address.text)

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"Want({self.key})"


@dataclass(frozen=True, slots=True)
class Found:
    """A document and where it was. `expires`: of the copy in process, monotonic seconds.

    `stands_in`: an invalidation of it may have been missed; for want of anything better only.
    """

    value: Entry | Proof
    tier: Tier
    expires: float = field(default=math.inf, compare=False)
    stands_in: bool = False


class Kept(enum.Enum):
    """Where a fetched document was kept."""

    EVERYWHERE = "everywhere"
    UNHEARD = "unheard"
    """Here, and perhaps everywhere: whether the shared store took it was not heard."""
    HERE = "here"
    """The shared store has not taken it, so other processes look for it in vain."""
    NOWHERE = "nowhere"
    """It was overtaken by an invalidation."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """The moment before a fetch; what was invalidated after it is not stored.

    `stamp` is None when the store could not be asked: then only this process keeps the result.
    """

    memory: int
    stamp: int | None


class Findings(NamedTuple):
    """Answers to `find`, in order, and the ticket for a fetch that begins after it."""

    ticket: Ticket
    values: tuple[Found | None, ...]


class Seen(NamedTuple):
    """What a request found `at` one moment for questions of which it had yet to ask some.

    Of one space, by name; monotonic seconds. It is good for a moment, and while nothing is dropped
    here. Without names where nothing can be told.
    """

    names: Sequence[str]
    values: Sequence[Found | None]
    ticket: Ticket
    at: float

    def of(self, wants: Sequence[Want]) -> Findings | None:
        """The answers to one question, unless some of it was not among them."""
        found = dict(zip(self.names, self.values, strict=True))
        try:
            return Findings(self.ticket, tuple([found[want.key] for want in wants]))
        except KeyError:
            return None


@dataclass(frozen=True, slots=True)
class Fill:
    """A fetched document to keep for `keep_s` seconds."""

    want: Want
    value: Entry | Proof
    tags: tuple[str, ...]

    def dropped_by(self) -> frozenset[tuple[str, str]]:
        """All tags that drop it, its container's among them, with its space."""
        container = self.want.address.container
        tags = {*self.tags, container.label}
        if container.scope is Scope.TOKEN and isinstance(self.value, Proof):
            tags.add(tagging.proof(container.ident))
        return frozenset((container.space, tag) for tag in tags)
