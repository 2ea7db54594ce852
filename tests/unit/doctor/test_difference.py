"""Differences between two documents, by path."""

from __future__ import annotations

import copy

from hypothesis import given
from hypothesis import strategies as st

from bff.doctor.difference import Difference, Kind, differences

NAMES = st.sampled_from(["Id", "User", "Profiles", "FullName"])
SCALARS = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "canary", "b"])
DOCUMENTS = st.recursive(
    SCALARS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(NAMES, below, max_size=3),
    max_leaves=12,
)


def told(theirs: object, ours: object) -> list[str]:
    return [str(each) for each in differences(theirs, ours)]


def test_each_kind_in_words() -> None:
    theirs = {"A": 1, "B": {"C": "x"}, "L": [{"N": 1}, {"N": 2}], "M": [1]}
    ours = {"B": {"C": "y", "D": None}, "L": [{"N": 1}], "M": {}}
    assert told(theirs, ours) == [
        "A is missing here",
        "B.C is different here",
        "B.D is only here",
        "L has another length here",
        "M is different here",
    ]


def test_lists_are_one_path() -> None:
    theirs = [{"P": [{"Id": 1}, {"Id": 2}]}]
    assert told(theirs, [{"P": [{}, {}]}]) == ["[].P[].Id is missing here"]


def test_true_is_not_one() -> None:
    assert told({"A": True}, {"A": 1}) == ["A is different here"]
    assert told(1, 1.0) == []


def test_null_missing_and_empty_are_three_things() -> None:
    for theirs, ours in (({"A": None}, {}), ({"A": {}}, {}), ({"A": {}}, {"A": None})):
        assert len(differences(theirs, ours)) == 1


def test_the_document_itself() -> None:
    assert told({}, []) == ["the document is different here"]


def test_names_that_may_be_data_are_not_repeated() -> None:
    (found,) = differences({"jane@example.com\x1b[31m": 1}, {})
    assert found.path == "?"


def test_depth_is_no_limit() -> None:
    theirs: object = 1
    ours: object = 2
    for _ in range(5_000):
        theirs, ours = [theirs], [ours]
    (found,) = differences(theirs, ours)
    assert found.kind is Kind.VALUE


@given(DOCUMENTS)
def test_a_document_does_not_differ_from_its_copy(document: object) -> None:
    assert differences(document, copy.deepcopy(document)) == ()


@given(DOCUMENTS, DOCUMENTS)
def test_unequal_documents_differ_either_way_round_and_show_no_value(a: object, b: object) -> None:
    forth, back = differences(a, b), differences(b, a)
    assert {each.path for each in forth} == {each.path for each in back}
    if a != b:
        assert forth
    assert "canary" not in repr(forth)


@given(DOCUMENTS, DOCUMENTS)
def test_every_difference_lies_within_its_own_path_and_those_above(a: object, b: object) -> None:
    for each in differences(a, b):
        assert each.within([each.path])
        assert each.within([""])
        assert each.within([each.path.split(".")[0].split("[")[0]])


def test_a_path_does_not_lie_within_one_that_only_begins_like_it() -> None:
    assert not Difference("UserId", Kind.VALUE).within(["User"])
    assert Difference("User.Id", Kind.VALUE).within(["User"])
    assert Difference("Profiles[].Id", Kind.VALUE).within(["Profiles"])
