"""The members that exist when the sandbox starts: ten named ones, then as many as asked for.

The named ones are those of the documented examples plus one for each special sign-in or state.
Each generated member depends on the seed and its own number only, so that a larger sandbox
holds a smaller one.
"""

from __future__ import annotations

import unicodedata
from random import Random

from bff.sandbox import names
from bff.sandbox.model import Business, Coworker, Member, Seeded, SignIn, Thread

PASSWORD = "demo"  # noqa: S105  (everybody's, and public)
TOTP = "123456"
RESET_TOKEN = "FIXTURE-reset-token"  # noqa: S105
JANE = 7001

SOCIAL = ("Twitter", "Linkedin", "Github", "Instagram", "Facebook", "Skype", "Telegram")


def business_of(space: str) -> Business:
    """The space itself; `nexudushq` is the one of the documented examples."""
    name = "Nexudus HQ" if space == "nexudushq" else space.replace("-", " ").title()
    return Business(5001, "d3767b81-49c3-4167-bd0b-d185a079e9ff", name, space)


def seeded(seed: int, members: int) -> Seeded:
    """The named members and `members` generated ones."""
    named_members, named_coworkers = _named()
    all_members, coworkers = list(named_members), list(named_coworkers)
    for number in range(members):
        member, profiles = _generated(seed, number)
        all_members.append(member)
        coworkers.extend(profiles)
    return Seeded(tuple(all_members), tuple(coworkers), _threads(seed, coworkers))


def coworker(coworker_id: int, user_id: int, full_name: str, **core: object) -> Coworker:
    """A profile with every core field; `core` names those that differ from the plainest one."""
    fields: dict[str, object] = {
        "Id": coworker_id,
        "FullName": full_name,
        "CompanyName": "",
        "Active": True,
        "CoworkerType": 1,
        "HasVirtualOffice": False,
        "VirtualOfficePaused": None,
        "VirtualOfficeContractId": None,
        "UniqueId": f"c0000000-0000-4000-8000-{coworker_id:012}",
        "UserId": user_id,
        "GuessedFirstName": full_name.split(" ", maxsplit=1)[0],
        "Email": f"member.{coworker_id}@example.com",
        "Position": None,
        "BusinessArea": None,
        "ProfileSummary": None,
        "ProfileWebsite": None,
        "ProfileIsPublic": False,
        "ProfileTags": None,
        **dict.fromkeys(SOCIAL),
    }
    return Coworker(coworker_id, user_id, {**fields, **core})


def _named() -> tuple[list[Member], list[Coworker]]:
    members = [
        Member(JANE, "Jane Doe", "jane.doe@example.com", (101, 145, 177), 101),
        Member(7002, "Carlos Ruiz", "carlos.ruiz@example.com", (202,), 202),
        Member(7003, "Zoë Müller", "zoe.mueller@example.com", (303,), 303),
        Member(7004, "Ops Admin", "ops.admin@example.com", (110,), 110, admin=True),
        Member(
            7005, "Two Factor", "two.factor@example.com", (111,), 111, sign_in=SignIn.TWO_FACTOR
        ),
        Member(
            7006, "Must Reset", "must.reset@example.com", (112,), 112, sign_in=SignIn.MUST_RESET
        ),
        Member(7007, "No Profile", "no.profile@example.com", (), None),
        Member(7008, "Other Place", "other.place@example.com", (), None, customer=False),
        Member(7009, "Sus Pended", "sus.pended@example.com", (113,), None, active=False),
        Member(7010, "Un Listed", "un.listed@example.com", (114,), 114),
    ]
    plain = [
        coworker(member.coworker_ids[0], member.user_id, member.full_name, Email=member.email)
        for member in members[3:]
        if member.coworker_ids and member.active
    ]
    suspended = coworker(113, 7009, "Sus Pended", Email="sus.pended@example.com", Active=False)
    return members, [*_jane(), *_carlos_and_zoe(), *plain, suspended]


def _jane() -> list[Coworker]:
    studio = {"Email": "jane.doe@example.com", "CompanyName": "Doe Design"}
    return [
        coworker(
            101,
            JANE,
            "Jane Doe",
            **studio,
            UniqueId="a1b2c3d4-e5f6-7890-abcd-ef1234567890",
            Position="Product Designer",
            BusinessArea="Design",
            ProfileSummary="Designs **things** for people.",
            ProfileWebsite="https://doe.example.com",
            ProfileIsPublic=True,
            ProfileTags="Design,UX",
            Linkedin="https://www.linkedin.com/in/janedoe-example",
        ),
        coworker(
            145,
            JANE,
            "Doe Design Ltd",
            Email="jane.doe@example.com",
            CompanyName="Doe Design Ltd",
            CoworkerType=2,
            HasVirtualOffice=True,
            VirtualOfficePaused=False,
            VirtualOfficeContractId=88123,
        ),
        coworker(177, JANE, "Jane Doe", **studio, Active=False),
    ]


