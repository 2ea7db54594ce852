"""Both tiers as one: look in process, then in the shared store; fill both, or neither.

Whether something found may be used is not decided here; that it is what its key says, is.
"""

from __future__ import annotations

import asyncio
import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import structlog

from bff.cache import patience
from bff.cache import tags as tagging
from bff.cache.bus import Bus
from bff.cache.entry import Entry, Proof, pack, unpack
from bff.cache.envelope import Binding, Sealer
from bff.cache.guarded import GuardedStore
from bff.cache.keys import Address, Scope
from bff.cache.memory import Held, Memory
from bff.cache.patience import OutOfPatience
from bff.cache.store import Put, Raw, Refused, header
from bff.clock import Clock
from bff.errors import EnvelopeError, StoreUnavailable

log = structlog.get_logger("bff.cache")

ISOLATED_MAX_AGE_S = 5.0
"""Cap on in-process entries while others' invalidations cannot be heard."""


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

    def __repr__(self) -> str:
        return f"Want({self.address.text})"

    @property
    def key(self) -> str:
        """Its name in process."""
        return self.address.text


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


class TieredCache:
    """In-process over shared. `max_age_s` caps the age of a copy in process.

    For `stand_in_s` it may be found, marked as such, where the shared store cannot be asked.
    """

    def __init__(
        self,
        store: GuardedStore,
        memory: Memory,
        sealer: Sealer,
        clock: Clock,
        max_age_s: float,
        stand_in_s: float = 0.0,
    ) -> None:
        self.store = store
        self.memory = memory
        self._sealer = sealer
        self._clock = clock
        self._max_age_s = max_age_s
        self._stand_in_s = stand_in_s
        self._loads: dict[tuple[str, tuple[Want, ...], int], asyncio.Future[Findings]] = {}
        self.bus: Bus | None = None

    @property
    def memory_usable(self) -> bool:
        """Whether copies in process may be served.

        While the store answers but its channel is silent, the store is asked instead. While both
        are away, copies made since are used under a short cap.
        """
        assert self.bus is not None
        return self.bus.trusted or not self.store.available

    def hold(
        self,
        value: object,
        cost: int,
        tags: frozenset[tuple[str, str]],
        *,
        since: float | None = None,
        until: float = math.inf,
    ) -> Held:
        """A record for the in-process tier, capped in age: to nothing while it is not usable.

        For what is made of other copies, `since`: when the first of them was asked for, and
        `until`: when the first of them expires, in monotonic seconds.
        """
        assert self.bus is not None
        cap = self._max_age_s if self.bus.trusted else min(self._max_age_s, ISOLATED_MAX_AGE_S)
        if not self.memory_usable:
            cap = 0.0  # an invalidation of it could be missed before the tier is used again
        since = self._clock.monotonic() if since is None else since
        return Held(value, cost, min(since + cap, until), tags)

    async def find(self, space: str, wants: Sequence[Want]) -> Findings:
        """What is held for each want. Never raises: a store that fails holds nothing."""
        ticket = self.memory.ticket()
        found = [self.held(want) for want in wants]
        missing = tuple(want for want, held in zip(wants, found, strict=True) if held is None)
        if not missing:
            return Findings(Ticket(ticket, None), tuple(found))
        assert self.bus is not None
        ask = self._together if self.bus.trusted else self._alone
        stored = await ask(space, missing, ticket)
        rest = iter(stored.values)
        return Findings(stored.ticket, tuple(next(rest) if h is None else h for h in found))

    def held(self, want: Want) -> Found | None:
        """The copy in process, if it may be served."""
        if not self.memory_usable:
            return None
        held = self.memory.held(want.key, self._clock.monotonic())
        if held is None or not isinstance(held.value, Entry | Proof):
            return None
        return Found(held.value, Tier.L1, held.expires)

    async def look(self, space: str, wants: Sequence[Want]) -> Findings:
        """As `find`, past what this process holds: another may have stored something newer."""
        return await self._alone(space, tuple(wants), self.memory.ticket())

    async def _alone(self, space: str, wants: tuple[Want, ...], ticket: int) -> Findings:
        try:
            return await self._loaded(space, wants, ticket)
        except StoreUnavailable:
            return self._stand_ins(wants, ticket)

    async def _together(self, space: str, wants: tuple[Want, ...], ticket: int) -> Findings:
        """What the shared store holds, asked once for callers that want the same at the same time.

        Not for callers between which there was an invalidation: `ticket` tells them apart, which is
        why this is not for a process that may not hear of one.
        """
        key = (space, wants, ticket)
        own: asyncio.Future[Findings] = asyncio.get_running_loop().create_future()
        while (under_way := self._loads.setdefault(key, own)) is not own:
            try:
                with patience.counted():
                    await patience.wait(under_way)
            except OutOfPatience:
                return self._stand_ins(wants, ticket)
            if not under_way.cancelled():
                return under_way.result()
        try:
            findings = await self._loaded(space, wants, ticket)
            own.set_result(findings)
        except OutOfPatience:
            findings = self._stand_ins(wants, ticket)  # others may have some left, and ask again
        except StoreUnavailable:
            findings = self._stand_ins(wants, ticket)
            own.set_result(findings)
        finally:
            own.cancel()
            del self._loads[key]
        return findings

    async def _loaded(self, space: str, wants: Sequence[Want], ticket: int) -> Findings:
        """What the shared store holds; `ticket` is from before. Raises StoreUnavailable."""
        asked = [(i, a) for i, want in enumerate(wants) for a in (want.address, *want.older)]
        loaded = await self.store.load(space, [(a.container, a.field) for _, a in asked])
        found: list[Found | None] = [None] * len(wants)
        for (index, address), raw in zip(asked, loaded.values, strict=True):
            if raw is not None and found[index] is None:
                value = self._opened(wants[index], address, raw)
                if value is not None:
                    found[index] = self._newest(Fill(wants[index], value, raw.tags), ticket)
        return Findings(Ticket(ticket, loaded.stamp), tuple(found))

    def unstamped(self) -> Ticket:
        """A ticket of this process alone, before anything was asked."""
        return Ticket(self.memory.ticket(), None)

    async def begin(self, space: str) -> Ticket:
        """A ticket for a fetch that is about to begin."""
        memory = self.memory.ticket()
        try:
            return Ticket(memory, (await self.store.load(space, ())).stamp)
        except StoreUnavailable:
            return Ticket(memory, None)

    async def keep(self, ticket: Ticket, fills: Sequence[Fill], keep_s: float) -> Kept:
        """Keep documents of one container in both tiers, in process only if need be."""
        container = fills[0].want.address.container
        if any(self.memory.overtaken(_scoped(fill), ticket.memory) for fill in fills):
            return Kept.NOWHERE
        shared = ticket.stamp is not None
        if ticket.stamp is not None:
            try:
                puts = [self._put(fill, ticket.stamp) for fill in fills]
                saved = await self.store.save(container, puts, stamp=ticket.stamp, ttl_s=keep_s)
            except (EnvelopeError, Refused):
                saved, shared = True, False
            except StoreUnavailable:
                saved = True  # unknown; in process the drops of this process still decide
            if not saved:
                return Kept.NOWHERE
        kept = [self.memory.put(f.want.key, self._held(f), ticket.memory) for f in fills]
        if not all(kept):
            return Kept.NOWHERE
        return Kept.EVERYWHERE if shared else Kept.HERE

    def _stand_ins(self, wants: Sequence[Want], ticket: int) -> Findings:
        return Findings(Ticket(ticket, None), tuple(self._standing_in(want) for want in wants))

    def _standing_in(self, want: Want) -> Found | None:
        """A copy that may have missed an invalidation: better than nothing, where nothing is."""
        held = self.memory.stand_in(want.key, self._clock.monotonic())
        if held is None or not isinstance(held.value, Entry | Proof):
            return None
        return Found(held.value, Tier.L1, -math.inf, stands_in=True)

    def _newest(self, stored: Fill, ticket: int) -> Found:
        """Of what the shared store holds and a copy in process, which may have come since.

        A store that is full keeps what it had, and an answer of it may be from before a save.
        """
        copy = self.held(stored.want)
        if copy is not None and copy.value.moment > stored.value.moment:
            return copy
        held = self._held(stored)
        self.memory.put(stored.want.key, held, ticket)
        return Found(stored.value, Tier.L2, held.expires)

    def _held(self, fill: Fill) -> Held:
        cost = len(fill.value.body) if isinstance(fill.value, Entry) else 128
        held = self.hold(fill.value, cost + len(fill.want.key), _scoped(fill))
        if self._stand_in_s:
            held = replace(held, stands_in_until=self._clock.monotonic() + self._stand_in_s)
        return held

    def _put(self, fill: Fill, stamp: int) -> Put:
        value = fill.value
        plain = pack(value) if isinstance(value, Entry) else value.pack()
        binding = Binding(fill.want.key, header(stamp, fill.tags), fill.want.token)
        return Put(fill.want.address.field, fill.tags, self._sealer.seal(plain, binding))

    def _opened(self, want: Want, address: Address, raw: Raw) -> Entry | Proof | None:
        """None for what does not open: it is then fetched anew, and written over."""
        try:
            plain = self._sealer.open(raw.sealed, Binding(address.text, raw.header, want.token))
            if address.resource == tagging.PROOF_RESOURCE:
                return Proof.unpack(plain)
            return unpack(plain, raw.tags)
        except EnvelopeError as error:
            log.warning("stored_value_refused", resource=address.resource, reason=str(error))
            return None


def _scoped(fill: Fill) -> frozenset[tuple[str, str]]:
    """All tags that drop a document, its container's among them, with its space."""
    container = fill.want.address.container
    tags = {*fill.tags, container.label}
    if container.scope is Scope.TOKEN and isinstance(fill.value, Proof):
        tags.add(tagging.proof(container.ident))
    return frozenset((container.space, tag) for tag in tags)
