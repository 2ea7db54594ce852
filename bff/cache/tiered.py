"""Both tiers as one: look in process, then in the shared store; fill both, or neither.

Whether something found may be used is not decided here; that it is what its key says, is.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from bff.cache import patience
from bff.cache import tags as tagging
from bff.cache.bus import Bus
from bff.cache.entry import Entry, Proof, pack, unpack
from bff.cache.envelope import Binding, Sealer
from bff.cache.findings import Fill, Findings, Found, Kept, Seen, Ticket, Tier, Want
from bff.cache.guarded import GuardedStore
from bff.cache.keys import Address
from bff.cache.memory import Held, Memory, Tags
from bff.cache.patience import OutOfPatience
from bff.cache.store import Put, Raw, Refused, Release, header
from bff.cache.tasks import Quiet
from bff.clock import Clock
from bff.errors import EnvelopeError, StoreUnavailable

__all__ = ["Fill", "Findings", "Found", "Kept", "Seen", "Ticket", "Tier", "TieredCache", "Want"]

log = structlog.get_logger("bff.cache")

SEEN_S = 0.5
"""How long a request goes by what it has seen; another process may store something newer."""
ISOLATED_MAX_AGE_S = 5.0
"""Cap on in-process entries while others' invalidations cannot be heard."""


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
        self._clock, self._quiet = clock, Quiet()
        self._max_age_s = max_age_s
        self._stand_in_s = stand_in_s
        self._loads: dict[tuple[tuple[str, ...], int], asyncio.Future[Findings]] = {}
        self.bus: Bus | None = None
        self.keeps_copies: Final = memory.max_bytes > 0
        """Whether there is any room in process: with none, whatever is found is found once."""

    @property
    def memory_usable(self) -> bool:
        """Whether copies in process may be served.

        While the store answers but its channel is silent, the store is asked instead. While both
        are away, copies made since are used under a short cap.
        """
        assert self.bus is not None
        return self.bus.trusted or not self.store.available

    def hold(
        self, value: object, cost: int, tags: Tags, *,
        since: float | None = None, until: float = math.inf,
    ) -> Held:  # fmt: skip
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

    async def find(self, space: str, wants: Sequence[Want], seen: Seen | None = None) -> Findings:
        """What is held for each want. Never raises: a store that fails holds nothing.

        `seen`: just before, by the same request, which is then not asked for again.
        """
        ticket, found = self.memory.ticket(), self._copies(wants)
        missing = [want for want, held in zip(wants, found, strict=True) if held is None]
        if not missing:
            return Findings(Ticket(ticket, None), tuple(found))
        stored = seen.of(missing) if seen is not None and self.holds(seen) else None
        if stored is None:
            assert self.bus is not None
            ask = self._together if self.bus.trusted else self._alone
            stored = await ask(space, missing, ticket)
        if len(missing) == len(found):
            return stored
        rest = iter(stored.values)
        return Findings(stored.ticket, tuple([next(rest) if h is None else h for h in found]))

    async def survey(self, space: str, wants: Sequence[Want]) -> Seen:
        """What is held for several questions of one request, asked as one."""
        assert self.bus is not None
        at = self._clock.monotonic()
        if not self.bus.trusted:  # it could not be told whether it still holds
            return Seen((), (), self.unstamped(), at)
        findings = await self.find(space, wants)
        failed = findings.ticket.stamp is None and not all(map(_is_here, findings.values))
        names = [] if failed else [want.key for want in wants]
        return Seen(names, () if failed else findings.values, findings.ticket, at)

    def holds(self, seen: Seen) -> bool:
        """Whether it was just now, an invalidation since would have been heard, and none was."""
        assert self.bus is not None
        until, was_dropped = seen.at + SEEN_S, seen.ticket.memory != self.memory.ticket()
        return self._clock.monotonic() < until and not was_dropped and self.bus.trusted

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
        return await self._alone(space, wants, self.memory.ticket())

    async def _alone(self, space: str, wants: Sequence[Want], ticket: int) -> Findings:
        try:
            return await self._loaded(space, wants, ticket)
        except StoreUnavailable:
            return self._stand_ins(wants, ticket)

    async def _together(self, space: str, wants: Sequence[Want], ticket: int) -> Findings:
        """What the shared store holds, asked once for callers that want the same at the same time.

        Not for callers between which there was an invalidation: `ticket` tells them apart, which is
        why this is not for a process that may not hear of one.
        """
        key = (tuple([want.key for want in wants]), ticket)
        own: asyncio.Future[Findings] = asyncio.get_running_loop().create_future()
        while (under_way := self._loads.setdefault(key, own)) is not own:
            try:
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

    async def keep(
        self,
        ticket: Ticket,
        fills: Sequence[Fill],
        keep_s: float,
        release: Release | None = None,
        under_way: Callable[[], None] = lambda: None,
    ) -> Kept:
        """Keep documents of one container in both tiers, in process only if need be.

        `release`: of the flight that brought them, which has come with them if EVERYWHERE.
        `under_way`: called before the shared store is asked, where they can be had here meanwhile.
        """
        drops, overtaken = [fill.dropped_by() for fill in fills], self.memory.overtaken
        if any(overtaken(tags, ticket.memory) for tags in drops):
            return Kept.NOWHERE
        put = [
            self.memory.put(fill.want.key, self._held(fill, tags), ticket.memory)
            for fill, tags in zip(fills, drops, strict=True)
        ]
        kept = Kept.HERE if all(put) else Kept.NOWHERE
        if ticket.stamp is None:
            return kept
        behind = all(self.held(fill.want) for fill in fills)
        if behind:
            under_way()
            await self._quiet.wait()
            if any(overtaken(tags, ticket.memory) for tags in drops):
                return Kept.NOWHERE  # which the shared store may have yet to hear of
        with patience.unlimited() if behind else contextlib.nullcontext():
            shared = await self._shared(ticket.stamp, fills, keep_s, release)
        copies = any(self.memory.keeps(fill.want.key, fill.value) for fill in fills)
        if shared is Kept.NOWHERE and copies:
            # What overtook it is on its way here as well; what was made of the copies goes now. Had
            # it arrived, they had gone with it, and what is there instead would be from after it.
            container = fills[0].want.address.container
            self.memory.drop(container.space, (container.label,))
        if any(overtaken(tags, ticket.memory) for tags in drops):
            return Kept.NOWHERE
        return kept if shared is Kept.HERE else shared

    async def _shared(
        self, stamp: int, fills: Sequence[Fill], keep_s: float, release: Release | None
    ) -> Kept:
        """Whether the shared store keeps them. Where that is not known, the drops of this process
        still decide about its own copies."""
        container = fills[0].want.address.container
        try:
            puts = [self._put(fill, stamp) for fill in fills]
            saved = await self.store.save(
                container, puts, stamp=stamp, ttl_s=keep_s, release=release
            )
        except (EnvelopeError, Refused):
            return Kept.HERE
        except StoreUnavailable:
            return Kept.UNHEARD
        return Kept.EVERYWHERE if saved else Kept.NOWHERE

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
        kept = self.memory.peek(want.key)
        if kept is not None and kept.seal == raw.seal and isinstance(kept.value, Entry | Proof):
            # It was opened before, and the store has nothing else: only its time begins anew.
            value, held = kept.value, self._lasting(kept.value, kept.cost, kept.tags, kept.seal)
        else:
            opened = self._opened(want, address, raw)
            if opened is None:
                return None
            copy = None if kept is None else self.held(want)
            if copy is not None and copy.value.moment > opened.moment:
                return copy
            if not self.keeps_copies:
                return Found(opened, Tier.L2, self._clock.monotonic() + self._cap_s())
            fill = Fill(want, opened, raw.tags)
            value, held = opened, self._held(fill, fill.dropped_by(), raw.seal)
        self.memory.put(want.key, held, ticket)
        return Found(value, Tier.L2, held.expires)

    def _held(self, fill: Fill, tags: Tags, seal: bytes | None = None) -> Held:
        cost = len(fill.value.body) if isinstance(fill.value, Entry) else 128
        cost += len(fill.want.key) + len(seal or b"")
        return self._lasting(fill.value, cost, tags, seal)

    def _lasting(self, value: object, cost: int, tags: Tags, seal: bytes | None) -> Held:
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


def _is_here(found: Found | None) -> bool:
    return found is not None and not found.stands_in
