"""The session-bootstrap document: the profile list and what belongs to its active profile.

Members: those of the answers of Nexudus side by side, and `Bootstrap: {CoworkerId, Complete,
Problems}`. Nothing in it changes from second to second. Which parts there are is declared in
`bff.resources`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import islice
from typing import NamedTuple

import orjson

from bff.cache.tiered import Seen
from bff.errors import UpstreamError
from bff.nexudus.intent import Reason
from bff.resources import PARTS, PROFILES, Resource, active_profile
from bff.session.documents import Whole
from bff.session.expected import Expected
from bff.session.interpret import Refusal
from bff.session.merging import OWN_MEMBER, Side, absent, merge, told
from bff.session.newcomers import Newcomers
from bff.session.part_problem import PartProblem
from bff.session.reading import Ask, Caller, Outcome, Reading
from bff.session.reads import Reads
from bff.shape import Shape, project

_LISTED = PROFILES.members | {OWN_MEMBER}


class SessionPart(NamedTuple):
    """What became of one part: a reading, a problem, or neither where the session has none."""

    resource: Resource
    reading: Reading | None = None
    problem: PartProblem | None = None


class _Collected(NamedTuple):
    """All parts of a session, before they are one document. `active`: the profile it acts as."""

    profiles: Reading
    listed: Side
    active: int | None
    made: Sequence[SessionPart]

    @property
    def readings(self) -> tuple[Reading, ...]:
        """What it is made of."""
        return self.profiles, *(part.reading for part in self.made if part.reading is not None)


class Document(NamedTuple):
    """A JSON body for one caller in one shape, and the readings that it was made of.

    `left_out`: bytes that the shape spared.
    """

    body: bytes
    readings: tuple[Reading, ...]
    complete: bool
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class _Early:
    """A part that is being read before the profile list has said which document it is.

    `task` ends with None where nothing was read, since the list is about to say it.
    """

    ident: str
    task: asyncio.Task[Reading | Refusal | None]


def wanted(parts: Sequence[Resource], roots: Collection[str]) -> tuple[Resource, ...]:
    """The parts that can bring something of the members that a shape names; none means of all.

    A member that no part declares may come from any, so it asks for all of them.
    """
    others = frozenset(roots) - _LISTED
    if not roots or others.difference(*[part.members for part in parts]):
        return tuple(parts)
    return tuple([part for part in parts if not part.members.isdisjoint(roots)])


def in_shape(whole: Whole, shape: Shape) -> Document:
    """What a shape selects of a document that is parsed."""
    body, left_out = whole.in_shape(shape)
    return Document(body, whole.readings, True, left_out)


class Bootstrap:
    """The use case: fan out, merge, survive a failing part."""

    def __init__(self, reads: Reads, parts: Sequence[Resource] = PARTS) -> None:
        self._reads = reads
        self._parts = tuple(parts)
        self._expected = Expected()
        self._newcomers = Newcomers()
        self._hinted_newcomers = Newcomers()
        self._wanted = lru_cache(maxsize=64)(partial(wanted, self._parts))

    def at_hand(self, caller: Caller, shape: Shape) -> Whole | None:
        """All that a shape wants, if it is fresh and parsed in process: nothing is waited for."""
        kept = self._reads.documents.recall(caller, self._wanted(frozenset(shape.tree)))
        for reading in kept.readings if kept else ():
            self._reads.observe(
                caller.principal.space, reading.resource.name, reading.tier.value, reading.counts_as
            )
        return kept

    async def document(self, caller: Caller, shape: Shape, hint: int | None) -> Document | Refusal:
        """The document, read part by part, or Nexudus' refusal of the profile list.

        `hint`: the profile that the client believes is active; its parts are then fetched at the
        same time. Raises UpstreamError if the profile list can not be had. See `at_hand` first.
        """
        parts = self._wanted(frozenset(shape.tree))
        begun = self._reads.documents.begin()
        unknown = self._expected.of(caller.principal) is None
        # A client that remembers its profile is more likely to be known to another process.
        newcomers = self._newcomers if hint is None else self._hinted_newcomers
        if unknown and newcomers.expected:
            collected = await self._one_by_one(caller, parts, hint, None)
        else:
            collected = await self._surveyed(caller, parts, hint)
        if isinstance(collected, Refusal):
            return collected
        if unknown:
            newcomers.tell((collected.profiles,) if hint is None else collected.readings)
        self._expected.tell(caller.principal, collected.active)
        problems = [part.problem for part in collected.made if part.problem is not None]
        sides = [(part.resource, self._brought(caller, part)) for part in collected.made]
        merged = merge(collected.listed, sides, told(collected.active, problems))
        readings = collected.readings
        if not problems:
            self._reads.documents.keep(caller, parts, merged.members, merged.text, readings, begun)
        if shape.is_everything:
            return Document(merged.text(), readings, not problems)
        body = orjson.dumps(project(merged.members, shape))
        return Document(body, readings, not problems, merged.size - len(body))

    async def _surveyed(
        self, caller: Caller, parts: Sequence[Resource], hint: int | None
    ) -> _Collected | Refusal:
        """One question for all that is foreseen, and then for whatever that did not answer."""
        asks = self._foreseen(caller, parts, hint)
        survey = await self._reads.lookup.survey(asks)
        found = self._at_once(caller, parts, asks, survey.fresh)
        if found is not None:
            return found
        # A list that is fresh says more than a hint, which it did not bear out.
        early = None if survey.fresh else hint
        return await self._one_by_one(caller, parts, early, survey.seen)

    def _foreseen(self, caller: Caller, parts: Sequence[Resource], hint: int | None) -> list[Ask]:
        """The profile list and what will belong to it, as far as that can be told before."""
        expected = self._expected.of(caller.principal) if hint is None else hint
        asks = [Ask(caller, PROFILES, "")]
        for part in parts:
            if (ident := part.ident_of(expected)) is not None:
                asks.append(Ask(caller, part, ident))
        return asks

    def _at_once(
        self,
        caller: Caller,
        parts: Sequence[Resource],
        asks: Sequence[Ask],
        fresh: Sequence[Reading],
    ) -> _Collected | None:
        """What was foreseen, if all of it is fresh and the profile list says that it is all."""
        if len(fresh) < len(asks):
            return None
        profiles, *others = fresh
        listed = self._listed(caller, profiles)
        active = active_profile(listed.members)
        found = {reading.resource.name: reading for reading in others}
        made = []
        for part in parts:
            reading, ident = found.get(part.name), part.ident_of(active)
            if ident != (None if reading is None else reading.ident):
                return None
            made.append(SessionPart(part, reading))
        self._reads.shown(asks, fresh)
        return _Collected(profiles, listed, active, made)

    async def _one_by_one(
        self, caller: Caller, parts: Sequence[Resource], hint: int | None, seen: Seen | None
    ) -> _Collected | Refusal:
        """Whatever is not fresh is fetched; what the hint names, at the same time.

        Nothing was `seen` where nothing is likely to be: then all that is fetched without a look.
        """
        accepted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        early = self._early(caller, parts, hint, lambda: asyncio.shield(accepted), seen)
        try:
            reason = Reason.PREFETCH if early else Reason.INTERACTIVE
            ask = Ask(caller, PROFILES, "", reason=reason, new=seen is None)
            profiles = await self._reads.read(ask, seen)
            if isinstance(profiles, Refusal):
                return profiles
            accepted.set_result(True)
            listed = self._listed(caller, profiles)
            active = active_profile(listed.members)
            # Nothing was foreseen, in this process, and no other knows more.
            unknown = hint is None and self._expected.of(caller.principal) is None
            new = unknown and profiles.outcome is Outcome.MISS
            named = [(part, part.ident_of(active)) for part in parts]
            asks = [None if i is None else Ask(caller, part, i, new=new) for part, i in named]
            asking = [
                self._part(part, ask, early.get(part.name), seen)
                for part, ask in zip(parts, asks, strict=True)
            ]
            # A task takes longer to begin than what is in process takes to read.
            alone = len(asking) < 2
            made = [await each for each in asking] if alone else await asyncio.gather(*asking)
            return _Collected(profiles, listed, active, made)
        finally:
            if not accepted.done():
                accepted.set_result(False)
            if early:
                await _cancelled([started.task for started in early.values()])

    def _listed(self, caller: Caller, profiles: Reading) -> Side:
        members, text = self._reads.documents.opened(caller.principal, profiles)
        assert isinstance(members, dict)
        return Side(members, text)

    def _brought(self, caller: Caller, part: SessionPart) -> Side:
        """The members that a part brings, the absent ones in their place."""
        instead = absent(part.resource.absent)
        if part.reading is None or part.reading.entry.status != 200:
            return instead
        document, text = self._reads.documents.opened(caller.principal, part.reading)
        assert isinstance(document, dict)
        if [*islice(document, len(instead.members))] == [*instead.members]:
            return Side(document, text)
        members = {**instead.members, **document}
        return Side(members, orjson.dumps(members))

    def _early(
        self,
        caller: Caller,
        parts: Sequence[Resource],
        hint: int | None,
        gate: Callable[[], Awaitable[bool]],
        seen: Seen | None,
    ) -> dict[str, _Early]:
        """Begin to read what the hint names; only a caller that is proven may share the work."""
        if hint is None or not parts:
            return {}
        early = {}
        for part in parts:
            ident = part.ident_of(hint)
            if ident is None:
                continue
            ask = Ask(caller, part, ident, gate=gate, reason=Reason.PREFETCH)
            task = asyncio.create_task(self._hinted(ask, seen), name=f"hinted {part.name}")
            early[part.name] = _Early(ident, task)
        return early

    async def _hinted(self, ask: Ask, seen: Seen | None) -> Reading | Refusal | None:
        """What a hint names; None, and no call, where the profile list turns out to be fresh."""
        if seen is None:
            answer = await self._reads.unlooked(ask)
            if answer is not None:
                return answer
            listed = Ask(ask.caller, PROFILES, "")
            survey = await self._reads.lookup.survey((listed, replace(ask, gate=None)))
            if len(survey.fresh) == 1:
                return None
            seen = survey.seen
        return await self._reads.read(ask, seen)

    async def _part(
        self, part: Resource, ask: Ask | None, early: _Early | None, seen: Seen | None
    ) -> SessionPart:
        if ask is None:
            return SessionPart(part)
        try:
            answer = None
            if early is not None and early.ident == ask.ident:
                answer = await early.task
            if answer is None:
                answer = await self._reads.read(ask, seen)
            elif isinstance(answer, Reading) and answer.outcome is Outcome.STALE:
                # The early read may not have begun to, for a caller who had to prove itself.
                self._reads.refresh(ask)
        except UpstreamError as error:
            return SessionPart(part, problem=PartProblem.of(part.name, error))
        if isinstance(answer, Refusal):
            reason = f"Nexudus refused it with {answer.status}."
            return SessionPart(part, problem=PartProblem(part.name, answer.status, reason))
        return SessionPart(part, answer)


async def _cancelled(tasks: Sequence[asyncio.Task[Reading | Refusal | None]]) -> None:
    """Cancel tasks and wait until they ended, whatever they ended with."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
