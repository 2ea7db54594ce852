"""Named shapes: `@name` to reviewed text, and the way every `_shape` parameter takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bff.errors import ShapeError
from bff.shape import DEFAULTS, Limits, NamedShapes, parse, project

FIXTURES = Path(__file__).parents[2] / "fixtures" / "nexudus"
PARTS = {"User", "DefaultBusiness", "Profiles", "RelatedProfiles", "Threads", "Bootstrap"}


def bootstrap() -> dict[str, object]:
    profiles = json.loads((FIXTURES / "profiles.json").read_text("utf-8"))
    related = json.loads((FIXTURES / "related.json").read_text("utf-8"))
    envelope = {"CoworkerId": 101, "Complete": True, "Problems": []}
    return {**profiles, **related, "Bootstrap": envelope}


def test_a_name_stands_for_its_text() -> None:
    shapes = NamedShapes({"card": "b, a.c"})
    assert shapes.resolve("@card") == parse("a.c,b")
    assert shapes.resolve(" @card ") is shapes.resolve("@card")


def test_everything_else_is_parsed() -> None:
    shapes = NamedShapes({"card": "Id"})
    assert shapes.resolve("b,a") == parse("a,b")
    assert shapes.resolve("").is_everything
    assert shapes.resolve("card") == parse("card")


@pytest.mark.parametrize("text", ["@Card", "@", "@ card", "@@card", "@card,Id", "@card,", "@cards"])
def test_an_unknown_name_is_refused_and_the_known_ones_listed(text: str) -> None:
    shapes = NamedShapes({"portal": "a", "card": "b"})
    with pytest.raises(ShapeError) as refused:
        shapes.resolve(text)
    assert repr(text) in str(refused.value)
    assert "(@card, @portal)" in str(refused.value)


def test_without_named_shapes_the_refusal_says_so() -> None:
    with pytest.raises(ShapeError, match="none is configured"):
        NamedShapes({}).resolve("@portal")


def test_a_name_cannot_be_mixed_into_paths() -> None:
    with pytest.raises(ShapeError, match="stands alone"):
        NamedShapes({"card": "Id"}).resolve("Id,@card")


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("card", "a..b", "named shape @card is malformed: .*empty name"),
        ("card", "@other", "named shape @card is malformed: .*stands alone"),
        ("card", " , ", "named shape @card selects everything"),
        ("my card", "Id", "named shape 'my card' has an unusable name"),
        ("", "Id", "named shape '' has an unusable name"),
        ("@card", "Id", "named shape '@card' has an unusable name"),
        ("card\n", "Id", "unusable name"),
    ],
)
def test_a_faulty_definition_fails_at_once_and_by_name(name: str, text: str, fault: str) -> None:
    with pytest.raises(ShapeError, match=fault):
        NamedShapes({"good": "Id", name: text})


def test_limits_hold_for_definitions_and_for_callers() -> None:
    limits = Limits(max_depth=2)
    with pytest.raises(ShapeError, match=r"@card is malformed: .*deeper than 2"):
        NamedShapes({"card": "a.b.c"}, limits)
    with pytest.raises(ShapeError, match="deeper than 2"):
        NamedShapes({}, limits).resolve("a.b.c")
    with pytest.raises(ShapeError, match="deeper than 2"):
        NamedShapes({}, limits).resolve("a.b.c" + "," * 2000)


def test_a_repeated_text_is_compiled_twice_at_most_and_a_refused_one_stays_refused() -> None:
    shapes = NamedShapes({})
    assert shapes.resolve("b,a") == parse("a,b")
    kept = shapes.resolve("b,a")
    assert all(shapes.resolve(f"a{number}").canonical for number in range(1_000))
    assert shapes.resolve("b,a") is kept, "those that are asked for once push nothing out"
    assert all(shapes.resolve(f"b{number}").canonical for number in range(1_000))
    assert shapes.resolve("b,a") == kept
    for _ in range(2):
        with pytest.raises(ShapeError):
            shapes.resolve("a..b")


def test_pitfall_18_callers_cannot_grow_the_memory_of_compiled_shapes() -> None:
    shapes = NamedShapes({})
    first = [shapes.resolve("Id") for _ in range(2)][-1]
    assert shapes.resolve("Id") is first
    for n in range(200):
        assert shapes.resolve(f"Id,Name{n}") == shapes.resolve(f"Id,Name{n}")
    assert shapes.resolve("Id") is not first
    long = "Id," * 20 + "N" * 3000
    assert shapes.resolve(long) == parse(long)
    assert shapes.resolve(long) is not shapes.resolve(long)


def test_mobile_is_the_least_that_a_home_screen_needs() -> None:
    mobile = NamedShapes(DEFAULTS).resolve("@mobile")
    assert project(bootstrap(), mobile) == {
        "User": {"Id": 7001, "FullName": "Jane Doe"},
        "DefaultBusiness": {"Name": "Nexudus HQ", "WebAddress": "nexudushq"},
        "Profiles": [
            {"Id": 101, "FullName": "Jane Doe", "Active": True, "IsDefaultProfile": True},
            {"Id": 145, "FullName": "Doe Design Ltd", "Active": True, "IsDefaultProfile": False},
            {"Id": 177, "FullName": "Jane Doe", "Active": False, "IsDefaultProfile": False},
        ],
        "RelatedProfiles": [
            {
                "Id": 202,
                "FullName": "Carlos Ruiz",
                "AvatarUrl": "https://nexudushq.spaces.nexudus.com/media/coworker/202/avatar",
                "CompanyName": "Ruiz UX Studio",
            }
        ],
        "Bootstrap": {"CoworkerId": 101, "Complete": True, "Problems": []},
    }


def test_portal_has_the_account_switcher_and_the_related_cards() -> None:
    document = bootstrap()
    portal = NamedShapes(DEFAULTS).resolve("@portal")
    assert project(document, portal) == {
        "User": {
            "Id": 7001,
            "FullName": "Jane Doe",
            "Email": "jane.doe@example.com",
            "IsAdmin": False,
        },
        "DefaultBusiness": {"Id": 5001, "Name": "Nexudus HQ", "WebAddress": "nexudushq"},
        "Profiles": document["Profiles"],
        "RelatedProfiles": document["RelatedProfiles"],
        "Bootstrap": document["Bootstrap"],
    }


@pytest.mark.parametrize("name", sorted(DEFAULTS))
def test_pitfall_06_no_shipped_shape_carries_the_access_token(name: str) -> None:
    document = bootstrap()
    user = document["User"]
    assert isinstance(user, dict)
    shape = NamedShapes(DEFAULTS).resolve(f"@{name}")
    assert shape.tree.keys() <= PARTS
    assert user["AccessToken"] not in json.dumps(project(document, shape))
    assert "AccessToken" not in shape.canonical


def test_what_is_allowed_is_what_is_within_the_limits() -> None:
    shapes = NamedShapes({}, Limits(max_bytes=5, max_paths=2))
    assert [shapes.allows(text) for text in ("a.b.c", "a,b", "a.b.cd", "a,b,c")] == [
        True, True, False, False,
    ]  # fmt: skip
