"""What a read of a cached resource is asked with, and what comes of it."""

from __future__ import annotations

import enum
import math
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from zlib import crc32

from bff.cache.decide import Freshness
from bff.cache.entry import Entry
from bff.cache.tiered import Tier
from bff.nexudus.headers import Variants
from bff.nexudus.intent import Reason
from bff.resources import Resource
from bff.session.principal import Principal


class Outcome(enum.Enum):
    """How a read was answered."""

    HIT = "hit"
    STALE = "stale"
    STALE_ERROR = "stale_error"
    MISS = "miss"
    COALESCED = "coalesced"


def _spread(entry: Entry) -> float:
    """A number from 0 to 1 that is another for each entry, and stays."""
    return crc32(struct.pack(">d", entry.fetched_at) + " ".join(entry.tags).encode()) / 2**32


@dataclass(frozen=True, slots=True)
class Policy:
    """Freshness of a resource's good answers, and of its negative ones.

    `jitter`: part of the freshness by which that of one entry is cut short at most, so that what
    was filled together does not expire together.
    """

    good: Freshness
    negative: Freshness
    jitter: float = 0.0

    def of(self, entry: Entry) -> Freshness:
        """The numbers that apply to one entry, the same in every process."""
        numbers = self.good if entry.status == 200 else self.negative
        if not self.jitter:
            return numbers
        fresh_s = numbers.fresh_s * (1 - self.jitter * _spread(entry))
        return Freshness(fresh_s, numbers.stale_s, numbers.error_s)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, in which variants, and how long the answer is waited for.

    `until`: monotonic seconds; None waits as long as the fetch itself may take. `began`: when the
    request did; what may be spent on waiting is spent once, however many reads it makes.
    """

    principal: Principal
    variants: Variants
    until: float | None = None
    began: float | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """How long Nexudus is waited for where something stale is at hand, and refreshes at a time."""

    stale_patience_s: float = 1.0
    refreshes: int = 16


@dataclass(frozen=True, slots=True)
class Ask:
    """One read: who wants which document, and on what terms.

    `stale_ok`: a stale answer may be served while it is revalidated. `gate`: resolves to whether
    the caller proved itself; until then nothing fetched for it is shared or stored. `stranger`:
    nothing is known of the caller's token, which may be invented. `reason`: of a call that is made
    for it. `new`: its caller's session just began, so that most likely nothing of it is stored.
    """

    caller: Caller
    resource: Resource
    ident: str
    stale_ok: bool = True
    gate: Callable[[], Awaitable[bool]] | None = None
    stranger: bool = False
    reason: Reason = Reason.INTERACTIVE
    new: bool = False

    @property
    def principal(self) -> Principal:
        """Whose token the read is made with."""
        return self.caller.principal


@dataclass(frozen=True, slots=True)
class Part:
    """What is remembered of a reading once it was answered with: all but the document."""

    resource: str
    ident: str
    status: int
    fetched_at: float
    outcome: Outcome
    tier: Tier


@dataclass(frozen=True, slots=True)
class Reading:
    """A document that its caller may be shown, and where it came from.

    `proven_until`: UTC seconds at which the caller has to prove itself again, where that is not
    for the document itself to say. `upstream_s`: how long Nexudus took, if it was asked.
    `expires`: of the copy in process that it was made of, monotonic seconds. `stands_in`: an
    invalidation of it may have been missed. `document`: the parsed body with its caller's token,
    to be read only; None where nobody has parsed it yet.
    """

    resource: Resource
    entry: Entry
    outcome: Outcome
    tier: Tier
    fresh: Freshness
    stored: bool = True
    proven_until: float | None = None
    upstream_s: float | None = None
    expires: float = math.inf
    ident: str = ""
    stands_in: bool = False
    document: object = field(default=None, compare=False, repr=False)

    @property
    def part(self) -> Part:
        """What may be kept for as long as one likes."""
        entry = self.entry
        return Part(
            self.resource.name, self.ident, entry.status, entry.fetched_at, self.outcome, self.tier
        )

    @property
    def counts_as(self) -> str:
        """Its outcome, as metrics tell it."""
        if self.outcome is Outcome.HIT and self.entry.status != 200:
            return "negative"
        if self.outcome is Outcome.STALE_ERROR and self.stands_in:
            return "stand_in"
        return self.outcome.value
