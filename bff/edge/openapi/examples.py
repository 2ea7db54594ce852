"""Example documents: the one person in them is Jane Doe, who does not exist."""

from __future__ import annotations

from bff.edge.openapi.notation import Json


def examples() -> Json:
    """`components.examples` of the answers with a body of their own."""
    related = _related()
    return {
        "profiles": {"summary": "Two profiles, the first of them active", "value": _profiles()},
        "profilesIds": {
            "summary": "_shape=Profiles.Id,Profiles.IsDefaultProfile",
            "value": {
                "Profiles": [
                    {"Id": 101, "IsDefaultProfile": True},
                    {"Id": 145, "IsDefaultProfile": False},
                ]
            },
        },
        "related": {"summary": "One related profile, no thread", "value": related},
        "relatedNone": {"value": {"RelatedProfiles": [], "Threads": []}},
        "bootstrap": {
            "summary": "Everything",
            "value": {**_profiles(), **related, "Bootstrap": _outcome()},
        },
        "bootstrapMobile": {"summary": "_shape=@mobile", "value": _mobile()},
        "bootstrapIncomplete": {
            "summary": "The related list could not be had; `BFF-Complete: false`",
            "value": {
                **_profiles(),
                "RelatedProfiles": [],
                "Threads": [],
                "Bootstrap": {
                    "CoworkerId": 101,
                    "Complete": False,
                    "Problems": [
                        {
                            "Part": "related",
                            "Status": 503,
                            "Reason": "Nexudus could not be reached.",
                        }
                    ],
                },
            },
        },
    }


def _profiles() -> Json:
    return {
        "User": {
            "Id": 7001,
            "FullName": "Jane Doe",
            "Email": "jane.doe@example.com",
            "Active": True,
            "IsAdmin": False,
            "AccessToken": "the-bearer-token-of-this-request",
        },
        "DefaultBusiness": {"Id": 5001, "Name": "Nexudus HQ", "WebAddress": "nexudushq"},
        "Profiles": [
            {
                "Id": 101,
                "FullName": "Jane Doe",
                "CompanyName": "Doe Design",
                "Active": True,
                "IsDefaultProfile": True,
                "CoworkerType": 1,
                "HasVirtualOffice": False,
                "VirtualOfficePaused": None,
                "VirtualOfficeContractId": None,
            },
            {
                "Id": 145,
                "FullName": "Doe Design Ltd",
                "CompanyName": "Doe Design Ltd",
                "Active": True,
                "IsDefaultProfile": False,
                "CoworkerType": 2,
                "HasVirtualOffice": True,
                "VirtualOfficePaused": False,
                "VirtualOfficeContractId": 88123,
            },
        ],
    }


def _related() -> Json:
    return {
        "RelatedProfiles": [
            {
                "Id": 145,
                "FullName": "Doe Design Ltd",
                "AvatarUrl": "https://nexudushq.spaces.nexudus.com/media/coworker/145/avatar",
                "GuessedFirstName": "Doe",
                "Position": None,
                "CompanyName": "Doe Design Ltd",
                "ProfileTagsList": ["UX", "Research"],
            }
        ],
        "Threads": [],
    }


def _outcome() -> Json:
    return {"CoworkerId": 101, "Complete": True, "Problems": []}


def _mobile() -> Json:
    return {
        "User": {"Id": 7001, "FullName": "Jane Doe"},
        "DefaultBusiness": {"Name": "Nexudus HQ", "WebAddress": "nexudushq"},
        "Profiles": [
            {"Id": 101, "FullName": "Jane Doe", "Active": True, "IsDefaultProfile": True},
            {"Id": 145, "FullName": "Doe Design Ltd", "Active": True, "IsDefaultProfile": False},
        ],
        "RelatedProfiles": [
            {
                "Id": 145,
                "FullName": "Doe Design Ltd",
                "AvatarUrl": "https://nexudushq.spaces.nexudus.com/media/coworker/145/avatar",
                "CompanyName": "Doe Design Ltd",
            }
        ],
        "Bootstrap": _outcome(),
    }
