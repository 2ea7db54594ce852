from __future__ import annotations

from random import Random
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.sandbox.shaping import project, selection_of
from tests.unit.sandbox.space import shape_lines

LISTS = {
    "Records",
    "Businesses",
    "Products",
    "Plans",
    "Contracts",
    "BookingCredits",
    "TimePasses",
    "ExtraServices",
    "LinesRaw",
    "TeamMembers",
    "Errors",
}

Tree = dict[str, "Tree"]


def tree_of(line: str) -> Tree:
    root: Tree = {}
    for path in line.split(","):
        node = root
        for name in path.split("."):
            node = node.setdefault(name, {})
    return root


def wanted(tree: Tree, note: str) -> object:
    """The smallest document that has every path: scalars at the ends, two items in every list."""
    if not tree:
        return note
    return {
        name: [wanted(below, f"{note}.{name}.{n}") for n in (1, 2)]
        if name in LISTS
        else wanted(below, f"{note}.{name}")
        for name, below in tree.items()
    }


def with_others(value: object) -> object:
    """The same document with fields and sub-trees around that nobody asked for."""
    if isinstance(value, list):
        return [with_others(item) for item in cast(list[object], value)]
    if isinstance(value, dict):
        fields = {name: with_others(item) for name, item in cast(dict[str, object], value).items()}
        return {"IdString": "1", **fields, "Internal": {"Id": 1, "Name": [{"Name": "x"}]}}
    return value


@pytest.mark.parametrize("line", shape_lines())
def test_every_shape_seen_in_use_keeps_what_it_names_and_no_more(line: str) -> None:
    document = wanted(tree_of(line), "doc")
    assert project(selection_of(line), with_others(document)) == document


@pytest.mark.parametrize("line", shape_lines())
def test_a_list_at_the_root_is_mapped_through(line: str) -> None:
    documents = [wanted(tree_of(line), note) for note in ("a", "b")]
    assert project(selection_of(line), with_others(documents)) == documents


@pytest.mark.parametrize(
    ("shape", "document", "kept"),
    [
        ("", {"A": 1}, {"A": 1}),
        (" , ,", {"A": 1}, {"A": 1}),
        ("A", {"A": {"B": [1]}, "C": 2}, {"A": {"B": [1]}}),
        ("A.B,A", {"A": {"B": 1, "C": 2}}, {"A": {"B": 1, "C": 2}}),
        ("A,A.B", {"A": {"B": 1, "C": 2}}, {"A": {"B": 1, "C": 2}}),
        (" A . B ", {"A": {"B": 1, "C": 2}}, {"A": {"B": 1}}),
        ("Nope", {"A": 1}, {}),
        ("a", {"A": 1}, {}),
        ("A.Nope", {"A": {"B": 1}}, {"A": {}}),
        ("A.B", {"A": None}, {"A": None}),
        ("A.B", {"A": [None, {"B": None}, {}]}, {"A": [None, {"B": None}, {}]}),
        ("A.B", {"A": 3, "C": 4}, {}),
        ("A.B", {"A": [1, "x", {"B": 2}]}, {"A": [{"B": 2}]}),
        ("A.B", {"A": []}, {"A": []}),
        ("A.B", {"A": [[{"B": 1, "C": 2}], []]}, {"A": [[{"B": 1}], []]}),
        ("A[].B", {"A": [{"B": 1, "C": 2}]}, {"A": [{"B": 1}]}),
        ("[].B", [{"B": 1, "C": 2}], [{"B": 1}]),
        ("B,A", {"A": 1, "B": 2}, {"A": 1, "B": 2}),
        ("A..B", {"A": {"B": 1, "": {"B": 2}}}, {"A": {"": {"B": 2}}}),
        ("A", "text", "text"),
        ("A", None, None),
    ],
)
def test_the_reading_of_shapes(shape: str, document: object, kept: object) -> None:
    assert project(selection_of(shape), document) == kept


def test_the_documents_order_is_kept() -> None:
    kept = project(selection_of("C,A.Y,A.X"), {"A": {"X": 1, "Y": 2}, "B": 3, "C": 4})
    assert str(kept) == "{'A': {'X': 1, 'Y': 2}, 'C': 4}"


def test_a_path_of_any_depth_is_read() -> None:
    assert project(selection_of(".".join(["A"] * 50_000)), {"A": {"A": 1}}) == {"A": {}}


names = st.sampled_from(["A", "B", "C"])
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(names, below, max_size=3),
    max_leaves=20,
)
paths = st.lists(st.lists(names, min_size=1, max_size=4).map(".".join), min_size=1, max_size=5)


@given(documents, paths)
def test_projecting_twice_is_projecting_once(document: object, asked: list[str]) -> None:
    selection = selection_of(",".join(asked))
    once = project(selection, document)
    assert project(selection, once) == once


@given(documents, paths, st.randoms(use_true_random=False))
def test_order_and_repetition_of_paths_do_not_matter(
    document: object, asked: list[str], rng: Random
) -> None:
    shuffled = [*asked, *asked]
    rng.shuffle(shuffled)
    assert project(selection_of(",".join(shuffled)), document) == project(
        selection_of(",".join(asked)), document
    )


@given(documents, paths)
def test_a_longer_shape_never_keeps_less(document: object, asked: list[str]) -> None:
    less = project(selection_of(asked[0]), document)
    more = project(selection_of(",".join(asked)), document)
    assert project(selection_of(asked[0]), more) == less
