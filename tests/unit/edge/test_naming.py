"""Names of what stands in requests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.edge.naming import Names

PARTS = st.lists(st.binary(max_size=8).map(lambda text: text.replace(b"\0", b"")), min_size=1)
VALUES = st.text("\0a", max_size=3).map(str.encode)
"""Few enough that they are the same, and read as one another's parts, again and again."""
NAMES = Names()


@given(PARTS, PARTS)
def test_pitfall_5_parts_have_one_name_and_no_others_have_it(
    one: list[bytes], another: list[bytes]
) -> None:
    assert (NAMES.of(one) == NAMES.of(another)) is (one == another)


@pytest.mark.parametrize("parts", [(b"\0",), (b"a", b"b\0c"), (b"a\0", b"b")])
def test_what_holds_a_nul_has_no_name(parts: tuple[bytes, ...]) -> None:
    assert NAMES.of(parts) == b""


@given(st.lists(st.tuples(VALUES, VALUES), min_size=1))
def test_pitfall_5_what_is_looked_up_is_found_by_nobody_else(
    pairs: list[tuple[bytes, bytes]],
) -> None:
    """Also by those that hold a NUL, and so were never given a name."""
    named, asked = [one for one, _ in pairs], [another for _, another in pairs]
    name = NAMES.of(named)
    assert name == (b"" if b"\0" in b"".join(named) else NAMES.known(named))
    assert (NAMES.known(asked) == name) is (bool(name) and asked == named)


@given(PARTS)
def test_a_name_says_nothing_to_another_process(parts: list[bytes]) -> None:
    assert Names().of(parts) != Names().of(parts)
