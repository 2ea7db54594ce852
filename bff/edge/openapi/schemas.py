"""The bodies: what Nexudus documents, typed as it does (FACTS 3 and 4.1), and the gateway's own."""

from __future__ import annotations

from bff.edge.openapi.notation import Json, flag, listing, record, ref, text, whole

_SHAPED = (
    "No member is required, because `_shape` may leave any out. Members that are not listed here "
    "are passed on as they came."
)
_UNSHAPED = "What the gateway vouches for when no `_shape` is sent: a body without it is refused."


def schemas() -> Json:
    """`components.schemas`."""
    return {
        "Id": {
            "description": "A 64-bit id; Nexudus also sends some as a string of digits. "
            "Do not read it into a double.",
            "type": ["integer", "string"],
            "format": "int64",
            "minimum": 1,
            "pattern": "^[0-9]{1,19}$",
        },
        "User": _user(),
        "Business": _business(),
        "Profile": _profile(),
        "RelatedProfile": _related_profile(),
        "Thread": record({}, "A `CommunityThread`; Nexudus does not document its members."),
        "BootstrapOutcome": _outcome(),
        **_answers(),
        **_unshaped_answers(),
        "Problem": _problem(),
    }


def _user() -> Json:
    return record(
        {
            "Id": ref("schemas", "Id"),
            "FullName": text(),
            "Email": text(),
            "Active": flag("Whether the user is not suspended."),
            "IsAdmin": flag("Whether the user is an administrator of the operator."),
            "AccessToken": text(
                "Secret. The bearer token of this very request; leave it out by `_shape`."
            ),
        },
        "Who is signed in. `User.Id` is not a coworker id.",
    )


def _business() -> Json:
    return record(
        {
            "Id": ref("schemas", "Id"),
            "Name": text(),
            "WebAddress": text("The bare subdomain of the space."),
        },
        "The user's default location.",
    )


def _profile() -> Json:
    return record(
        {
            "Id": ref("schemas", "Id"),
            "FullName": text(),
            "CompanyName": text(nullable=True),
            "Active": flag("Only active profiles may be switched to."),
            "IsDefaultProfile": flag("Whether the session acts as this profile."),
            "CoworkerType": whole("1 for an individual, 2 for a company."),
            "HasVirtualOffice": flag(),
            "VirtualOfficePaused": flag(nullable=True),
            "VirtualOfficeContractId": {
                "anyOf": [ref("schemas", "Id"), {"type": "null"}],
                "description": "A coworker contract.",
            },
        },
        "A profile of the user, at this location or another; its `Id` is a coworker id.",
    )


def _related_profile() -> Json:
    return record(
        {
            "Id": ref("schemas", "Id"),
            "FullName": text(),
            "AvatarUrl": text(),
            "GuessedFirstName": text(),
            "Position": text(nullable=True),
            "CompanyName": text(nullable=True),
            "ProfileTagsList": listing(text(), "The tags that it shares with the asked profile."),
        },
        "A published profile that shares tags with the asked one.",
    )


def _outcome() -> Json:
    problem = record(
        {
            "Part": text("The part that is missing: `related`."),
            "Status": whole("The status that the part would have had on its own."),
            "Reason": text("A constant sentence."),
        },
        "Why a part is missing.",
    )
    return record(
        {
            "CoworkerId": whole(
                "The active profile, whose related list this is; null for a user with none.",
                nullable=True,
            ),
            "Complete": flag("False if a part could not be had; `BFF-Complete: false` then too."),
            "Problems": listing(problem, "Empty if complete."),
        },
        "How the bootstrap was put together.",
    )


def _lists() -> tuple[Json, Json]:
    profiles: Json = {
        "User": ref("schemas", "User"),
        "DefaultBusiness": ref("schemas", "Business"),
        "Profiles": listing(ref("schemas", "Profile"), "The user's profiles; may be empty."),
    }
    related: Json = {
        "RelatedProfiles": listing(ref("schemas", "RelatedProfile"), "May be empty."),
        "Threads": {
            **listing(ref("schemas", "Thread"), "May be empty."),
            "type": ["array", "null"],
        },
    }
    return profiles, related


def _answers() -> Json:
    profiles, related = _lists()
    own = {"Bootstrap": ref("schemas", "BootstrapOutcome")}
    return {
        "ProfilesList": record(profiles, f"Nexudus' profile list. {_SHAPED}"),
        "RelatedList": record(related, f"Nexudus' related list. {_SHAPED}"),
        "BootstrapDocument": record(
            {**profiles, **related, **own},
            "The members of both lists side by side, and how they were put together. Nothing in "
            f"it changes from second to second. {_SHAPED}",
        ),
    }


def _unshaped_answers() -> Json:
    with_id: Json = {"type": "object", "required": ["Id"]}
    all_with_id: Json = {"type": "array", "items": with_id}
    profiles: Json = {"User": with_id, "Profiles": all_with_id}
    related: Json = {"RelatedProfiles": all_with_id}
    own = ["CoworkerId", "Complete", "Problems"]
    outcome: Json = {"type": "object", "required": own}
    return {
        "UnshapedProfilesList": _vouched_for("ProfilesList", profiles),
        "UnshapedRelatedList": _vouched_for("RelatedList", related),
        "UnshapedBootstrapDocument": _vouched_for(
            "BootstrapDocument", {**profiles, **related, "Threads": {}, "Bootstrap": outcome}
        ),
    }


def _vouched_for(name: str, members: Json) -> Json:
    return {
        "description": _UNSHAPED,
        "allOf": [ref("schemas", name)],
        "required": list(members),
        "properties": members,
    }


def _problem() -> Json:
    return {
        "type": "object",
        "description": "The gateway's own errors (RFC 9457). Decide by `type`, which is stable.",
        "properties": {
            "type": {"type": "string", "format": "uri", "pattern": "^urn:bff:problem:[a-z-]+$"},
            "title": text("For people; constant for a `type`."),
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": text("A sentence to act on."),
            "request_id": text("The `X-Request-Id` of the answer."),
        },
        "required": ["type", "title", "status", "detail", "request_id"],
        "additionalProperties": False,
    }
