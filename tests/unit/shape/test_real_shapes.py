"""Every `_shape` value collected from real clients (FACTS section 6), one test case a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bff.shape import parse, project
from tests.reference import shape_model

FIXTURES = Path(__file__).parents[2] / "fixtures" / "nexudus"
LINES = (FIXTURES / "shapes.txt").read_text("utf-8").splitlines()


def fitting(paths: list[list[str]], *, noise: bool, lists: bool) -> object:
    """A document with a value at the end of every path; with `lists`, lists at every level."""
    members: dict[str, object] = {"Noise": "dropped", "More": [{"Id": 1}]} if noise else {}
    for name in dict.fromkeys(path[0] for path in paths):
        below = [path[1:] for path in paths if path[0] == name and len(path) > 1]
        members[name] = (
            fitting(below, noise=noise, lists=lists) if below else {"Kept": [name, None, 1]}
        )
    if noise:
        members["Last"] = None
    return [members, [members, "scalar"] if noise else [members]] if lists else members


def fixtures() -> Iterator[object]:
    for path in sorted(FIXTURES.glob("*.json")):
        yield json.loads(path.read_text("utf-8"))


def test_the_collection_is_whole() -> None:
    assert len(LINES) == 26
    assert len(list(fixtures())) > 40


@pytest.mark.parametrize("line", LINES)
def test_a_real_shape_is_read_and_its_canonical_form_is_stable(line: str) -> None:
    shape = parse(line)
    assert shape.canonical == shape_model.canonical(line)
    assert set(shape.canonical.split(",")) == set(line.split(","))
    assert parse(shape.canonical) == shape


@pytest.mark.parametrize("lists", [False, True], ids=["objects", "lists"])
@pytest.mark.parametrize("line", LINES)
def test_a_real_shape_keeps_what_it_names_and_drops_the_rest(line: str, lists: bool) -> None:
    paths = [path.split(".") for path in line.split(",")]
    noisy = fitting(paths, noise=True, lists=lists)
    clean = fitting(paths, noise=False, lists=lists)
    result = project(noisy, parse(line))
    assert json.dumps(result) == json.dumps(clean)
    assert json.dumps(result) == json.dumps(shape_model.select(noisy, line))


@pytest.mark.parametrize("line", LINES)
def test_a_real_shape_agrees_with_the_model_on_every_fixture(line: str) -> None:
    shape = parse(line)
    for document in fixtures():
        expected = json.dumps(shape_model.select(document, line))
        assert json.dumps(project(document, shape)) == expected
