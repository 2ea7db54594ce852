"""Members of the simulated Nexudus as the load knows them: what each may be shown, and when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.support.fleet import Fleet, Nexudus
from tests.support.gateway import PROFILES, related

Json = dict[str, Any]

FIRST_GENERATED: Final = 10_001
LISTED: Final = "profiles"
"""The name of the profile list among the documents of a session."""


def related_of(coworker: int | None) -> str:
    """The name of one related list among them."""
    return f"related {coworker}"


def canary_of(user_id: int) -> str:
    """What stands in the profiles of one user, and nowhere else."""
    return f"canary-of-{user_id}-"


@dataclass(slots=True)
class Switching:
    """One change of the active profile. Monotonic seconds.

    `settled`: from then on nobody may be shown the one before.
    """

    to: int
    began: float
    settled: float = float("inf")


@dataclass(slots=True)
class Writing:
    """A write of anybody: it may drop something at any moment from `began` until `until`."""

    began: float
    until: float = float("inf")


@dataclass(slots=True)
class Dropping:
    """What one write drops of a member's documents, by name, at any moment before `until`."""

    names: frozenset[str]
    until: float = float("inf")


@dataclass(slots=True)
class Member:
    """Somebody, with everything that Nexudus tells of them.

    `profiles`: the profile list by active profile, without its token. `related`: by coworker.
    `droppings`: of these documents, by writes of anybody.
    """

    user_id: int
    active: int
    profiles: Mapping[int, Json]
    related: Mapping[int, Json]
    history: list[Switching] = field(default_factory=list)
    droppings: list[Dropping] = field(default_factory=list)

    def may_be_active(self, began: float, ended: float) -> set[int]:
        """The profiles that an answer may show as active, given and taken at those moments."""
        found = {self.active}
        for switching in self.history:
            if switching.began <= ended:
                found = {switching.to} | (set() if switching.settled <= began else found)
        return found

    def dropped_with(self, writer: Member) -> frozenset[str]:
        """Which documents of this member a write of `writer` drops: the writer's own, and lists
        that mention a coworker of theirs."""
        own = frozenset((LISTED,)) if writer.user_id == self.user_id else frozenset[str]()
        return own | {
            related_of(coworker)
            for coworker, document in self.related.items()
            if not writer.coworkers.isdisjoint((coworker, *_ids(document["RelatedProfiles"])))
        }

    def dropped_until(self, name: str) -> float:
        """Until when a document may be dropped; what is found stored after that stays."""
        return max((each.until for each in self.droppings if name in each.names), default=0.0)

    @property
    def coworkers(self) -> frozenset[int]:
        """All their profiles, also those that are not published."""
        return frozenset(
            each for listed in self.profiles.values() for each in _ids(listed["Profiles"])
        )

    @property
    def switchable(self) -> bool:
        return len(self.profiles) > 1


def _ids(profiles: list[Json]) -> list[int]:
    return [each["Id"] for each in profiles]


async def chosen(fleet: Fleet, single: int, several: int) -> list[Member]:
    """So many members with one published profile, and so many that can switch between two."""
    nexudus = fleet.nexudus
    rows = await nexudus.control("GET", "members")
    usable = [row for row in rows if row["user_id"] >= FIRST_GENERATED and row["active"]]
    usable = [row for row in usable if row["current_id"] in row["published_ids"]]
    ones = [row for row in usable if len(row["coworker_ids"]) == 1][:single]
    more = [row for row in usable if len(row["published_ids"]) > 1][:several]
    assert (len(ones), len(more)) == (single, several), "more members are needed"
    for row in [*ones, *more]:
        for coworker_id in row["coworker_ids"]:
            fields = {"Canary": canary_of(row["user_id"])}
            await nexudus.control("POST", "edit", {"coworker_id": coworker_id, "fields": fields})
    return [await _member(nexudus, row) for row in [*ones, *more]]


async def _member(nexudus: Nexudus, row: Json) -> Member:
    user_id, active = row["user_id"], row["current_id"]
    (token,) = await minted(nexudus, user_id)
    profiles = {}
    for coworker_id in [*row["published_ids"][:2]][::-1]:
        asked = {"user_id": user_id, "coworker_id": coworker_id}
        await nexudus.control("POST", "switch", asked)
        listed = await nexudus.get(PROFILES, token)
        del listed["User"]["AccessToken"]
        profiles[coworker_id] = listed
        active = coworker_id
    lists = {each: await nexudus.get(related(each), token) for each in profiles}
    return Member(user_id, active, profiles, lists)


async def minted(nexudus: Nexudus, user_id: int, count: int = 1) -> list[str]:
    """New tokens of one user."""
    asked = {"user_ids": [user_id] * count}
    made = await nexudus.control("POST", "tokens", asked)
    return [row["token"] for row in made["tokens"]]
