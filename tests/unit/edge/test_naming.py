"""Names of what stands in requests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.edge.naming import Names

PARTS = st.lists(st.binary(max_size=8).map(lambda text: text.replace(b"\0", b"")), min_size=1)
NAMES = Names()


@given(PARTS, PARTS)
def test_pitfall_5_parts_have_one_name_and_no_others_have_it(
    one: list[bytes], another: list[bytes]
) -> None:
    assert (NAMES.of(one) == NAMES.of(another)) is (one == another)


@pytest.mark.parametrize("parts", [(b"\0",), (b"a", b"b\0c"), (b"a\0", b"b")])
def test_what_holds_a_nul_has_no_name(parts: tuple[bytes, ...]) -> None:
    assert NAMES.of(parts) == b""


@given(PARTS)
def test_a_name_says_nothing_to_another_process(parts: list[bytes]) -> None:
    assert Names().of(parts) != Names().of(parts)
