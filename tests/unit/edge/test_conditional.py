"""ETags and `If-None-Match`."""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from hashlib import blake2b

import pytest

from bff.edge.compression import Encoding
from bff.edge.conditional import MAX_IF_NONE_MATCH, counted, etag, matches
from tests.unit.edge.conftest import CpuSeconds

TAG = etag(b"body", Encoding.BR, b"whose")


def test_an_etag_is_a_quoted_url_safe_text_that_ends_in_its_encoding() -> None:
    assert re.fullmatch(r'"[A-Za-z0-9_-]{22}-br"', TAG)


def test_the_same_representation_has_the_same_etag_on_every_machine() -> None:
    prefixed = b"\0\0\0\0\0\0\0\x01abc"
    digest = urlsafe_b64encode(blake2b(prefixed, digest_size=16).digest()).decode().rstrip("=")
    assert etag(b"bc", Encoding.GZIP, b"a") == f'"{digest}-gzip"'


def test_pitfall_11_every_encoding_has_its_own_validator() -> None:
    assert len({etag(b"body", encoding) for encoding in Encoding}) == len(Encoding)


def test_pitfall_11_the_boundary_between_parts_counts() -> None:
    cuts = [["ab"], ["a", "b"], ["", "ab"], ["ab", ""], ["", "a", "b"]]
    assert len({etag(b"", Encoding.BR, counted(parts)) for parts in cuts}) == len(cuts)
    assert etag(b"ab", Encoding.BR, b"c") != etag(b"b", Encoding.BR, b"ca")


@pytest.mark.parametrize(
    "value",
    [
        TAG,
        f"W/{TAG}",
        "*",
        " * ",
        f'"other", {TAG}',
        f'{TAG}, "other"',
        f'"a,b" , ,\tW/"x" ,{TAG},',
        f'"", {TAG}',
        f'"caf\xe9", {TAG}',
    ],
)
def test_a_value_that_names_the_validator_matches(value: str) -> None:
    assert matches(value, TAG)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        " ",
        ",,",
        '"other"',
        TAG.strip('"'),  # not quoted
        TAG[:-1],  # not closed
        f"w/{TAG}",  # the mark of weakness is an upper-case W
        f"W/ {TAG}",
        f"W/W/{TAG}",
        f"{TAG} {TAG}",  # no comma
        f"{TAG}; q=1",
        f"{TAG}, *",
        f"*, {TAG}",
        f"{TAG}, garbage",
        f"garbage, {TAG}",
        f'"a b", {TAG}',  # a blank is no etagc
        f'"\x7f", {TAG}',
        f"{TAG}\n",
        f'"x{TAG}',
    ],
)
def test_a_value_that_does_not_name_it_or_is_malformed_anywhere_does_not_match(
    value: str | None,
) -> None:
    assert not matches(value, TAG)


def test_the_comparison_is_weak_in_both_directions() -> None:
    assert matches('"v"', 'W/"v"')
    assert matches('W/"v"', '"v"')


def test_pitfall_11_the_validator_of_one_encoding_never_matches_that_of_another() -> None:
    assert not matches(etag(b"body", Encoding.GZIP), etag(b"body", Encoding.BR))


def test_a_value_past_the_limit_matches_nothing() -> None:
    padding = " " * (MAX_IF_NONE_MATCH - len(TAG))
    assert matches(TAG + padding, TAG)
    assert not matches(TAG + padding + " ", TAG)


@pytest.mark.parametrize(
    "hostile", [" " * 8191 + "x", '"' * 8191, '"' + "a" * 8190, ",W/" * 2730, ', "a' * 2000]
)
def test_a_hostile_value_costs_no_more_than_its_length(hostile: str, cpu_s: CpuSeconds) -> None:
    assert not matches(hostile, TAG)
    assert cpu_s(lambda: matches(hostile, TAG)) < 0.03
