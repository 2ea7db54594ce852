"""Text to `Shape`: what is read, what is refused, and the one canonical form."""

from __future__ import annotations

import dataclasses
import tracemalloc

import pytest

from bff.errors import ShapeError
from bff.shape import Limits, Shape, parse

ROOMY = Limits(max_bytes=1_000_000_000, max_paths=1_000_000_000, max_depth=1_000_000_000)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("Id", "Id"),
        (" Id ", "Id"),
        ("b,a", "a,b"),
        ("a,a", "a"),
        ("a.b,a", "a"),
        ("a,a.b.c", "a"),
        ("a.b.c,a.b,a.d", "a.b,a.d"),
        ("ab,a.c", "a.c,ab"),
        ("a.b,a.bc,a.b.c", "a.b,a.bc"),
        ("Records[].Id,Records.Name", "Records.Id,Records.Name"),
        ("Tags[]", "Tags"),
        ("a[].b[].c[]", "a.b.c"),
        ("a [] . b ", "a.b"),
        ("a . b", "a.b"),
        ("a,,b,", "a,b"),
        (",a", "a"),
        ("First Name,Last Name", "First Name,Last Name"),
        ("a-b,a.c", "a-b,a.c"),
        ("É.ö,日本", "É.ö,日本"),
        ("\u00a0a\u00a0,\u00a0", "\u00a0,\u00a0a\u00a0"),
        ("a@b,c.@type", "a@b,c.@type"),
        ("*,$ref,a:b,a/b,'q',\"r\"", "\"r\",$ref,'q',*,a/b,a:b"),
        ("", ""),
        ("   ", ""),
        (" , ,, ", ""),
    ],
)
def test_every_spelling_has_one_canonical_form(text: str, canonical: str) -> None:
    assert parse(text).canonical == canonical
    assert parse(canonical).canonical == canonical


@pytest.mark.parametrize(
    "other", ["a b", "a.b", "a,b", "ab", "A b", "a  b", "a\u00a0b", "a_b", "b.a", "a"]
)
def test_pitfall_05_names_that_look_alike_stay_apart(other: str) -> None:
    texts = ["a b", "a.b", "a,b", "ab", "A b", "a  b", "a\u00a0b", "a_b", "b.a", "a"]
    equal = [text for text in texts if parse(text) == parse(other)]
    assert equal == [other]


def test_pitfall_05_unicode_is_never_normalised() -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    assert parse(composed) != parse(decomposed)
    assert len(parse(f"{composed},{decomposed}").tree) == 2


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("a..b", "'a..b' has an empty name"),
        (".a", "'.a' has an empty name"),
        ("a.", "'a.' has an empty name"),
        (".", "'.' has an empty name"),
        ("a. .b", "empty name"),
        ("ok,b..c", "'b..c' has an empty name"),
        ("[]", "'[]' has an empty name"),
        ("[].Id", "name the fields of a root list directly"),
        ("a.[].b", "empty name"),
        ("a[0]", "misplaced bracket"),
        ("a[*].b", "misplaced bracket"),
        ("a[ ]", "misplaced bracket"),
        ("a[][]", "misplaced bracket"),
        ("[]a", "misplaced bracket"),
        ("a[]b", "misplaced bracket"),
        ("a]", "misplaced bracket"),
        ("a[", "misplaced bracket"),
        ("A.{B", "write A.B,A.C instead of A.{B,C}"),
        ("A.B}", "write A.B,A.C instead of A.{B,C}"),
        ("A.{B,C}", "write A.B,A.C instead of A.{B,C}"),
        ("a\x00b", r"'\x00': remove control characters"),
        ("a\n", r"'\n': remove control characters"),
        ("\ta", r"'\t': remove control characters"),
        ("a\x7f", r"'\x7f': remove control characters"),
        ("a\x85b", r"'\x85': remove control characters"),
        ("a\ud800b", r"'\ud800': remove control characters and broken text encoding"),
        ("@portal", "a named shape stands alone"),
        ("a,@portal", "a named shape stands alone"),
        ("a, @id.b", "a named shape stands alone"),
    ],
)
def test_what_is_malformed_is_refused_with_advice(text: str, advice: str) -> None:
    with pytest.raises(ShapeError) as refused:
        parse(text)
    assert advice in str(refused.value)


