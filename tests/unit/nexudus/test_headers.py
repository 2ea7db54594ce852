from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff import __version__
from bff.errors import HeaderError
from bff.nexudus.headers import (
    DOWN,
    UP,
    Header,
    RawHeaders,
    Variants,
    cached_request_headers,
    content_length,
    downward,
    upward,
    values_of,
)

HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-connection proxy-authenticate proxy-authorization te trailer "
    b"transfer-encoding upgrade".split()
)
NEVER_UP = (
    *HOP_BY_HOP,
    b"host",
    b"forwarded",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"x-real-ip",
    b"x-original-url",
    b"x-rewrite-url",
    b"x-http-method-override",
    b"x-http-method",
    b"x-method-override",
    b"expect",
    b"via",
)
NEVER_DOWN = (
    *HOP_BY_HOP,
    b"access-control-allow-origin",
    b"access-control-allow-credentials",
    b"server",
    b"x-powered-by",
    b"x-aspnet-version",
    b"strict-transport-security",
    b"alt-svc",
    b"cache-status",
    b"age",
    b"via",
)

names = st.one_of(
    st.sampled_from(sorted(UP | DOWN | set(NEVER_UP) | set(NEVER_DOWN))),
    st.binary(min_size=1, max_size=12),
)
cased = st.tuples(names, st.booleans()).map(lambda n: n[0].title() if n[1] else n[0])
values = st.one_of(
    st.sampled_from([b"1", b" a ", b"close, ETag", b"Authorization", b"x\r\ny: z", b"\x00", b""]),
    st.binary(max_size=12),
)
raw_headers = st.lists(st.tuples(cased, values), max_size=8)


def is_subsequence(part: list[Header], whole: RawHeaders) -> bool:
    rest = iter((name.lower(), value.strip(b" \t")) for name, value in whole)
    return all(pair in rest for pair in part)


@given(raw_headers)
def test_what_goes_up_is_allowed_unchanged_in_order_and_safe_to_write(headers: RawHeaders) -> None:
    try:
        kept = upward(headers)
    except HeaderError:
        assert any(
            len(values_of(headers, name)) > 1 for name in (b"authorization", b"content-length")
        )
        return
    whole = [pair for pair in kept if pair[0] != b"cookie"]
    assert is_subsequence(whole, headers)
    assert all(name in UP and not set(value) & set(b"\r\n\0") for name, value in kept)


@given(raw_headers)
def test_what_comes_down_is_allowed_unchanged_in_order_and_safe_to_write(
    headers: RawHeaders,
) -> None:
    kept = downward(headers)
    assert is_subsequence(kept, headers)
    assert all(name in DOWN and not set(value) & set(b"\r\n\0") for name, value in kept)


@given(raw_headers, st.sampled_from(sorted(UP)))
def test_a_header_named_by_connection_never_passes(headers: RawHeaders, name: bytes) -> None:
    once = [
        pair for pair in headers if pair[0].lower() not in (b"authorization", b"content-length")
    ]
    named = [*once, (b"CONNECTION", b"close ,\t" + name.upper() + b" , x"), (name, b"v")]
    assert values_of(upward([(name, b"v")]), name) == (b"v",)
    assert not values_of(upward(named), name)
    assert not values_of(downward(named), name)


@given(st.sampled_from(sorted(UP - {b"client_id"})), st.data())
def test_pitfall_16_a_name_with_underscores_does_not_pass(name: bytes, data: st.DataObject) -> None:
    places = [place for place, letter in enumerate(name) if letter == ord("-")]
    changed = data.draw(st.lists(st.sampled_from(places), min_size=1)) if places else []
    spelled = bytes(ord("_") if i in changed else letter for i, letter in enumerate(name))
    assert upward([(spelled, b"v")]) == ([] if changed else [(name, b"v")])


