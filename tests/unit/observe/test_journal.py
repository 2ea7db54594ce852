"""What the journal shows of a shape: the names of fields, and nothing that may be a secret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.observe.journal import MOST_SHAPES, OTHER_SHAPE, SHAPE_TEXT, Journal, tellable
from bff.shape import DEFAULTS, parse

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.c2lnbmF0dXJl"
HEXADECIMAL = "0123456789abcdef"


@pytest.mark.parametrize(
    "shape",
    [
        "@portal",
        "@with-a-dash_2",
        "",
        "User.Id",
        "Profiles[].FullName,User.base64avatar",
        "RelatedProfiles.Address2",
        *(parse(text).canonical for text in DEFAULTS.values()),
    ],
)
def test_fields_and_configured_names_are_told(shape: str) -> None:
    assert tellable(shape) == shape[:SHAPE_TEXT]


@pytest.mark.parametrize(
    "secret",
    [
        JWT,
        JWT.partition(".")[0],
        "a1" * 32,
        "abcdef" * 7,  # of letters only, but too long for a name
        "a" * 40,
        "f3a9c2d4e5b60718293a4b5c6d7e8f90",
        "v8hNJebN2QmW7xKtLpR4sYcZ1aB6dE9g",
        "4c4dd3d3-21c0-4e55-b7b0-6f1c7c6f2a10",
        "jane@example",
        "+49 170 1234567",
        "Jane Doe",
        "User\u00e9",
    ],
)
@pytest.mark.parametrize("form", ["{}", "User.Id,{}", "{}.Id", "User.{}[]"])
def test_pitfall_6_what_may_be_a_secret_is_not(secret: str, form: str) -> None:
    assert tellable(form.format(secret)) == OTHER_SHAPE


@given(
    st.text(HEXADECIMAL, min_size=40, max_size=64)
    | st.binary(min_size=30, max_size=48).map(bytes.hex)
)
def test_pitfall_6_hexadecimal_tokens_are_never_told(token: str) -> None:
    assert tellable(token) == OTHER_SHAPE
    assert tellable(f"Id,{token}.Id") == OTHER_SHAPE


def test_secrets_are_counted_as_one_shape() -> None:
    journal = Journal()
    for shape in (JWT, "a1" * 32, "User.Id", "@portal"):
        journal.shape("acme", shape, 10, 5)
    told = {use.shape: (use.uses, use.bytes, use.saved) for use in journal.take_shapes()}
    assert told == {"~other": (2, 20, 10), "User.Id": (1, 10, 5), "@portal": (1, 10, 5)}


@pytest.mark.parametrize("other", [(), ("a1" * 32,)])
def test_where_there_is_no_room_only_known_shapes_are_counted(other: tuple[str, ...]) -> None:
    journal = Journal()
    known = [*other, *(f"Field{at}" for at in range(MOST_SHAPES - len(other)))]
    for shape in (*known, "One.More", *known, JWT):
        journal.shape("acme", shape, 10, 5)
    told = {use.shape: use.uses for use in journal.take_shapes()}
    expected = dict.fromkeys(known, 2)
    if other:
        expected[OTHER_SHAPE] = expected.pop(other[0]) + 1
    assert told == expected