def test_a_refusal_can_be_encoded_and_stays_short_whatever_was_sent() -> None:
    with pytest.raises(ShapeError) as refused:
        parse("\u202e." + "x" * 4000 + "[")
    message = str(refused.value)
    assert message.isprintable()
    assert len(message.encode()) < 300


@pytest.mark.parametrize(
    ("within", "beyond", "limits", "advice"),
    [
        ("abcd", "abcde", Limits(max_bytes=4), "longer than 4 bytes: name a parent"),
        ("éé", "ééa", Limits(max_bytes=4), "longer than 4 bytes"),
        ("a,b", "a,b,c", Limits(max_paths=2), "more than 2 paths: name a parent"),
        (",a,,b,", "a,a,a", Limits(max_paths=2), "more than 2 paths"),
        ("a.b[]", "a.b[].c", Limits(max_depth=2), "'a.b[].c' is deeper than 2 names"),
    ],
)
def test_a_limit_is_the_last_value_accepted(
    within: str, beyond: str, limits: Limits, advice: str
) -> None:
    assert parse(within, limits).tree
    with pytest.raises(ShapeError) as refused:
        parse(beyond, limits)
    assert advice in str(refused.value)


def test_the_default_limits_are_those_of_the_contract() -> None:
    assert Limits() == Limits(max_bytes=4096, max_paths=256, max_depth=16)
    assert parse("x" * 4096).tree
    assert len(parse(",".join(f"p{n}" for n in range(256))).tree) == 256
    assert parse(".".join("a" * 16)).tree
    for beyond in ("x" * 4097, ",".join("a" * 257), ".".join("a" * 17)):
        with pytest.raises(ShapeError):
            parse(beyond)


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        (",".join(f"path{n}" for n in range(10_000)), Limits()),
        (",".join(f"path{n}" for n in range(10_000)), dataclasses.replace(ROOMY, max_paths=256)),
        (".".join("a" * 10_000), Limits()),
        (".".join("a" * 10_000), dataclasses.replace(ROOMY, max_depth=16)),
        ("é" * 5_000_000, Limits()),
        ("a," * 5_000_000, Limits()),
        ("." * 5_000_000, Limits()),
        ("\x00" * 5_000_000, Limits()),
    ],
    ids=["paths", "paths-only", "depth", "depth-only", "bytes", "commas", "dots", "controls"],
)
def test_pitfall_18_a_shape_bomb_is_refused_without_being_taken_apart(
    text: str, limits: Limits
) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ShapeError):
            parse(text, limits)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 2_000_000


def test_pitfall_18_depth_needs_no_recursion_even_when_the_limit_allows_it() -> None:
    text = ".".join("a" * 10_000)
    shape = parse(text, ROOMY)
    assert shape.canonical == text


def test_roots_are_the_first_names() -> None:
    shape = parse("User.Id,User.FullName,Profiles[].Id,Bootstrap")
    assert shape.tree.keys() == {"User", "Profiles", "Bootstrap"}
    assert not shape.is_everything
    assert shape.names("Profiles")
    assert not shape.names("RelatedProfiles")
    assert not shape.names("Id")


def test_the_empty_shape_names_every_root() -> None:
    shape = parse("")
    assert shape.is_everything
    assert not shape.tree
    assert shape.names("RelatedProfiles")


def test_a_shape_is_an_immutable_value() -> None:
    shape = parse("b,a.c")
    assert {shape: "entry"}[parse("a.c , b")] == "entry"
    assert shape != parse("b,a.d")
    assert repr(shape) == "Shape(canonical='a.c,b')"
    field = dataclasses.fields(Shape)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(shape, field, "Id")
