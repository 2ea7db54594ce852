"""The differential check: Nexudus' own `_shape` beside the projection of this gateway."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import orjson

from bff.clock import Clock
from bff.doctor.difference import Difference, differences
from bff.doctor.findings import Finding, fault, ok, warning
from bff.edge.headers_in import bearer
from bff.errors import CredentialsError, UpstreamError
from bff.nexudus.answers import Answer
from bff.nexudus.client import NexudusClient
from bff.nexudus.headers import Variants, cached_request_headers
from bff.resources import PROFILES, RELATED, Resource, active_profile
from bff.shape import parse, project
from bff.spaces import Space

PACE_S: Final = 0.12
"""Between calls: the documented limit is one in 100 ms (FACTS 8)."""
ATTEMPTS: Final = 3
LONGEST_PAUSE_S: Final = 5.0
SHOWN: Final = 8


@dataclass(frozen=True, slots=True)
class Case:
    """A shape to try. What a documented one gives is promised; the others only by us (FACTS 6)."""

    shape: str
    documented: bool = True


PROFILES_CASES: Final = (
    Case("User.Id,User.FullName,Profiles.Id,Profiles.FullName"),
    Case("DefaultBusiness,User.Email"),
    Case("Profiles.VirtualOfficePaused,Profiles.IsDefaultProfile"),
    Case("Profiles"),
    Case("User.Id,User.NotAField,NotAField", documented=False),
    Case("User.Id.Below,Profiles.Id", documented=False),
)
RELATED_CASES: Final = (
    Case("RelatedProfiles.Id,RelatedProfiles.FullName,RelatedProfiles.Position"),
    Case("RelatedProfiles.ProfileTagsList,Threads"),
    Case("RelatedProfiles.NotAField,NotAField", documented=False),
    Case("RelatedProfiles.Id.Below,Threads", documented=False),
)


@dataclass(frozen=True, slots=True)
class Compared:
    """One case and how its answer differs from the projection."""

    case: Case
    differences: tuple[Difference, ...]


class NotCompared(Exception):
    """Nexudus gives no document to compare; the message says why, and holds no secret."""


@dataclass(frozen=True, slots=True)
class Examiner:
    """Compares both cached lists of a space under one member's token."""

    client: NexudusClient
    space: Space
    clock: Clock
    token: str
    deadline_s: float

    async def examine(self) -> list[Finding]:
        """Some 14 calls to Nexudus, one after the other."""
        check = "member token"
        try:
            bearer([(b"authorization", b"Bearer " + self.token.encode("ascii", "replace"))])
            listed = await self._document(PROFILES, PROFILES.path)
        except (CredentialsError, NotCompared) as error:
            remedy = "Sign a member in at this space, and pass the access token."
            return [fault(check, str(error), remedy)]
        findings = [self._mirrored(listed)]
        findings += await self._compare(PROFILES, PROFILES.path, PROFILES_CASES, listed)
        coworker = active_profile(listed)
        if coworker is None:
            return [*findings, _nothing_related("the member has no active profile")]
        path = RELATED.path.replace("{id}", str(coworker))
        try:
            related = await self._document(RELATED, path)
        except NotCompared as error:
            return [*findings, _nothing_related(str(error))]
        return [*findings, *await self._compare(RELATED, path, RELATED_CASES, related)]

    def _mirrored(self, listed: object) -> Finding:
        """FACTS 12.7: whether the profile answer repeats the token that was presented."""
        user = listed.get("User") if isinstance(listed, dict) else None
        mirrored = user.get("AccessToken") if isinstance(user, dict) else None
        if mirrored in (None, self.token):
            return ok("member token", "accepted")
        return warning(
            "member token",
            "accepted; User.AccessToken in the answer is not the token that was presented",
            "Apps get the token that they presented there: see that none relies on another.",
        )

    async def _compare(
        self, resource: Resource, path: str, cases: Sequence[Case], before: object
    ) -> list[Finding]:
        check = f"_shape on {resource.name}"
        try:
            shaped = [await self._shaped(path, case) for case in cases]
            after = await self._document(resource, path)
        except NotCompared as error:
            return [fault(check, str(error), "Look at Nexudus, and run this again.")]
        moving = frozenset(each.path for each in differences(before, after))
        compared = [
            Compared(case, _lasting(case, theirs, before, moving))
            for case, theirs in zip(cases, shaped, strict=True)
        ]
        return judged(check, compared)

    async def _document(self, resource: Resource, path: str) -> object:
        document = _parsed(await self._get(path))
        if not resource.accepts(document):
            raise NotCompared("Nexudus answers 200 with JSON of another form than documented")
        return document

    async def _shaped(self, path: str, case: Case) -> object:
        return _parsed(await self._get(f"{path}?_shape={quote(case.shape, safe=',.')}"))

    async def _get(self, target: str) -> Answer:
        headers = cached_request_headers(self.token, Variants())
        for attempt in range(ATTEMPTS):
            await self.clock.sleep(PACE_S)
            try:
                answer = await self.client.get(self.space, target, headers, self.deadline_s)
            except UpstreamError as error:
                raise NotCompared(str(error)) from None
            if answer.status == 200:
                return answer
            if answer.status not in (409, 429) or attempt == ATTEMPTS - 1:
                break
            await self.clock.sleep(_pause_s(answer))
        raise NotCompared(_WHY.get(answer.status, f"Nexudus answers {answer.status}"))


_WHY: Final = {
    401: "Nexudus refuses the token (401)",
    404: "the active profile is not published (404)",
    409: "Nexudus is throttling (409)",
    429: "Nexudus is throttling (429)",
}


def judged(check: str, compared: Sequence[Compared]) -> list[Finding]:
    """A fault for what Nexudus documents, a warning for what it does not, ok if all is the same."""
    differing = [each for each in compared if each.differences]
    promised = [each for each in differing if each.case.documented]
    others = [each for each in differing if not each.case.documented]
    same = len(compared) - len(differing)
    if promised:
        remedy = "Do not point an app here that uses these paths; report them."
        findings = [fault(check, _told(promised), remedy)]
    else:
        findings = [ok(check, f"{same} shapes give the same here as at Nexudus")]
    if others:
        remedy = "Undocumented at Nexudus; matters only to an app that asks for such paths."
        findings.append(warning(f"{check}, odd paths", _told(others), remedy))
    return findings


def _told(compared: Sequence[Compared]) -> str:
    lines = [f"{each.case.shape}: {d}" for each in compared for d in each.differences]
    more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return "; ".join(lines[:SHOWN] + more)


def _lasting(
    case: Case, theirs: object, document: object, moving: frozenset[str]
) -> tuple[Difference, ...]:
    """Without what has changed between two unshaped answers: that says nothing about shapes."""
    ours = project(document, parse(case.shape))
    return tuple(each for each in differences(theirs, ours) if not each.within(moving))


def _parsed(answer: Answer) -> object:
    try:
        document: object = orjson.loads(answer.body)
    except ValueError:
        raise NotCompared("Nexudus answers 200 without JSON") from None
    return document


def _pause_s(answer: Answer) -> float:
    told = b"".join(answer.values(b"retry-after"))
    return min(float(told) if told.isdigit() else 1.0, LONGEST_PAUSE_S)


def _nothing_related(reason: str) -> Finding:
    return warning(
        f"_shape on {RELATED.name}",
        f"not compared: {reason}",
        "Pass the token of a member whose profile is in the directory.",
    )
