"""The state of the simulated space and everything that can change it.

Tests in the same process drive it directly; requests and control routes do nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum, auto
from itertools import count

from bff.sandbox.model import Behaviour, Business, Coworker, Member, Seeded, Thread
from bff.sandbox.records import Extras, extras_of
from bff.sandbox.seed import coworker as plain_coworker

# The documented fields of a profile in their documented order; the state of the session
# (`IsDefaultProfile`) is added where it belongs.
_LEADING = ("Id", "FullName", "CompanyName", "Active")
_TRAILING = ("CoworkerType", "HasVirtualOffice", "VirtualOfficePaused", "VirtualOfficeContractId")


class UnknownMember(LookupError):
    """No user has this id or e-mail."""


class UnknownCoworker(LookupError):
    """No profile has this id."""


class Switched(Enum):
    """How a switch of the active profile ended."""

    DONE = auto()
    NOT_YOURS = auto()
    INACTIVE = auto()


class World:
    """Members, profiles and threads. Reads are cheap; `revision` and `directory_revision` move
    with every change of what they stand for, so that answers may be kept ready.
    """

    def __init__(self, seeded: Seeded, business: Business, seed: int) -> None:
        self._members = {member.user_id: member for member in seeded.members}
        self._by_email = {member.email.lower(): member.user_id for member in seeded.members}
        self._coworkers = {coworker.id: coworker for coworker in seeded.coworkers}
        self._extras: dict[int, Extras] = {}
        self._revisions: dict[int, int] = {}
        self._seed = seed
        self._new_ids = count(900_001)
        self.business = business
        self.threads: tuple[Thread, ...] = seeded.threads
        self.behaviour = Behaviour()
        self.directory_revision = 0

    def members(self) -> tuple[Member, ...]:
        return tuple(self._members.values())

    def coworkers(self) -> tuple[Coworker, ...]:
        return tuple(self._coworkers.values())

    def member(self, user_id: int) -> Member:
        """Raises UnknownMember."""
        try:
            return self._members[user_id]
        except KeyError:
            raise UnknownMember(user_id) from None

    def member_by_email(self, email: str) -> Member:
        """Raises UnknownMember."""
        try:
            return self._members[self._by_email[email.strip().lower()]]
        except KeyError:
            raise UnknownMember(email) from None

    def coworker(self, coworker_id: int) -> Coworker:
        """Raises UnknownCoworker."""
        try:
            return self._coworkers[coworker_id]
        except KeyError:
            raise UnknownCoworker(coworker_id) from None

    def revision(self, user_id: int) -> int:
        """Moves with every change of the user or of one of their profiles."""
        return self._revisions.get(user_id, 0)

    def record(self, coworker_id: int) -> dict[str, object]:
        """The full REST record: documented, directory and undocumented fields."""
        coworker = self.coworker(coworker_id)
        return {**self._extras_of(coworker).fields, **coworker.core}

    def profile(self, coworker_id: int) -> dict[str, object]:
        """An item of the profile list: documented fields first, then 60-180 others."""
        coworker = self.coworker(coworker_id)
        core, extras = coworker.core, self._extras_of(coworker)
        member = self.member(coworker.user_id)
        item = {name: core[name] for name in _LEADING}
        item["IsDefaultProfile"] = member.current_id == coworker_id
        item |= {name: core[name] for name in _TRAILING}
        item |= {name: value for name, value in core.items() if name not in item}
        shown = list(extras.fields.items())[: extras.shown]
        return item | {name: value for name, value in shown if name not in item}

    def switch(self, user_id: int, coworker_id: int) -> Switched:
        """Makes a profile the active one, for every token of the user. Raises UnknownMember."""
        member = self.member(user_id)
        if coworker_id not in member.coworker_ids:
            return Switched.NOT_YOURS
        if not self._coworkers[coworker_id].active:
            return Switched.INACTIVE
        self._members[user_id] = replace(member, current_id=coworker_id)
        self._changed(user_id)
        return Switched.DONE

    def edit(self, coworker_id: int, fields: Mapping[str, object]) -> Coworker:
        """Sets fields by their JSON names, known or not; ids stay. Raises UnknownCoworker."""
        before = self.coworker(coworker_id)
        kept = {"Id": before.id, "UserId": before.user_id}
        after = replace(before, core={**before.core, **fields, **kept})
        self._coworkers[coworker_id] = after
        self._changed(before.user_id)
        self.directory_revision += 1
        return after

    def add_profile(self, user_id: int, fields: Mapping[str, object]) -> Coworker:
        """A new profile of the user, active at once if it is their first. Raises UnknownMember."""
        member = self.member(user_id)
        coworker_id = next(self._new_ids)
        plain = plain_coworker(coworker_id, user_id, member.full_name, Email=member.email)
        self._coworkers[coworker_id] = plain
        self._members[user_id] = replace(
            member,
            coworker_ids=(*member.coworker_ids, coworker_id),
            current_id=coworker_id if member.current_id is None else member.current_id,
        )
        return self.edit(coworker_id, fields)

    def _extras_of(self, coworker: Coworker) -> Extras:
        extras = self._extras.get(coworker.id)
        if extras is None:
            extras = extras_of(self._seed, coworker.id)
            self._extras[coworker.id] = extras
        return extras

    def _changed(self, user_id: int) -> None:
        self._revisions[user_id] = self.revision(user_id) + 1