def _carlos_and_zoe() -> list[Coworker]:
    return [
        coworker(
            202,
            7002,
            "Carlos Ruiz",
            Email="carlos.ruiz@example.com",
            UniqueId="b2c3d4e5-f6a7-8901-bcde-f12345678901",
            CompanyName="Ruiz UX Studio",
            Position="UX Researcher",
            ProfileIsPublic=True,
            ProfileTags="UX,Research",
        ),
        coworker(
            303,
            7003,
            "Zoë Müller",
            Email="zoe.mueller@example.com",
            UniqueId="c3d4e5f6-a7b8-9012-cdef-123456789012",
            ProfileIsPublic=True,
        ),
    ]


def _generated(seed: int, number: int) -> tuple[Member, list[Coworker]]:
    rng = Random(f"{seed}:member:{number}")  # noqa: S311  (repeatable on purpose)
    user_id = 10_001 + number
    first, last = rng.choice(names.FIRST), rng.choice(names.LAST)
    email = f"{_ascii(first)}.{_ascii(last)}.{number}@example.com"
    suspended = rng.random() < 0.02
    count = rng.choices((1, 2, 3, 4), (75, 17, 6, 2))[0]
    ids = tuple(20_001 + number * 10 + position for position in range(count))
    profiles = [
        _profile(
            rng,
            coworker(
                coworker_id,
                user_id,
                f"{first} {last}",
                Email=email,
                Active=not suspended and (position == 0 or rng.random() < 0.8),
            ),
        )
        for position, coworker_id in enumerate(ids)
    ]
    current = next((profile.id for profile in profiles if profile.active), None)
    return Member(user_id, f"{first} {last}", email, ids, current, active=not suspended), profiles


def _profile(rng: Random, plain: Coworker) -> Coworker:
    is_company, has_office = rng.random() < 0.2, rng.random() < 0.1
    company = f"{rng.choice(names.LAST)} {rng.choice(names.COMPANY_ENDS)}"
    differing: dict[str, object] = {
        "UniqueId": f"{rng.getrandbits(32):08x}-0000-4000-8000-{plain.id:012}",
        "FullName": company if is_company else plain.core["FullName"],
        "GuessedFirstName": company.split(" ", maxsplit=1)[0]
        if is_company
        else plain.core["GuessedFirstName"],
        "CompanyName": rng.choice((company, company, company, "", None)),
        "CoworkerType": 2 if is_company else 1,
        "HasVirtualOffice": has_office,
        "VirtualOfficePaused": rng.random() < 0.2 if has_office else None,
        "VirtualOfficeContractId": rng.randint(80_000, 89_999) if has_office else None,
        "Position": rng.choice(names.POSITIONS),
        "BusinessArea": rng.choice(names.AREAS),
        "ProfileSummary": rng.choice((None, "Works on **small** things.\n\n- tea\n- maps")),
        "ProfileWebsite": rng.choice((None, f"https://m{plain.id}.example.com/?a=1&b=2")),
        "ProfileIsPublic": rng.random() < 0.75,
        "ProfileTags": ",".join(rng.sample(names.TAGS, rng.randint(0, 5))) or None,
        "Github": rng.choice((None, f"https://github.example.com/m{plain.id}")),
    }
    return Coworker(plain.id, plain.user_id, {**plain.core, **differing})


def _threads(seed: int, coworkers: list[Coworker]) -> tuple[Thread, ...]:
    """Only generated members write threads, so the named ones alone match the examples."""
    rng = Random(f"{seed}:threads")  # noqa: S311  (repeatable on purpose)
    writers = [each for each in coworkers if each.published and each.tags and each.id > 20_000]
    return tuple(
        Thread(
            id=60_001 + number,
            author_id=writer.id,
            tag=writer.tags[0],
            subject=f"Who else works on {writer.tags[0]}?",
            created_on=f"2026-{rng.randint(1, 9):02}-{rng.randint(1, 28):02}T09:00:00Z",
            replies=rng.randint(0, 30),
        )
        for number, writer in enumerate(writers[::5])
    )


def _ascii(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name.lower().replace("ø", "o").replace("ı", "i"))
    return "".join(letter for letter in decomposed if letter.isascii() and letter.isalnum())
