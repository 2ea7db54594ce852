"""Looking at both tiers without a trace: nothing is moved, filled, dropped or stamped by it."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bff.cache import tags as tagging
from bff.cache.entry import Entry, Proof, unpack
from bff.cache.envelope import Binding, Sealer
from bff.cache.keys import Address
from bff.cache.remote import parse, script
from bff.cache.store import Raw
from bff.cache.tiered import Found, Tier, TieredCache, Want
from bff.clock import Clock
from bff.errors import EnvelopeError, StoreUnavailable

_PER_DOCUMENT: Final = 3


class StoredState(enum.Enum):
    """What the shared store has to offer."""

    USABLE = "usable"
    ABSENT = "absent"
    DROPPED = "dropped"
    """Something that it depends on was invalidated after it was fetched."""
    UNCERTAIN = "uncertain"
    """Whether something was is not known: the store has forgotten what was in its time."""
    UNREADABLE = "unreadable"
    """It does not open: another secret, another version, or altered."""
    UNKNOWN = "unknown"
    """The store could not be asked."""


@dataclass(frozen=True, slots=True)
class TagState:
    """A tag of a stored document and the stamp of its last invalidation, None where that is lost.

    0 where there was none since the document.
    `drops`: it is why the document is not used.
    """

    tag: str
    generation: int | None
    drops: bool


@dataclass(frozen=True, slots=True)
class Stored:
    """A document in the shared store. `stamp`: of its fetch; `lives_s`: its container does, None
    where it has no end."""

    state: StoredState
    value: Entry | Proof | None = None
    stamp: int | None = None
    tags: tuple[TagState, ...] = ()
    lives_s: float | None = None


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy in process. Seconds left, not positive where it is over: of its use, of standing in.

    `usable`: it is what a read would find.
    """

    value: Entry | Proof
    expires_s: float
    stands_in_s: float
    usable: bool


@dataclass(frozen=True, slots=True)
class Sight:
    """One document in both tiers; `copy` is None where this process has none."""

    want: Want
    copy: Copy | None
    stored: Stored

    @property
    def found(self) -> Found | None:
        """What `TieredCache.find` would find, in the tier where it would."""
        copy, stored = self.copy, self.stored
        if copy is not None and copy.usable:
            return Found(copy.value, Tier.L1)
        if stored.state is StoredState.USABLE and stored.value is not None:
            return Found(stored.value, Tier.L2)
        if stored.state is StoredState.UNKNOWN and copy is not None and copy.stands_in_s > 0:
            return Found(copy.value, Tier.L1, -math.inf, stands_in=True)
        return None


@dataclass(frozen=True, slots=True)
class Sights:
    """`stamp`: what a fetch that begins now would be given, None where that is not known."""

    stamp: int | None
    documents: tuple[Sight, ...]


class Inspector:
    """Of one process. One question to the shared store for all documents of a look."""

    def __init__(self, cache: TieredCache, sealer: Sealer, clock: Clock) -> None:
        self.cache: Final = cache
        self._sealer = sealer
        self._clock = clock
        self._script = script("inspect")

    async def look(self, space: str, wants: Sequence[Want]) -> Sights:
        """Never raises: a store that is away is a state of its documents."""
        addresses = [each for want in wants for each in (want.address, *want.older)]
        names = ["clock", *(each.container.label for each in addresses)]
        fields = ["", *(each.field for each in addresses)]
        try:
            last, *told = await self.cache.store.run(space, self._script, names, fields)
        except StoreUnavailable:
            unknown = Stored(StoredState.UNKNOWN)
            return Sights(None, tuple(Sight(want, self._copy(want), unknown) for want in wants))
        rows = (told[at : at + _PER_DOCUMENT] for at in range(0, len(told), _PER_DOCUMENT))
        seen = []
        for want in wants:
            under = [self._stored(want, each, *next(rows)) for each in (want.address, *want.older)]
            # Under several secrets the first that can be used is, as in a read.
            usable = (each for each in under if each.state is StoredState.USABLE)
            seen.append(Sight(want, self._copy(want), next(usable, under[0])))
        return Sights(None if last is None else int(last) + 1, tuple(seen))

    def _copy(self, want: Want) -> Copy | None:
        held = self.cache.memory.peek(want.key)
        if held is None or not isinstance(held.value, Entry | Proof):
            return None
        now = self._clock.monotonic()
        return Copy(
            held.value,
            held.expires - now,
            held.stands_in_until - now,
            usable=self.cache.memory_usable and now < held.expires,
        )

    def _stored(
        self, want: Want, address: Address, value: bytes | None, lives_ms: int, known: bytes
    ) -> Stored:
        raw = parse(value)
        if raw is None:
            return Stored(StoredState.ABSENT)
        stamp = int(raw.header.partition(b" ")[0])
        tags = tuple(map(_tag_state, raw.tags, known.split(), [stamp] * len(raw.tags)))
        lives_s = lives_ms / 1000 if lives_ms >= 0 else None
        opened = self._opened(want, address, raw)
        if any(tag.drops and tag.generation is not None for tag in tags):
            state = StoredState.DROPPED
        elif any(tag.drops for tag in tags):
            state = StoredState.UNCERTAIN
        else:
            state = StoredState.UNREADABLE if opened is None else StoredState.USABLE
        return Stored(state, opened, stamp, tags, lives_s)

    def _opened(self, want: Want, address: Address, raw: Raw) -> Entry | Proof | None:
        try:
            plain = self._sealer.open(raw.sealed, Binding(address.text, raw.header, want.token))
            if address.resource == tagging.PROOF_RESOURCE:
                return Proof.unpack(plain)
            return unpack(plain, raw.tags)
        except EnvelopeError:
            return None


def _tag_state(tag: str, known: bytes, stamp: int) -> TagState:
    generation = int(known) if known.isdigit() else None
    return TagState(tag, generation, drops=generation is None or generation >= stamp)
