"""Raw request headers and the bearer token."""

from __future__ import annotations

import pytest

from bff.edge.headers_in import MAX_BEARER, bearer, check_framing, combined, single
from bff.errors import CredentialsError, HeaderError


def authorization(*values: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"app.example"), *((b"authorization", value) for value in values)]


def test_a_single_header_is_found_in_any_case_and_trimmed() -> None:
    headers = [(b"Content-Length", b" 12\t"), (b"x-content-length", b"9")]
    assert single(headers, b"content-length") == "12"
    assert single(headers, b"CONTENT-LENGTH") == "12"
    assert single(headers, b"host") is None
    assert single([(b"host", b"")], b"host") == ""


@pytest.mark.parametrize("second", [b"12", b"13", b""])
def test_pitfall_16_a_repeated_single_header_is_refused(second: bytes) -> None:
    headers = [(b"content-length", b"12"), (b"Content-Length", second)]
    with pytest.raises(HeaderError) as refused:
        single(headers, b"content-length")
    assert str(refused.value) == "The Content-Length header is sent more than once; send it once."


@pytest.mark.parametrize(
    "value", [b"caf\xc3\xa9", b"a\x00b", b"a\tb", b"a\r\nb", b"a\x7f", b"\xff"]
)
def test_pitfall_16_a_byte_outside_printable_ascii_is_refused(value: bytes) -> None:
    with pytest.raises(HeaderError) as refused:
        single([(b"host", value)], b"host")
    assert str(refused.value) == "The Host header holds a byte outside printable ASCII."


def test_the_lines_of_a_list_header_are_one_list() -> None:
    headers = [(b"accept-encoding", b"br "), (b"host", b"x"), (b"Accept-Encoding", b" gzip;q=0.5")]
    assert combined(headers, b"accept-encoding") == "br, gzip;q=0.5"
    assert combined(headers, b"if-none-match") is None
    assert combined([(b"if-none-match", b'"\xe9"')], b"if-none-match") == '"\xe9"'


@pytest.mark.parametrize(
    ("value", "token"),
    [
        (b"Bearer abc", "abc"),
        (b"bearer abc", "abc"),
        (b"BEARER   abc==", "abc=="),
        (b" Bearer abc ", "abc"),
        (b"Bearer AZaz09-._~+/=", "AZaz09-._~+/="),
        (b"Bearer " + b"a" * MAX_BEARER, "a" * MAX_BEARER),
    ],
)
def test_a_bearer_token_is_taken_from_the_authorization_header(value: bytes, token: str) -> None:
    assert bearer(authorization(value)) == token


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"Bearer",
        b"Bearer ",
        b"Bearerabc",
        b"Bearer\tabc",
        b"Basic abc",
        b"abc",
        b"Bearer abc def",
        b"Bearer abc,",
        b"Bearer abc, Bearer def",
        b"Bearer =",
        b"Bearer a=b",
        b"Bearer caf\xc3\xa9",
        b'Bearer "abc"',
        b"Bearer abc\x00",
        b"Bearer " + b"a" * (MAX_BEARER + 1),
    ],
)
def test_a_malformed_authorization_header_is_no_credentials(value: bytes) -> None:
    with pytest.raises(CredentialsError):
        bearer(authorization(value))


def test_a_caller_without_authorization_is_told_what_to_send() -> None:
    with pytest.raises(CredentialsError, match="Authorization: Bearer <token>"):
        bearer(authorization())


def test_pitfall_16_two_authorization_headers_are_no_credentials() -> None:
    with pytest.raises(CredentialsError, match="more than once"):
        bearer(authorization(b"Bearer abc", b"Bearer abc"))


def test_pitfall_6_no_refusal_quotes_the_header() -> None:
    canary = b"canary0eyJhbGciOi"
    refused_values = [
        [canary],
        [b"Basic " + canary],
        [b"Bearer " + canary + b"\xff"],
        [b"Bearer " + canary + b" x"],
        [b"Bearer " + canary * 1000],
        [b"Bearer " + canary, b"Bearer " + canary],
    ]
    for values in refused_values:
        with pytest.raises(CredentialsError) as refused:
            bearer(authorization(*values))
        assert canary.decode() not in str(refused.value)
        assert refused.value.__cause__ is None


LENGTH, CODING = b"Content-Length", b"Transfer-Encoding"


@pytest.mark.parametrize(
    "fields",
    [[], [(LENGTH, b"12")], [(CODING, b"chunked")], [(b"transfer-encoding", b" Chunked\t")]],
)
def test_one_framing_is_accepted(fields: list[tuple[bytes, bytes]]) -> None:
    check_framing([(b"host", b"app.example"), *fields])


@pytest.mark.parametrize(
    "fields",
    [
        [(LENGTH, b"12"), (b"content-length", b"12")],
        [(LENGTH, b"12"), (LENGTH, b"13")],
        [(LENGTH, b"12"), (CODING, b"chunked")],
        [(b"transfer-encoding", b"chunked"), (LENGTH, b"0")],
        [(CODING, b"chunked"), (CODING, b"chunked")],
        [(CODING, b"identity"), (CODING, b"chunked")],
        [(CODING, b"chunked, chunked")],
        [(CODING, b"gzip, chunked")],
        [(CODING, b"xchunked")],
        [(CODING, b"chunked;q=1")],
        [(CODING, b"\x0bchunked")],
        [(CODING, b"")],
    ],
)
def test_pitfall_15_a_second_framing_is_refused(fields: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(HeaderError):
        check_framing([(b"host", b"app.example"), *fields])
