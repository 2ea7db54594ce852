"""The session-bootstrap document: the profile list and what belongs to its active profile.

Members: those of the answers of Nexudus side by side, and `Bootstrap: {CoworkerId, Complete,
Problems}`. Nothing in it changes from second to second. Which parts there are is declared in
`bff.resources`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from bff.errors import Overloaded, UnusableAnswer, UpstreamDown, UpstreamError, UpstreamTimeout
from bff.nexudus.intent import Reason
from bff.resources import PARTS, PROFILES, Resource, active_profile
from bff.session.interpret import Refusal
from bff.session.reading import Ask, Caller, Outcome, Reading
from bff.session.reads import Reads
from bff.shape import Shape, project

OWN_MEMBER = "Bootstrap"
_REASONS: tuple[tuple[type[UpstreamError], int, str], ...] = (
    (UnusableAnswer, 502, "Nexudus answered, but not with the JSON that it documents."),
    (UpstreamTimeout, 504, "Nexudus did not answer in time."),
    (Overloaded, 503, "The calls that Nexudus allows this space are spent for the moment."),
    (UpstreamDown, 503, "Nexudus could not be reached."),
)


@dataclass(frozen=True, slots=True)
class PartProblem:
    """Why a part is missing: constant text, so that the document has a stable validator."""

    part: str
    status: int
    reason: str

    def as_json(self) -> dict[str, object]:
        """Its form in `Bootstrap.Problems`."""
        return {"Part": self.part, "Status": self.status, "Reason": self.reason}


@dataclass(frozen=True, slots=True)
class Part:
    """What became of one part: a reading, a problem, or neither where the session has none."""

    resource: Resource
    reading: Reading | None = None
    problem: PartProblem | None = None

    @property
    def members(self) -> Mapping[str, object]:
        """The members that it brings to the document."""
        members: dict[str, object] = orjson.loads(self.resource.absent)
        if self.reading is not None and self.reading.entry.status == 200:
            members |= orjson.loads(self.reading.entry.body)
        return members


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON body for one caller in one shape, and the readings that it was made of.

    `left_out`: bytes that the shape spared.
    """

    body: bytes
    readings: tuple[Reading, ...]
    complete: bool
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class _Early:
    """A part that is being read before the profile list has said which document it is."""

    ident: str
    task: asyncio.Task[Reading | Refusal]


def wanted(parts: Sequence[Resource], shape: Shape) -> tuple[Resource, ...]:
    """The parts that can bring something of what a shape selects.

    A member that no part declares may come from any, so it asks for all of them.
    """
    declared = PROFILES.members.union({OWN_MEMBER}, *(part.members for part in parts))
    if not shape.roots <= declared:
        return tuple(parts)
    return tuple(part for part in parts if any(shape.names(name) for name in part.members))


class Bootstrap:
    """The use case: fan out, merge, survive a failing part."""

    def __init__(self, reads: Reads, parts: Sequence[Resource] = PARTS) -> None:
        self._reads = reads
        self._parts = tuple(parts)

    async def document(self, caller: Caller, shape: Shape, hint: int | None) -> Document | Refusal:
        """The document, or Nexudus' refusal of the profile list.

        `hint`: the profile that the client believes is active; its parts are then fetched at the
        same time. Raises UpstreamError if the profile list can not be had.
        """
        parts = wanted(self._parts, shape)
        accepted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        early = await self._early(caller, parts, hint, lambda: asyncio.shield(accepted))
        try:
            reason = Reason.PREFETCH if early else Reason.INTERACTIVE
            profiles = await self._reads.profiles(caller, reason=reason)
            if isinstance(profiles, Refusal):
                return profiles
            accepted.set_result(True)
            listed = orjson.loads(profiles.entry.body_for(caller.principal.token))
            made = await asyncio.gather(
                *(self._part(caller, part, listed, early.get(part.name)) for part in parts)
            )
            return _merged(shape, listed, profiles, made)
        finally:
            if not accepted.done():
                accepted.set_result(False)
            await _cancelled([started.task for started in early.values()])

    async def _early(
        self,
        caller: Caller,
        parts: Sequence[Resource],
        hint: int | None,
        gate: Callable[[], Awaitable[bool]],
    ) -> dict[str, _Early]:
        """Begin to read what the hint names; only a caller that is proven may share the work."""
        if hint is None or not parts:
            return {}
        proven = await self._reads.is_proven(caller.principal)
        stranger = not proven and await self._reads.proof_of(caller.principal) is None
        early = {}
        for part in parts:
            ident = part.ident_of(hint)
            if ident is None:
                continue
            ask = Ask(
                caller, part, ident,
                gate=None if proven else gate, stranger=stranger, reason=Reason.PREFETCH,
            )  # fmt: skip
            task = asyncio.create_task(self._reads.read(ask), name=f"hinted {part.name}")
            early[part.name] = _Early(ident, task)
        return early

    async def _part(
        self, caller: Caller, part: Resource, listed: object, early: _Early | None
    ) -> Part:
        ident = part.ident_of(active_profile(listed))
        if ident is None:
            return Part(part)
        try:
            if early is not None and early.ident == ident:
                answer = await early.task
                if isinstance(answer, Reading) and answer.outcome is Outcome.STALE:
                    # The early read may not have begun to, for a caller who had to prove itself.
                    self._reads.refresh(Ask(caller, part, ident))
            else:
                answer = await self._reads.read(Ask(caller, part, ident))
        except UpstreamError as error:
            return Part(part, problem=_problem(part, error))
        if isinstance(answer, Refusal):
            reason = f"Nexudus refused it with {answer.status}."
            return Part(part, problem=PartProblem(part.name, answer.status, reason))
        return Part(part, answer)


def _problem(part: Resource, error: UpstreamError) -> PartProblem:
    for kind, status, reason in _REASONS:
        if isinstance(error, kind):
            return PartProblem(part.name, status, reason)
    raise error


def _merged(shape: Shape, listed: object, profiles: Reading, parts: Sequence[Part]) -> Document:
    assert isinstance(listed, dict)
    problems = [part.problem for part in parts if part.problem is not None]
    merged = {name: value for name, value in listed.items() if name != OWN_MEMBER}
    for part in parts:
        for name, value in part.members.items():
            if name in part.resource.members or name not in listed:
                merged[name] = value
    merged[OWN_MEMBER] = {
        "CoworkerId": active_profile(listed),
        "Complete": not problems,
        "Problems": [problem.as_json() for problem in problems],
    }
    readings = (profiles, *(part.reading for part in parts if part.reading is not None))
    body = orjson.dumps(project(merged, shape))
    left_out = 0 if shape.is_everything else len(orjson.dumps(merged)) - len(body)
    return Document(body, readings, not problems, left_out)


async def _cancelled(tasks: Sequence[asyncio.Task[Reading | Refusal]]) -> None:
    """Cancel tasks and wait until they ended, whatever they ended with."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
