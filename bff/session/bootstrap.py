"""The session-bootstrap document: the profile list and the related list of its active profile.

Members: those of both answers of Nexudus side by side, and `Bootstrap: {CoworkerId, Complete,
Problems}`. Nothing in it changes from second to second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from bff.errors import Overloaded, UnusableAnswer, UpstreamDown, UpstreamError, UpstreamTimeout
from bff.nexudus.headers import Variants
from bff.resources import PROFILES, RELATED, active_profile
from bff.session.interpret import Refusal
from bff.session.principal import Principal
from bff.session.reads import Ask, Reading, Reads, cancelled
from bff.shape import Shape, project

OWN_MEMBER = "Bootstrap"
_NO_RELATED: Mapping[str, object] = {"RelatedProfiles": [], "Threads": []}
_REASONS: Mapping[type[UpstreamError], tuple[int, str]] = {
    UnusableAnswer: (502, "Nexudus answered, but not with the JSON that it documents."),
    UpstreamDown: (503, "Nexudus could not be reached."),
    Overloaded: (503, "The calls that Nexudus allows this space are spent for the moment."),
    UpstreamTimeout: (504, "Nexudus did not answer in time."),
}


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
class Document:
    """A JSON body for one caller in one shape, and the readings that it was made of."""

    body: bytes
    readings: tuple[Reading, ...]
    complete: bool


def needs_related(shape: Shape) -> bool:
    """Whether a shape selects anything that only the related list can bring.

    A member that no part declares may come from either, so it asks for both.
    """
    return shape.is_everything or not shape.roots <= PROFILES.members | {OWN_MEMBER}


class Bootstrap:
    """The use case: fan out, merge, survive a failing part."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    async def document(
        self, principal: Principal, variants: Variants, shape: Shape, hint: int | None
    ) -> Document | Refusal:
        """The document, or Nexudus' refusal of the profile list.

        `hint`: the profile that the client believes is active; its related list is then fetched
        at the same time. Raises UpstreamError if the profile list can not be had.
        """
        wants_related = needs_related(shape)
        proven: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        early: asyncio.Task[Reading | Refusal] | None = None
        if wants_related and hint is not None:
            ask = Ask(principal, RELATED, str(hint), variants, gate=lambda: asyncio.shield(proven))
            early = asyncio.create_task(self._reads.read(ask), name="hinted related")
        try:
            profiles = await self._reads.profiles(principal, variants)
            if isinstance(profiles, Refusal):
                return profiles
            proven.set_result(True)
            listed = orjson.loads(profiles.entry.body_for(principal.token))
            active = active_profile(listed)
            if not wants_related or active is None:
                return _merged(shape, listed, active, profiles, _NO_RELATED)
            related = await self._related(
                principal, variants, active, early if active == hint else None
            )
            return _with_related(shape, listed, active, profiles, related)
        finally:
            if not proven.done():
                proven.set_result(False)
            if early is not None:
                await cancelled(early)

    async def _related(
        self,
        principal: Principal,
        variants: Variants,
        active: int,
        early: asyncio.Task[Reading | Refusal] | None,
    ) -> Reading | PartProblem:
        try:
            if early is not None:
                answer = await early
            else:
                answer = await self._reads.read(Ask(principal, RELATED, str(active), variants))
        except UpstreamError as error:
            status, reason = _REASONS[type(error)]
            return PartProblem(RELATED.name, status, reason)
        if isinstance(answer, Refusal):
            reason = f"Nexudus refused the related list with {answer.status}."
            return PartProblem(RELATED.name, answer.status, reason)
        return answer


def _with_related(
    shape: Shape,
    listed: Mapping[str, object],
    active: int,
    profiles: Reading,
    related: Reading | PartProblem,
) -> Document:
    if isinstance(related, PartProblem):
        return _merged(shape, listed, active, profiles, _NO_RELATED, problem=related)
    if related.entry.status == 404:  # not published: nobody is related, which is normal
        return _merged(shape, listed, active, profiles, _NO_RELATED, related)
    members = {**_NO_RELATED, **orjson.loads(related.entry.body)}
    return _merged(shape, listed, active, profiles, members, related)


def _merged(  # noqa: PLR0913 - the parts of one document
    shape: Shape,
    listed: Mapping[str, object],
    active: int | None,
    profiles: Reading,
    members: Mapping[str, object],
    related: Reading | None = None,
    *,
    problem: PartProblem | None = None,
) -> Document:
    own = {
        "CoworkerId": active,
        "Complete": problem is None,
        "Problems": [] if problem is None else [problem.as_json()],
    }
    merged = {name: value for name, value in listed.items() if name != OWN_MEMBER}
    for name, value in members.items():
        if name in RELATED.members or name not in listed:
            merged[name] = value
    merged[OWN_MEMBER] = own
    readings = (profiles,) if related is None else (profiles, related)
    return Document(orjson.dumps(project(merged, shape)), readings, complete=problem is None)
