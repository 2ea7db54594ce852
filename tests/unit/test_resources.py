"""The table of cached resources."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from bff.cache.invalidation import EVERYTHING
from bff.cache.keys import Scope
from bff.resources import (
    ALL_TAGS,
    MAX_TAGGED,
    PARTS,
    PROFILES,
    RELATED,
    TABLE,
    Resource,
    active_profile,
    as_id,
    coworkers_of,
    user_of,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["Id", "User", "Profiles", "Threads", "x"]), inner)
    ),
    max_leaves=10,
)


def profiles(*items: Mapping[str, object], user: object = 7001) -> dict[str, object]:
    return {"User": {"Id": user}, "Profiles": list(items)}


@given(st.integers(1, 2**63 - 1))
def test_an_id_is_a_positive_64_bit_number_or_its_digits(number: int) -> None:
    assert as_id(number) == as_id(str(number)) == number


@given(st.integers(max_value=0) | st.integers(min_value=2**63) | st.booleans() | st.floats())
def test_any_other_number_is_none(number: object) -> None:
    assert as_id(number) is None
    assert as_id(str(number)) is None


@given(st.text())
def test_a_text_is_an_id_only_in_ascii_digits(text: str) -> None:
    if not (text.isascii() and text.isdigit()):
        assert as_id(text) is None
    for odd in (f" {text}", f"{text}_", f"+{text}", "１２", "²", "1" * 20):
        assert as_id(odd) is None


def test_the_active_profile_is_the_default_one_else_the_first_active_one() -> None:
    active, default = {"Id": 1, "Active": True}, {"Id": 2, "IsDefaultProfile": True}
    assert active_profile(profiles(active, default)) == 2
    assert active_profile(profiles({"Id": 3, "Active": False}, active, {**active, "Id": 4})) == 1
    assert active_profile(profiles({"Id": 3, "Active": "true"}, {"Id": 4, "Active": 1})) is None
    assert active_profile(profiles()) is None


@given(json_values)
def test_any_json_is_looked_at_without_harm(value: object) -> None:
    for document in (value, {"User": value, "Profiles": value}, {"RelatedProfiles": value}):
        for row in TABLE:
            if row.accepts(document):
                tags = row.tags_for(document, "7")
                assert len(tags) <= MAX_TAGGED + 3
                assert all(tag.isascii() and " " not in tag for tag in tags)
        user_of(document)
        coworkers_of(document)
        active_profile(document)


def test_the_declared_form_of_the_profile_list() -> None:
    assert PROFILES.accepts(profiles())
    assert PROFILES.accepts({**profiles({"Id": "12", "New": 1}), "More": []})
    wrong: list[object] = [
        {},
        {"User": {"Id": 1}},
        {"User": {}, "Profiles": []},
        {"User": [], "Profiles": []},
        profiles(user=0),
        profiles({"Id": None}),
        {"User": {"Id": 1}, "Profiles": None},
        {"User": {"Id": 1}, "Profiles": [1]},
        [profiles()],
    ]
    assert not any(PROFILES.accepts(document) for document in wrong)


def test_the_declared_form_of_the_related_list() -> None:
    assert RELATED.accepts({"RelatedProfiles": []})
    assert RELATED.accepts({"RelatedProfiles": [{"Id": 1}], "Threads": None, "More": 1})
    wrong: list[object] = [
        {},
        {"RelatedProfiles": None},
        {"RelatedProfiles": [{"Name": "x"}]},
        {"RelatedProfiles": [], "Threads": {}},
        {"RelatedProfiles": [], "Threads": "x"},
        [],
    ]
    assert not any(RELATED.accepts(document) for document in wrong)


def test_documents_carry_a_bounded_number_of_tags() -> None:
    many = [{"Id": number} for number in range(1, 500)]
    assert len(PROFILES.tags_for(profiles(*many), "")) == MAX_TAGGED + 2
    assert len(RELATED.tags_for({"RelatedProfiles": many}, "7")) <= MAX_TAGGED + 2
    # The document's own coworker and user are never among those left out.
    assert "u:7001" in PROFILES.tags_for(profiles(*many), "")
    assert "c:777" in RELATED.tags_for({"RelatedProfiles": many}, "777")


def test_which_document_belongs_to_a_session() -> None:
    assert (RELATED.ident_of(101), RELATED.ident_of(None)) == ("101", None)
    assert (PROFILES.ident_of(101), PROFILES.ident_of(None)) == ("", "")
    space = Resource("x", "/x", Scope.SPACE, frozenset(), lambda _: True, lambda _: frozenset())
    assert space.ident_of(None) == ""


def test_the_table_is_consistent() -> None:
    assert len({row.name for row in TABLE}) == len(TABLE)
    assert {*PARTS, PROFILES} == set(TABLE)
    assert ALL_TAGS == EVERYTHING
    members = [member for row in TABLE for member in row.members]
    assert len(members) == len(set(members)), "each member comes from one resource"
    assert RELATED.path_for("101") == "/api/public/coworkers/published/101/related"
