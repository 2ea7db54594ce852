"""Names of stored things are injective, ASCII, and stay within their space."""

from __future__ import annotations

import pytest

from bff.cache.keys import LAYOUT, Address, Container, KeySpace, Scope, escape

KEYSPACE = KeySpace("bff")


def address(
    space: str = "a", scope: Scope = Scope.TOKEN, ident: str = "d", variant: str = ""
) -> Address:
    return Address(Container(space, scope, ident), "profiles", "", variant)


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("abc-XYZ_0.9", "abc-XYZ_0.9"),
        ("", ""),
        ("a|b", "a%7Cb"),
        ("%7C", "%257C"),
        ("a:b{c}", "a%3Ab%7Bc%7D"),
        ("a b\n\0", "a%20b%0A%00"),
        ("é", "%C3%A9"),
        ("\ud800", "%ED%A0%80"),
    ],
)
def test_escape_leaves_no_delimiter_and_loses_nothing(text: str, escaped: str) -> None:
    assert escape(text) == escaped


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", "b|c", ""), ("a|b", "c", "")),
        (("a", "", "b"), ("a", "b", "")),
        (("a%7Cb", "", ""), ("a|b", "", "")),
        (("\udc80", "", ""), ("%ED%B2%80", "", "")),
        (("A", "", ""), ("a", "", "")),
    ],
)
def test_pitfall_5_parts_that_move_a_delimiter_give_another_address(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    container = Container("s", Scope.COWORKER, "1")
    assert Address(container, *one).text != Address(container, *other).text
    assert Address(container, *one).field != Address(container, *other).field


def test_pitfall_4_the_same_coworker_in_two_spaces_has_two_names() -> None:
    here, there = (Container(space, Scope.COWORKER, "7") for space in ("acme", "beta"))
    assert KEYSPACE.container(here) != KEYSPACE.container(there)
    assert Address(here, "related", "7", "").text != Address(there, "related", "7", "").text


def test_the_same_ident_in_two_scopes_has_two_labels() -> None:
    labels = {Container("a", scope, "7").label for scope in Scope}
    assert len(labels) == len(Scope)


def test_a_container_is_named_after_prefix_layout_and_space() -> None:
    container = Container("acme", Scope.COWORKER, "7")
    assert KEYSPACE.container(container) == f"bff:{LAYOUT}:{{acme}}:c:7"


@pytest.mark.parametrize("space", ["a}b", "{", "}", "a{b}c", "{}"])
def test_no_space_can_end_its_own_hash_tag(space: str) -> None:
    base = KEYSPACE.base(space)
    assert base.count("{") == base.count("}") == 1
    assert base[base.index("{") + 1 : base.index("}")] == escape(space)


def test_an_inbox_is_of_no_space() -> None:
    assert KEYSPACE.inbox("1-a b") == f"bff:{LAYOUT}:to:1-a%20b"


def test_the_variant_is_part_of_the_address() -> None:
    assert address(variant="en").text != address(variant="fr").text
    assert address(variant="en").container == address(variant="fr").container
