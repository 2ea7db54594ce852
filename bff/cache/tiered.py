"""Both tiers as one: look in process, then in the shared store; fill both, or neither.

Whether something found may be used is not decided here; that it is what its key says, is.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import structlog

from bff.cache import patience
from bff.cache import tags as tagging
from bff.cache.bus import Bus
from bff.cache.entry import Entry, Proof, pack, unpack
from bff.cache.envelope import Binding, Sealer
from bff.cache.findings import Fill, Findings, Found, Kept, Ticket, Tier, Want
from bff.cache.glance import Glance
from bff.cache.guarded import GuardedStore
from bff.cache.keys import Address, Scope
from bff.cache.memory import Held, Memory
from bff.cache.patience import OutOfPatience
from bff.cache.store import Put, Raw, Refused, header
from bff.clock import Clock
from bff.errors import EnvelopeError, StoreUnavailable

__all__ = [
    "Fill",
    "Findings",
    "Found",
    "Glance",
    "Kept",
    "Ticket",
    "Tier",
    "TieredCache",
    "Want",
]

log = structlog.get_logger("bff.cache")

ISOLATED_MAX_AGE_S = 5.0
"""Cap on in-process entries while others' invalidations cannot be heard."""
WANT_BYTES = 400
"""What a want takes that is remembered, beside its names."""


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
        since = self._clock.monotonic() if since is None else since
        return Held(value, cost, min(since + self._cap_s(), until), tags)

    def _cap_s(self) -> float:
        assert self.bus is not None
        if self.bus.trusted:
            return self._max_age_s
        if self.store.available:
            return 0.0  # an invalidation could be missed before the tier is used again
        return min(self._max_age_s, ISOLATED_MAX_AGE_S)

    async def find(
        self, space: str, wants: Sequence[Want], glance: Glance | None = None
    ) -> Findings:
        """What is held for each want. Never raises: a store that fails holds nothing.

        `glance`: of one request, whose next question may be answered together with this one.
        """
        ticket = self.memory.ticket()
        found = self._copies(wants)
        missing = tuple(want for want, held in zip(wants, found, strict=True) if held is None)
        if not missing:
            return Findings(Ticket(ticket, None), tuple(found))
        stored = await self._asked(space, missing, ticket, glance)
        rest = iter(stored.values)
        return Findings(stored.ticket, tuple(next(rest) if h is None else h for h in found))

    def held(self, want: Want) -> Found | None:
        """The copy in process, if it may be served."""
        return self._copies((want,))[0]

    def _copies(self, wants: Sequence[Want]) -> list[Found | None]:
        if not self.memory_usable:
            return [None] * len(wants)
        now = self._clock.monotonic()
        return [_copy(self.memory.held(want.key, now)) for want in wants]

    async def look(self, space: str, wants: Sequence[Want]) -> Findings:
        """As `find`, past what this process holds: another may have stored something newer."""
        return await self._alone(space, tuple(wants), self.memory.ticket())

    async def _asked(
        self, space: str, wants: tuple[Want, ...], ticket: int, glance: Glance | None
    ) -> Findings:
        assert self.bus is not None
        known = None if glance is None else glance.take(wants, ticket)
        if not self.bus.trusted:
            return await self._alone(space, wants, ticket)
        if known is not None:
            return known
        if glance is None:
            return await self._together(space, wants, ticket)
        self._followed(glance, wants)
        ahead = tuple(want for want in self._ahead_of(wants[0]) if want not in wants)
        stored = await self._together(space, wants + ahead, ticket)
        glance.give(wants[0], ahead, stored)
        return stored

    def _followed(self, glance: Glance, wants: tuple[Want, ...]) -> None:
        """Remember what one request wanted after what. It is a hint, like all that is kept here."""
        if glance.after is None:
            return
        container = glance.after.address.container
        cost = sum(WANT_BYTES + 2 * len(want.key) for want in wants)
        held = Held(wants, cost, math.inf, frozenset({(container.space, container.label)}))
        self.memory.put(_next(glance.after), held, self.memory.ticket())

    def _ahead_of(self, want: Want) -> tuple[Want, ...]:
        """What was wanted after it the last time, and is not here."""
        wants = self.memory.get(_next(want), self._clock.monotonic())
        if not isinstance(wants, tuple):
            return ()
        found = zip(wants, self._copies(wants), strict=True)
        return tuple(want for want, copy in found if copy is None)

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
                found[index] = self._stored(wants[index], address, raw, ticket)
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

    def _stored(self, want: Want, address: Address, raw: Raw, ticket: int) -> Found | None:
        """What the shared store holds, or a newer copy in process, which may have come since.

        A store that is full keeps what it had, and an answer of it may be from before a save.
        """
        kept, seal = self.memory.peek(want.key), raw.seal
        if kept is not None and kept.seal == seal and isinstance(kept.value, Entry | Proof):
            # It was opened before, and the store has nothing else: only its time begins anew.
            value, held = kept.value, self._lasting(kept.value, kept.cost, kept.tags, seal)
        else:
            opened = self._opened(want, address, raw)
            if opened is None:
                return None
            copy = self.held(want)
            if copy is not None and copy.value.moment > opened.moment:
                return copy
            value, held = opened, self._held(Fill(want, opened, raw.tags), seal)
        self.memory.put(want.key, held, ticket)
        return Found(value, Tier.L2, held.expires)

    def _held(self, fill: Fill, seal: bytes | None = None) -> Held:
        cost = len(fill.value.body) if isinstance(fill.value, Entry) else 128
        cost += len(fill.want.key) + len(seal or b"")
        return self._lasting(fill.value, cost, _scoped(fill), seal)

    def _lasting(
        self, value: object, cost: int, tags: frozenset[tuple[str, str]], seal: bytes | None
    ) -> Held:
        """From now on."""
        now = self._clock.monotonic()
        stands_in_until = now + self._stand_in_s if self._stand_in_s else -math.inf
        return Held(value, cost, now + self._cap_s(), tags, stands_in_until, seal)

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


def _copy(held: Held | None) -> Found | None:
    if held is None or not isinstance(held.value, Entry | Proof):
        return None
    return Found(held.value, Tier.L1, held.expires)


def _next(want: Want) -> tuple[str, str]:
    return "after", want.key


def _scoped(fill: Fill) -> frozenset[tuple[str, str]]:
    """All tags that drop a document, its container's among them, with its space."""
    container = fill.want.address.container
    tags = {*fill.tags, container.label}
    if container.scope is Scope.TOKEN and isinstance(fill.value, Proof):
        tags.add(tagging.proof(container.ident))
    return frozenset((container.space, tag) for tag in tags)
