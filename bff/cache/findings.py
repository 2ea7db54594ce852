"""What is looked for in the cache, what is found there, and what is kept."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field

from bff.cache.entry import Entry, Proof
from bff.cache.keys import Address


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
    """Or perhaps so: whether the shared store took it was not heard. It is to be looked for."""
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


@dataclass(frozen=True, slots=True)
class Findings:
    """Answers to `find`, in order, and the ticket for a fetch that begins after it."""

    ticket: Ticket
    values: tuple[Found | None, ...]


@dataclass(frozen=True, slots=True)
class Fill:
    """A fetched document to keep for `keep_s` seconds."""

    want: Want
    value: Entry | Proof
    tags: tuple[str, ...]
