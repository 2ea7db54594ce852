from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.nexudus.headers import VARIANT_LIMIT, RawHeaders, Variants

languages = st.one_of(
    st.sampled_from([b"de", b" de ", b"de, en;q=0.5", b"de,en;q=0.5", b"-", b"+de", b"\tde", b""]),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20).map(str.encode),
    st.binary(max_size=20),
    st.just(b"x" * 200),
)
timezones = st.one_of(
    st.sampled_from([b"true", b"True ", b"FALSE", b"1", b"", b"true;al=+de"]), st.binary(max_size=6)
)
raw_headers = st.lists(
    st.one_of(
        st.tuples(st.sampled_from([b"accept-language", b"Accept-Language"]), languages),
        st.tuples(st.sampled_from([b"x-use-timezone", b"X-Use-Timezone"]), timezones),
        st.tuples(st.just(b"accept"), languages),
    ),
    max_size=5,
)


@given(raw_headers, raw_headers)
def test_pitfall_10_equal_keys_forward_equal_headers(one: RawHeaders, two: RawHeaders) -> None:
    first, second = Variants.of(one), Variants.of(two)
    assert (first.canonical == second.canonical) == (first.headers() == second.headers())
    assert (first.canonical == second.canonical) == (first == second)


def test_pitfall_10_no_value_is_taken_for_an_absent_one() -> None:
    languages = [Variants(accept_language=value) for value in (None, "-", "+", "None", "+-")]
    timezones = [Variants(use_timezone=value) for value in (None, "true", "false")]
    texts = [variants.canonical for variants in (*languages, *timezones[1:])]
    assert len(set(texts)) == len(texts)


@given(raw_headers)
def test_what_is_forwarded_is_its_own_normal_form(headers: RawHeaders) -> None:
    variants = Variants.of(headers)
    assert Variants.of(variants.headers()) == variants
    for _, value in variants.headers():
        assert 0 < len(value) <= VARIANT_LIMIT
        assert value.isascii()
        assert value.decode().isprintable()
        assert value == value.strip()


@given(raw_headers)
def test_other_headers_do_not_matter(headers: RawHeaders) -> None:
    only = [pair for pair in headers if pair[0] != b"accept"]
    assert Variants.of(headers) == Variants.of(only)


@pytest.mark.parametrize(
    ("sent", "forwarded"),
    [
        ([b" de-CH, de;q=0.9 "], b"de-CH, de;q=0.9"),
        ([b"de", b"en"], b"de, en"),
        ([b"de", b" "], b"de"),
        ([b"d" * VARIANT_LIMIT], b"d" * VARIANT_LIMIT),
    ],
)
def test_a_language_is_trimmed_and_joined(sent: list[bytes], forwarded: bytes) -> None:
    variants = Variants.of([(b"Accept-Language", value) for value in sent])
    assert variants.headers() == [(b"accept-language", forwarded)]


@pytest.mark.parametrize(
    "sent", [b"d" * (VARIANT_LIMIT + 1), b"d\xc3\xa9", b"de\ten", b"\x7f", b""]
)
def test_an_unusual_language_is_not_forwarded(sent: bytes) -> None:
    assert Variants.of([(b"accept-language", sent)]) == Variants()


@pytest.mark.parametrize(
    ("sent", "forwarded"), [(b"true", b"true"), (b" TRUE", b"true"), (b"False", b"false")]
)
def test_the_timezone_switch_is_lower_cased(sent: bytes, forwarded: bytes) -> None:
    assert Variants.of([(b"x-use-timezone", sent)]).headers() == [(b"x-use-timezone", forwarded)]


@pytest.mark.parametrize("sent", [[b"1"], [b"yes"], [b"true", b"false"], [b"tr\xc3\xbce"], [b""]])
def test_any_other_timezone_switch_is_not_forwarded(sent: list[bytes]) -> None:
    assert Variants.of([(b"x-use-timezone", value) for value in sent]) == Variants()


@pytest.mark.parametrize(
    ("language", "timezone"),
    [("", None), (" de", None), ("d\xe9", None), ("x" * 129, None), (None, "True"), (None, "1")],
)
def test_variants_are_never_built_in_another_form(
    language: str | None, timezone: str | None
) -> None:
    with pytest.raises(ValueError, match=r"accept_language|use_timezone"):
        Variants(language, timezone)