@pytest.mark.parametrize(
    "name", [b"X_Forwarded_For", b"X-Forwarded-For ", b"Accept\x00", b"acc ept", b"\xc3\xa9", b""]
)
def test_pitfall_16_a_name_that_is_no_token_does_not_pass(name: bytes) -> None:
    assert upward([(name, b"v")]) == []
    assert downward([(name, b"v")]) == []


@pytest.mark.parametrize("name", sorted(NEVER_UP))
def test_pitfall_16_never_goes_up(name: bytes) -> None:
    assert upward([(name, b"v"), (name.title(), b"v"), (name.upper(), b"v")]) == []


@pytest.mark.parametrize("name", sorted(NEVER_DOWN))
def test_never_comes_down(name: bytes) -> None:
    assert downward([(name, b"v"), (name.title(), b"v")]) == []


def test_pitfall_16_connection_authorization_takes_the_token_away() -> None:
    headers = [
        (b"Connection", b"Authorization"),
        (b"authorization", b"Bearer t"),
        (b"accept", b"a"),
    ]
    assert upward(headers) == [(b"accept", b"a")]


@pytest.mark.parametrize("name", [b"authorization", b"content-length"])
def test_pitfall_16_a_second_one_is_refused(name: bytes) -> None:
    with pytest.raises(HeaderError):
        upward([(name, b"1"), (b"accept", b"a"), (name.title(), b"1")])


def test_the_headers_of_the_portal_go_up() -> None:
    sent = [
        (b"Client_Id", b"nexudus.portal.a@b.c"),
        (b"Nx-App-Version", b"4.0.901"),
        (b"X-Use-Timezone", b"true"),
        (b"Range", b"bytes=0-1"),
    ]
    assert upward(sent) == [(name.lower(), value) for name, value in sent]


def test_cookies_that_http_2_has_split_go_up_as_one() -> None:
    sent = [
        (b"accept", b"a"),
        (b"cookie", b"a=1"),
        (b"range", b"r"),
        (b"Cookie", b"b=2; c=3"),
        (b"cookie", b"d=4"),
    ]
    assert upward(sent) == [
        (b"accept", b"a"),
        (b"cookie", b"a=1; b=2; c=3; d=4"),
        (b"range", b"r"),
    ]


def test_cookies_come_down_each_for_itself_and_in_order() -> None:
    sent = [(b"Set-Cookie", b"a=1; Path=/"), (b"ETag", b'"e"'), (b"Set-Cookie", b"b=2")]
    assert downward(sent) == [(name.lower(), value) for name, value in sent]


def test_a_length_beside_a_transfer_encoding_does_not_come_down() -> None:
    headers = [(b"Content-Length", b"5"), (b"Transfer-Encoding", b"chunked")]
    assert downward(headers) == []
    assert downward(headers[:1]) == [(b"content-length", b"5")]


@pytest.mark.parametrize("value", [b"", b"-1", b"+1", b"0x1", b"1, 1", b"1_0", b"\xb2", b"9" * 19])
def test_a_malformed_length_is_refused(value: bytes) -> None:
    with pytest.raises(HeaderError):
        content_length([(b"Content-Length", value)])


def test_two_lengths_are_refused() -> None:
    with pytest.raises(HeaderError):
        content_length([(b"content-length", b"5"), (b"content-length", b"5")])


@given(st.integers(0, 10**17))
def test_a_length_is_read(length: int) -> None:
    assert content_length([(b"Content-Length", b" %d " % length)]) == length


def test_no_length_is_none() -> None:
    assert content_length([(b"content-type", b"a/b")]) is None


def test_pitfall_10_a_cached_call_carries_nothing_of_the_client_but_token_and_variants() -> None:
    variants = Variants("de", "true")
    assert cached_request_headers("t0ken", variants) == [
        (b"authorization", b"Bearer t0ken"),
        (b"accept", b"application/json"),
        (b"accept-encoding", b"gzip, br, zstd"),
        (b"user-agent", f"bff/{__version__}".encode()),
        (b"accept-language", b"de"),
        (b"x-use-timezone", b"true"),
    ]
    assert len(cached_request_headers("t0ken", Variants())) == 4
