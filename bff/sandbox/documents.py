"""The session's documents, built from the world: profiles, user, legacy profile, benefits."""

from __future__ import annotations

import orjson

from bff.sandbox.model import Coworker, Member
from bff.sandbox.world import World


class Documents:
    """Profile lists are kept as bytes per user until the user changes; the token is put in last."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._bodies: dict[int, tuple[int, bytes, bytes]] = {}

    def profiles(self, user_id: int, token: str) -> dict[str, object]:
        """`{User, DefaultBusiness, Profiles}` of FACTS 3; `User.AccessToken` is `token`."""
        member = self._world.member(user_id)
        return {
            "User": {**_user(member), "AccessToken": token},
            "DefaultBusiness": self._default_business(),
            "Profiles": self.profile_list(member),
        }

    def profiles_body(self, user_id: int, token: str) -> bytes:
        """The same document as JSON bytes."""
        revision = self._world.revision(user_id)
        kept = self._bodies.get(user_id)
        if kept is None or kept[0] != revision:
            kept = (revision, *self._around_token(user_id))
            self._bodies[user_id] = kept
        return b"".join((kept[1], orjson.dumps(token), kept[2]))

    def profile_list(self, member: Member) -> list[dict[str, object]]:
        return [self._world.profile(coworker_id) for coworker_id in member.coworker_ids]

    def me(self, member: Member, one_time_token: str) -> dict[str, object]:
        """`/en/user/me`, the legacy user record."""
        business = self._world.business
        return {
            **_user(member),
            "AccessToken": one_time_token,
            "DefaultBusinessId": business.id,
            "DefaultBusinessName": business.name,
            "PreferredLanguageId": 287965678,
            "APIAccess": member.admin,
            "Validated": True,
            "MustResetPassword": False,
            "LastAccess": "2025-11-20T09:00:00Z",
            "Businesses": [business.id],
            "UserRoles": [],
            "UniqueId": f"e4767b81-49c3-4167-bd0b-{member.user_id:012}",
            "CreatedOn": "2024-02-24T23:45:48Z",
            "UpdatedOn": "2025-11-20T09:00:00Z",
            "UpdatedBy": member.email,
            "IsNew": False,
            "SystemId": None,
            "ToStringText": f"{member.full_name} - {member.email}",
            "LocalizationDetails": None,
        }

    def legacy_profile(self, member: Member, one_time_token: str) -> dict[str, object]:
        """`/en/profile`: `Coworker.Id == User.CoworkerId`; no Coworker without active profile."""
        current = member.current_id
        user = {**self.me(member, one_time_token), "CoworkerId": current}
        return {"Coworker": None if current is None else self._world.record(current), "User": user}

    def benefits(self, member: Member) -> dict[str, object]:
        """Of the active profile; ids depend on it, so a switch shows."""
        if member.current_id is None:
            return {"Personal": _no_benefits(), "Team": _no_benefits()}
        return {
            "Personal": _benefits(self._world.coworker(member.current_id)),
            "Team": _no_benefits(),
        }

    def _default_business(self) -> dict[str, object]:
        business = self._world.business
        return {"Id": business.id, "Name": business.name, "WebAddress": business.space}

    def _around_token(self, user_id: int) -> tuple[bytes, bytes]:
        member = self._world.member(user_id)
        user = orjson.dumps(_user(member))
        rest = orjson.dumps(
            {"DefaultBusiness": self._default_business(), "Profiles": self.profile_list(member)}
        )
        return b'{"User":' + user[:-1] + b',"AccessToken":', b"}," + rest[1:]


def _user(member: Member) -> dict[str, object]:
    return {
        "Id": member.user_id,
        "FullName": member.full_name,
        "Email": member.email,
        "Active": member.active,
        "IsAdmin": member.admin,
    }


def _no_benefits() -> dict[str, object]:
    return {"BookingCredits": [], "ExtraServices": [], "TimePasses": []}


def _benefits(coworker: Coworker) -> dict[str, object]:
    """The documented example, under ids of its own for every profile but the example's."""
    offset = 0 if coworker.id == 101 else coworker.id * 1000
    soon = "2026-01-31T23:59:59Z"
    return {
        "BookingCredits": [
            _credit(9001 + offset, "Meeting room credit", 20, 12.5, soon),
            _credit(9002 + offset, "Universal credit", 50, 50, None),
        ],
        "ExtraServices": [
            {
                "Id": 9101 + offset,
                "ExtraService": {"Id": 31, "Name": "B&W printing", "IsPrintingCredit": True},
                "TotalUses": 100,
                "RemainingUses": 64,
                "ChargePeriod": "Uses",
                "IsFromTariff": True,
                "ExpireDate": soon,
            }
        ],
        "TimePasses": [
            {
                "Id": 9201 + offset,
                "TimePass": {"Id": 41, "Name": "Day pass"},
                "TotalUses": None,
                "RemainingUses": None,
                "Used": False,
                "IsFromTariff": True,
                "ExpireDate": None,
            }
        ],
    }


def _credit(
    credit_id: int, name: str, total: float, remaining: float, expires: str | None
) -> dict[str, object]:
    from_tariff = expires is not None
    return {
        "Id": credit_id,
        "Name": name,
        "TotalCredit": total,
        "RemainingCredit": remaining,
        "CaneBeUsedForBookings": True,  # misspelt upstream
        "CaneBeUsedForEvents": False,
        "IsUniversalCredit": not from_tariff,
        "IsFromTariff": from_tariff,
        "ExpireDate": expires,
        "Business": {"Currency": {"Code": "GBP"}},
    }
