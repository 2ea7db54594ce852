"""Projection, one rule of the contract after the other."""

from __future__ import annotations

import copy
import json

import pytest

from bff.shape import Limits, parse, project

MEMBER = {
    "User": {"Id": 7, "FullName": "Jane", "AccessToken": "secret"},
    "Profiles": [
        {"Id": 101, "Tags": [{"Tag": "UX", "Count": 1}], "Team": None},
        {"Id": 145, "Tags": [], "Team": {"Name": "Ops", "Size": 3}},
    ],
    "Note": None,
    "Total": 2,
}


@pytest.mark.parametrize(
    ("shape", "selected"),
    [
        ("Total", {"Total": 2}),
        ("User.Id", {"User": {"Id": 7}}),
        ("User", {"User": {"Id": 7, "FullName": "Jane", "AccessToken": "secret"}}),
        ("Profiles.Id", {"Profiles": [{"Id": 101}, {"Id": 145}]}),
        ("Profiles[].Id", {"Profiles": [{"Id": 101}, {"Id": 145}]}),
        ("Profiles.Tags.Tag", {"Profiles": [{"Tags": [{"Tag": "UX"}]}, {"Tags": []}]}),
        ("Profiles.Team.Name", {"Profiles": [{"Team": None}, {"Team": {"Name": "Ops"}}]}),
        ("Total,User.Id", {"User": {"Id": 7}, "Total": 2}),
        ("Note", {"Note": None}),
        ("Note.Text", {"Note": None}),
        ("Unknown", {}),
        ("Unknown.Id,total", {}),
        ("User.Unknown", {"User": {}}),
        ("User.Id.Deeper", {"User": {}}),
        ("Total.Deeper,Total.More", {}),
        ("Profiles.Unknown", {"Profiles": [{}, {}]}),
    ],
)
def test_paths_select_fields(shape: str, selected: object) -> None:
    result = project(MEMBER, parse(shape))
    assert json.dumps(result) == json.dumps(selected)


@pytest.mark.parametrize(
    ("document", "shape", "selected"),
    [
        ([{"a": 1, "b": 2}, {"b": 3}], "a", [{"a": 1}, {}]),
        ([], "a", []),
        ({}, "a", {}),
        ([[{"a": 1, "b": 2}], [], [[{"a": 3}]]], "a", [[{"a": 1}], [], [[{"a": 3}]]]),
        ({"a": [[{"b": 1, "c": 2}], {"b": 3}]}, "a.b", {"a": [[{"b": 1}], {"b": 3}]}),
        ({"a": [1, "x", True, 0.5, None, {"b": 1}, []]}, "a.b", {"a": [None, {"b": 1}, []]}),
        ({"a": [1, "x", None]}, "a", {"a": [1, "x", None]}),
        ([1, None, "x", {"a": 1}], "a", [None, {"a": 1}]),
        ({"a": False, "b": 0, "c": ""}, "a,b,c", {"a": False, "b": 0, "c": ""}),
        ({"a": False, "b": 0, "c": ""}, "a.x,b.x,c.x", {}),
        ({"First Name": 1, "Name": 2}, "First Name", {"First Name": 1}),
        ({"A": 1, "a": 2}, "a", {"a": 2}),
        ({"": 1, "a": 2}, "a", {"a": 2}),
        (None, "a", None),
        ("text", "a", None),
        (0, "a", None),
    ],
)
def test_lists_nulls_and_scalars(document: object, shape: str, selected: object) -> None:
    assert json.dumps(project(document, parse(shape))) == json.dumps(selected)


def test_the_order_is_that_of_the_document() -> None:
    result = project({"z": 1, "m": {"y": 1, "x": 2, "w": 3}, "a": 2}, parse("a,m.w,m.y,z"))
    assert json.dumps(result) == '{"z": 1, "m": {"y": 1, "w": 3}, "a": 2}'


@pytest.mark.parametrize("document", [MEMBER, [1], [], "text", 0, None])
def test_the_empty_shape_is_the_document_itself(document: object) -> None:
    assert project(document, parse("")) is document


def test_filtered_containers_are_new_and_whole_ones_are_shared() -> None:
    document = copy.deepcopy(MEMBER)
    result = project(document, parse("User.Id,Profiles.Tags"))
    assert isinstance(result, dict)
    result["User"]["Id"] = 8
    result["Profiles"].pop()
    result["Profiles"][0]["Extra"] = 1
    assert document == MEMBER
    assert result["Profiles"][0]["Tags"] is document["Profiles"][0]["Tags"]  # type: ignore[index]


def nested_lists(document: object, depth: int) -> object:
    for _ in range(depth):
        document = [document]
    return document


def unwrapped(document: object, depth: int) -> object:
    for _ in range(depth):
        assert isinstance(document, list)
        (document,) = document
    return document


@pytest.mark.parametrize("depth", [1, 1024, 100_000])
def test_pitfall_18_lists_of_lists_nest_without_recursion(depth: int) -> None:
    document = nested_lists({"a": 1, "b": 2}, depth)
    assert unwrapped(project(document, parse("a")), depth) == {"a": 1}


def test_pitfall_18_lists_may_nest_below_every_name_of_the_deepest_path() -> None:
    names = [f"n{depth}" for depth in range(16)]
    document: object = {"kept": 1}
    for name in reversed(names):
        document = nested_lists({name: document, "other": 2}, 1024)
    result = project(document, parse(".".join(names)))
    for name in names:
        result = unwrapped(result, 1024)
        assert isinstance(result, dict)
        assert list(result) == [name]
        result = result[name]
    assert result == {"kept": 1}


def test_pitfall_18_a_raised_depth_limit_still_needs_no_recursion() -> None:
    depth = 10_000
    document: object = 1
    for _ in range(depth):
        document = {"a": document, "b": 2}
    roomy = Limits(max_bytes=100_000, max_depth=depth)
    result = project(document, parse(".".join("a" * depth), roomy))
    for _ in range(depth):
        assert isinstance(result, dict)
        assert list(result) == ["a"]
        result = result["a"]
    assert result == 1


def test_pitfall_18_a_wide_shape_costs_no_more_than_the_document() -> None:
    lookups = 0

    class Counted(dict[str, object]):
        def __getitem__(self, name: str) -> object:
            nonlocal lookups
            lookups += 1
            return super().__getitem__(name)

    wide = parse(",".join(f"unknown{n}.x" for n in range(200)) + ",a")
    document = [Counted(a=1, b=2) for _ in range(50)]
    assert project(document, wide) == [{"a": 1}] * 50
    assert lookups == 50
