"""Rule 9: no document promises that a related list is the same for every viewer, so it is watched.

A sample of shared hits is compared, behind the answer, with a fetch under the caller's own token.
A difference demotes the space: its related lists are stored per token from then on, in every
process, until an operator restores them.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import orjson
import structlog

from bff.cache import tags
from bff.cache.entry import Entry
from bff.cache.guarded import GuardedStore
from bff.cache.invalidation import Invalidator
from bff.cache.keys import Scope
from bff.clock import Clock
from bff.errors import StoreUnavailable, UpstreamError
from bff.nexudus.budget.contract import Priority, Urgency
from bff.nexudus.intent import Purpose, Reason
from bff.resources import RELATED, Resource
from bff.session.interpret import Good, Refusal, interpret
from bff.session.landing import Call
from bff.session.principal import Principal
from bff.session.reading import Ask
from bff.session.reads import Reads

log = structlog.get_logger("bff.sharing")

FLAG = "related-scope"
PER_TOKEN = "token"  # noqa: S105 - the scope's name
SHARED = "coworker"
DEMOTED_TAG = "d:related"
_DROPPED = frozenset({tags.resource(RELATED.name), DEMOTED_TAG})
MAX_COMPARISONS = 4
MAX_COMPARED_AGE_S = 30.0
"""An older list may differ because members changed it, which says nothing about viewers."""
POLL_S = 5.0
"""Seconds between two looks at what others found out."""
SOON_S = 0.5
"""The same of a process that just began, or of spaces of which there is something to learn or to
tell: the store may have lost what was found out, and whoever begins before it is told again takes
lists for shared."""
BEGINNING_S = 10.0


@dataclass(frozen=True, slots=True)
class Sampling:
    """How often shared hits are compared; `chance()` is uniform in [0, 1)."""

    rate: float
    chance: Callable[[], float]


class Sharing:
    """Which spaces share related lists between tokens."""

    def __init__(
        self,
        store: GuardedStore,
        invalidator: Invalidator,
        reads: Reads,
        sampling: Sampling,
        clock: Clock,
    ) -> None:
        self._store = store
        self._invalidator = invalidator
        self._reads = reads
        self._sampling = sampling
        self._clock = clock
        self._demoted: set[str] = set()
        self._by_hand: frozenset[str] = frozenset()
        self._untold: set[str] = set()
        self._unlearned: set[str] = set()
        self._heard_until: dict[str, float] = {}
        self._comparisons: set[asyncio.Task[None]] = set()
        self._watch: asyncio.Task[None] | None = None
        self.observe: Callable[[str, str], None] = lambda _space, _outcome: None
        self.on_turned: Callable[[str, bool], None] = lambda _space, _per_token: None

    def scope_of(self, principal: Principal, resource: Resource) -> Scope:
        """Whose container a document of this caller belongs in."""
        space = principal.space
        if resource is RELATED and (space in self._demoted or space in self._unlearned):
            return Scope.TOKEN
        return resource.scope

    def is_demoted(self, space: str) -> bool:
        """Whether the space's related lists are per token."""
        return space in self._demoted

    def is_learned(self, space: str) -> bool:
        """Whether it is known what others found out; until then the lists are per token as well."""
        return space not in self._unlearned

    def heard(self, space: str, dropped: Iterable[str]) -> None:
        """An invalidation arrived; one of them is the news that a space was demoted."""
        if DEMOTED_TAG in dropped:
            self._demoted.add(space)
            # Whoever found out may still be about to set the flag, but not for long.
            self._heard_until[space] = self._clock.monotonic() + 2 * POLL_S

    def set_by_hand(self, spaces: Iterable[str]) -> None:
        """`BFF_RELATED_SCOPE=token`; nothing that is found out later changes it."""
        self._by_hand = frozenset(spaces)
        self._demoted |= self._by_hand

    def is_set_by_hand(self, space: str) -> bool:
        """Whether the configuration decides for this space."""
        return space in self._by_hand

    async def restore(self, space: str) -> None:
        """An operator's word that the space's lists do not depend on the viewer.

        Other processes follow within two polls. Raises StoreUnavailable.
        """
        await self._store.set_flag(space, FLAG, SHARED)
        self._untold.discard(space)
        self._demoted -= {space} - self._by_hand
        self.on_turned(space, self.is_demoted(space))

    def sample(self, ask: Ask, entry: Entry) -> None:
        """A shared hit was served; perhaps compare it, never delaying the answer."""
        age_s = self._clock.wall() - entry.fetched_at
        if age_s > MAX_COMPARED_AGE_S or self._sampling.chance() >= self._sampling.rate:
            return
        if len(self._comparisons) >= MAX_COMPARISONS:
            return
        task = asyncio.create_task(self._compare(ask, entry), name="sharing comparison")
        self._comparisons.add(task)
        task.add_done_callback(self._comparisons.discard)

    async def start(self, spaces: Iterable[str]) -> None:
        """Learn what other processes found out, now and from time to time."""
        names = tuple(spaces)
        # What could not be asked yet may have been found out long ago.
        self._unlearned = set(names)
        await self._learn(names)
        self._watch = asyncio.create_task(self._poll(names), name="sharing watch")

    async def aclose(self) -> None:
        """Stop what runs in the background. What the store lost meanwhile it is told before: those
        who take over have it from nobody else."""
        tasks = [*self._comparisons, *([self._watch] if self._watch else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._learn(self._demoted - self._by_hand)

    async def demote(self, space: str) -> None:
        """Store related lists per token from now on, here and everywhere."""
        self._demoted.add(space)
        self.on_turned(space, True)
        # The flag first: who hears of it and looks must find it.
        self._untold.add(space)
        try:
            await self._tell(space)
        except StoreUnavailable as error:
            log.error("demotion_not_shared", space=space, reason=str(error))
        await self._invalidator.invalidate(space, _DROPPED, "sharing_demoted")

    async def _compare(self, ask: Ask, shared: Entry) -> None:
        space = ask.principal.space
        fetched_at = self._clock.wall()
        try:
            path = ask.resource.path_for(ask.ident)
            urgency = Urgency(Priority.BACKGROUND)
            purpose = Purpose(ask.resource.name, Reason.SENTINEL)
            answer = await self._reads.fetch(
                Call(ask.principal, purpose, path, ask.caller.variants, urgency)
            )
            own = interpret(
                ask.resource, answer,
                ident=ask.ident, token=ask.principal.token, fetched_at=fetched_at,
            )  # fmt: skip
        except UpstreamError:
            self.observe(space, "unanswered")
            return
        match own:
            case Refusal(status=401):
                await self._reads.refused(ask.principal, on_profiles=False)
                self.observe(space, "unanswered")
            case Refusal() if own.is_failure:
                self.observe(space, "unanswered")
            case Good() if _same(own.entry, shared):
                self.observe(space, "same")
            case _ if not await self._reads.is_current(ask, shared):
                # Dropped or replaced meanwhile: the lists differ because something changed.
                self.observe(space, "overtaken")
            case _:
                self.observe(space, "different")
                log.error(
                    "related_lists_differ_by_viewer",
                    space=space,
                    action="related lists of this space are stored per token from now on",
                )
                await self.demote(space)

    async def _learn(self, spaces: Iterable[str]) -> None:
        """What the store says goes, but for what could not be told to it yet. A space of which it
        says nothing, such as one on a node that is away, is asked about again the next time."""
        for space in spaces:
            with contextlib.suppress(StoreUnavailable):
                await self._learn_of(space)

    async def _learn_of(self, space: str) -> None:
        flag = await self._store.flag(space, FLAG)
        if space in self._untold:
            await self._tell(space)
            if flag not in (None, PER_TOKEN):
                # Said again, so that the operator sees it who shared again and could not know this.
                self.on_turned(space, True)
            flag = PER_TOKEN
        self._unlearned.discard(space)
        if flag == PER_TOKEN:
            self._keep_apart(space)
        elif flag is None:
            # The store lost it (a restart, an eviction): that is nobody's word for sharing.
            if space in self._demoted - self._by_hand:
                await self._tell_again(space)
        elif space not in self._by_hand and not self._was_just_heard(space):
            self._demoted.discard(space)

    def _was_just_heard(self, space: str) -> bool:
        return self._clock.monotonic() < self._heard_until.get(space, -math.inf)

    def _keep_apart(self, space: str) -> None:
        """Others found it out, and their news was not heard: what was shared since goes now."""
        if space not in self._demoted:
            self._invalidator.apply(space, _DROPPED)
        self._heard_until.pop(space, None)  # the flag is set: from now on it says

    async def _tell_again(self, space: str) -> None:
        """At once: whoever begins before that learns nothing, and shares."""
        self._untold.add(space)
        with contextlib.suppress(StoreUnavailable):
            await self._tell(space)

    async def _tell(self, space: str) -> None:
        await self._store.set_flag(space, FLAG, PER_TOKEN)
        self._untold.discard(space)

    async def _poll(self, spaces: tuple[str, ...]) -> None:
        began = asked_at = self._clock.monotonic()
        while True:
            await self._clock.sleep(SOON_S)
            now = self._clock.monotonic()
            if now < began + BEGINNING_S or now >= asked_at + POLL_S:
                asked_at = now
                await self._learn(spaces)
            else:
                await self._learn(self._unlearned | self._demoted - self._by_hand)


def _same(one: Entry, other: Entry) -> bool:
    """Equal as documents: the order of members does not count, that of lists does."""
    if one.status != other.status:
        return False
    if one.body == other.body:
        return True
    if one.status != 200:
        return True  # the text of an error may name the request or the hour
    return _canonical(one) == _canonical(other)


def _canonical(entry: Entry) -> bytes:
    return orjson.dumps(entry.document(), option=orjson.OPT_SORT_KEYS)
