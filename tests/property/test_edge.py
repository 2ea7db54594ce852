"""Laws of the pure parts of the edge."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from typing import Final
from urllib.parse import quote, unquote, urlencode, urlsplit

import brotli  # type: ignore[import-untyped]
import httpx
import pytest
import zstandard
from hypothesis import assume, given
from hypothesis import strategies as st

from bff.edge.caching import (
    Hit,
    age,
    cache_status,
    merge_vary,
    private_cache_control,
    server_timing,
)
from bff.edge.compression import Encoding, compress, negotiate
from bff.edge.conditional import counted, etag, matches
from bff.edge.headers_in import bearer
from bff.edge.target import MAX_COWORKER_ID, check_target, coworker_id, parse_query
from bff.errors import CredentialsError, ParameterError, ShapeError, TargetError

TOKEN_CHARACTERS: Final = (
    "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

encodings = st.sampled_from(Encoding)
parts = st.lists(st.text(max_size=6), max_size=5)
representations = st.tuples(st.binary(max_size=12), encodings, parts)
blanks = st.text(" \t", max_size=2)
tokens = st.text(TOKEN_CHARACTERS, min_size=1, max_size=12)
latin1 = st.text(st.characters(max_codepoint=255), max_size=60)


# --- validators


Representation = tuple[bytes, Encoding, list[str]]


@given(representations, representations)
def test_pitfall_11_etags_are_equal_exactly_when_body_encoding_and_whose_they_are_is(
    one: Representation, another: Representation
) -> None:
    tags = [etag(body, encoding, counted(whose)) for body, encoding, whose in (one, another)]
    assert (tags[0] == tags[1]) is (one == another)


@st.composite
def two_cuts_of_one_text(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    text = draw(st.text(min_size=1, max_size=12))

    def cut() -> list[str]:
        at = sorted(draw(st.lists(st.integers(0, len(text)), max_size=4)))
        return [text[start:end] for start, end in pairwise([0, *at, len(text)])]

    return cut(), cut()


@given(two_cuts_of_one_text())
def test_pitfall_11_the_same_text_cut_elsewhere_is_anothers_etag(
    cuts: tuple[list[str], list[str]],
) -> None:
    one, other = cuts
    assert "".join(one) == "".join(other)
    assert (counted(one) == counted(other)) is (one == other)
    whose, body = "".join(one).encode(), b"body"
    assert etag(body, Encoding.BR, whose) != etag(whose + body, Encoding.BR)


opaque_tags = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters='"\x7f'), max_size=4
)


@st.composite
def validator_lists(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A well-formed `If-None-Match` and the opaque tags that it names."""
    tags = draw(st.lists(st.one_of(st.none(), opaque_tags), max_size=5))
    members = [
        "" if tag is None else draw(st.sampled_from(["", "W/"])) + f'"{tag}"' for tag in tags
    ]
    value = ",".join(draw(blanks) + member + draw(blanks) for member in members)
    return value, [tag for tag in tags if tag is not None]


@given(validator_lists(), opaque_tags, st.sampled_from(["", "W/"]))
def test_if_none_match_matches_exactly_the_tags_it_names(
    named: tuple[str, list[str]], tag: str, weak: str
) -> None:
    value, tags = named
    assert matches(value, f'{weak}"{tag}"') is (tag in tags)
    for listed in tags:
        assert matches(value, f'{weak}"{listed}"')


@given(
    validator_lists(), st.sampled_from(["x", '"', "*", 'w/"v"', "W/", '"v" "v"', "\n", '"\x00"'])
)
def test_one_malformed_member_makes_the_whole_value_match_nothing(
    named: tuple[str, list[str]], malformed: str
) -> None:
    value, tags = named
    for tag in [*tags, "v"]:
        assert not matches(f'"v",{value},{malformed}', f'"{tag}"')
        assert not matches(f'{malformed},{value},"v"', f'"{tag}"')


@given(latin1)
def test_arbitrary_text_never_matches_a_validator_that_is_not_in_it(text: str) -> None:
    tag = etag(text.encode(), Encoding.BR)
    assert matches(text, tag) is (text.strip(" \t") == "*")


# --- content codings

qvalues: Final[dict[str, Decimal]] = {
    text: Decimal(text)
    for text in ("0", "0.", "0.0", "0.001", "0.5", "0.50", "0.999", "1", "1.", "1.0", "1.000")
}
codings = st.sampled_from(["br", "zstd", "gzip", "x-gzip", "identity", "*", "deflate"])
malformed_members = st.sampled_from(
    ["br;q=2", "b r", "zstd;q=0.1234", "*;q=-1", "identity;q", "=", ""]
)


@st.composite
def accept_encodings(draw: st.DrawFn) -> tuple[str, list[tuple[str, Decimal]]]:
    """An `Accept-Encoding` and what its well-formed members say."""
    members: list[str] = []
    said: list[tuple[str, Decimal]] = []
    for _ in range(draw(st.integers(0, 6))):
        if draw(st.integers(0, 4)) == 0:
            members.append(draw(malformed_members))
            continue
        coding = draw(codings)
        qvalue = draw(st.one_of(st.none(), st.sampled_from(sorted(qvalues))))
        said.append((coding, Decimal(1) if qvalue is None else qvalues[qvalue]))
        spelled = draw(st.sampled_from([coding, coding.upper(), coding.title()]))
        weight = "" if qvalue is None else f"{draw(blanks)};{draw(blanks)}q={qvalue}"
        members.append(draw(blanks) + spelled + weight + draw(blanks))
    return ",".join(members), said


def reference(said: list[tuple[str, Decimal]]) -> Encoding:
    """RFC 9110 §12.5.3, rule by rule, without regard to cost."""
    best, best_q = Encoding.IDENTITY, Decimal(0)
    for encoding in (Encoding.BR, Encoding.ZSTD, Encoding.GZIP, Encoding.IDENTITY):
        names = {"gzip", "x-gzip"} if encoding is Encoding.GZIP else {encoding.value}
        explicit = [q for coding, q in said if coding in names]
        wildcard = [q for coding, q in said if coding == "*"]
        if explicit or wildcard:
            q = max(explicit or wildcard)
        else:
            q = Decimal("0.0001") if encoding is Encoding.IDENTITY else Decimal(0)
        if q > best_q:
            best, best_q = encoding, q
    return best


@given(accept_encodings())
def test_negotiation_agrees_with_a_slow_reading_of_the_rfc(
    header: tuple[str, list[tuple[str, Decimal]]],
) -> None:
    value, said = header
    assert negotiate(value) is (reference(said) if value else Encoding.IDENTITY)


@given(accept_encodings())
def test_the_order_of_the_members_does_not_matter(
    header: tuple[str, list[tuple[str, Decimal]]],
) -> None:
    value, _ = header
    assert negotiate(",".join(reversed(value.split(",")))) is negotiate(value)


@given(latin1)
def test_no_accept_encoding_breaks_the_negotiation(value: str) -> None:
    assert negotiate(value) in Encoding


DECODERS: Final[dict[Encoding, Callable[[bytes], bytes]]] = {
    Encoding.BR: brotli.decompress,
    Encoding.ZSTD: lambda body: zstandard.ZstdDecompressor().decompress(body),
    Encoding.GZIP: gzip.decompress,
    Encoding.IDENTITY: bytes,
}


@given(st.binary(max_size=2000), encodings)
def test_compression_is_deterministic_and_loses_nothing(body: bytes, encoding: Encoding) -> None:
    compressed = compress(body, encoding)
    assert DECODERS[encoding](compressed) == body
    assert compress(body, encoding) == compressed


# --- caching headers


def directives(value: str) -> set[str]:
    return {member.partition("=")[0].strip().lower() for member in value.split(",")}


upstream_directives = st.one_of(
    st.sampled_from(
        [
            "public",
            "s-maxage=600",
            "Private",
            'private="a, b"',
            "no-store",
            'no-cache="set-cookie, public"',
            "max-age=60",
            'max-age="5"',
            "max-age=x",
            "must-understand",
            "",
            'x="public, s-maxage=1"',
        ]
    ),
    tokens,
)


@given(st.one_of(st.none(), latin1, st.lists(upstream_directives).map(",".join)))
def test_pitfall_19_no_upstream_value_makes_an_answer_shareable(upstream: str | None) -> None:
    value = private_cache_control(upstream)
    names = directives(value)
    assert names & {"private", "no-store"}
    assert not names & {"public", "s-maxage", "must-understand", ""}
    assert re.fullmatch(r"[a-z-]+(=[0-9]+)?(, [a-z-]+(=[0-9]+)?)*", value)
    assert private_cache_control(value) == value


@given(st.lists(upstream_directives))
def test_pitfall_19_what_upstream_forbids_stays_forbidden(members: list[str]) -> None:
    names = directives(private_cache_control(",".join(members)))
    assert ("no-store" in names) >= ("no-store" in members)
    assert names & {"no-cache", "no-store"} or not any(m.startswith("no-cache=") for m in members)


@given(st.one_of(st.none(), latin1, st.lists(tokens).map(", ".join)))
def test_pitfall_19_vary_covers_the_caller_and_everything_upstream_named(
    upstream: str | None,
) -> None:
    value = merge_vary(upstream)
    names = [name.lower() for name in value.split(", ")]
    if value != "*":
        assert {"authorization", "origin"} <= set(names)
        assert {name.strip(" \t").lower() for name in (upstream or "").split(",")} - {""} <= set(
            names
        )
    assert len(set(names)) == len(names)
    assert merge_vary(value) == value


@given(st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=20))
def test_a_cache_status_reads_back_as_it_was_written(ttl_s: float, detail: str) -> None:
    assume(detail)
    if not re.fullmatch(r"[\x20-\x7e]+", detail):
        with pytest.raises(ValueError, match="detail"):
            cache_status(Hit(ttl_s=ttl_s, detail=detail))
        return
    written = re.fullmatch(
        r'bff; hit; ttl=(-?[0-9]{1,15}); detail=(?:([A-Za-z*][^\s";,]*)|"((?:[^"\\]|\\["\\])*)")',
        cache_status(Hit(ttl_s=ttl_s, detail=detail)),
    )
    assert written is not None
    assert (int(written[1]) < 0) is (ttl_s < 0)
    quoted = written[3]
    assert (written[2] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)) == detail


@given(st.dictionaries(tokens, st.floats(-1, 1e6), max_size=4), st.floats(-1, 1e12))
def test_timings_and_ages_are_never_negative(durations_ms: dict[str, float], age_s: float) -> None:
    assert 0 <= int(age(age_s)) <= 2**31
    timing = server_timing(durations_ms)
    read = dict(metric.split(";dur=") for metric in timing.split(", ")) if timing else {}
    assert list(read) == list(durations_ms)
    for name, duration_ms in durations_ms.items():
        assert float(read[name]) == pytest.approx(max(0.0, duration_ms), abs=0.051)


# --- request targets

HOST: Final = "space.spaces.nexudus.com"
nasty = st.lists(
    st.sampled_from(
        [
            *("/", "/", "/", ".", "..", "a", "x.css", "%2e", "%2E", "%2f", "%2F", "%5c", "%5C"),
            *("%00", "%0a", "%7f", "%", "%2", "%zz", "%u002f", "%25", "%252f", "%252e", "%3f"),
            *("%23", "%3b", "%20", "%c0%af", "%c3%a9", "%ff", "%c2%85", "%ef%bc%8f", "@", ":"),
            *(";", ";x=1", "?", "#", "\\", "[", "]", "|", "^", "{", "`", '"', "<", "'", "&", "="),
            *(" ", "\t", "\n", "\r", "\x00", "\x7f", "é", "//evil.example", "http:", "u:p@evil"),
            *("!", "$", "(", ")", "*", "+", ",", "~", "_", "-", "0"),
        ]
    ),
    max_size=8,
).map(lambda pieces: "".join(pieces).encode())
segments = st.text("abcXYZ019-_~!$&'()*+,;=:@é/. %", min_size=1, max_size=6).filter(
    lambda text: text.partition(";")[0].strip(" .") != "" and "/" not in text
)


def assert_kept(path: bytes, query: bytes) -> None:
    """What was accepted reaches the configured origin, byte for byte, for either parser."""
    target = check_target(path, query)
    url = httpx.URL(f"https://{HOST}{target}")
    assert (url.scheme, url.host, url.port, url.userinfo) == ("https", HOST, None, b"")
    assert url.raw_path == (path + b"?" + query if query else path)
    assert url.fragment == ""
    split = urlsplit(str(url))
    assert (split.scheme, split.netloc) == ("https", HOST)
    assert (split.path, split.query, split.fragment) == (path.decode(), query.decode(), "")
    # The upstream sees the same segments, before and after the one decoding.
    decoded = unquote(target.path, errors="strict").split("/")
    assert len(decoded) == target.path.count("/") + 1
    assert not {".", ".."} & {segment.partition(";")[0].strip() for segment in decoded}


@given(nasty, nasty)
def test_pitfall_17_an_accepted_target_keeps_host_path_and_query(path: bytes, query: bytes) -> None:
    for candidate in (path, b"/" + path):
        try:
            check_target(candidate, query)
        except TargetError:
            continue
        assert_kept(candidate, query)


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_pitfall_17_arbitrary_bytes_are_refused_or_kept(path: bytes, query: bytes) -> None:
    try:
        check_target(b"/" + path, query)
    except TargetError:
        return
    assert_kept(b"/" + path, query)


@given(st.lists(segments, max_size=5), st.dictionaries(st.text(max_size=5), st.text(max_size=5)))
def test_every_target_that_a_correct_client_builds_is_accepted(
    names: list[str], parameters: dict[str, str]
) -> None:
    path = "/" + "/".join(quote(name, safe="!$&'()*+,;=:@~") for name in names)
    assert_kept(path.encode(), urlencode(parameters).encode())


# --- our own parameters

OURS: Final = frozenset({"_shape", "coworkerId", "x"})


@given(st.dictionaries(st.sampled_from(sorted(OURS)), st.text(max_size=20)))
def test_a_form_encoded_query_reads_back_as_it_was_written(parameters: dict[str, str]) -> None:
    assert parse_query(urlencode(parameters).encode(), OURS) == parameters


@given(st.one_of(nasty, st.binary(max_size=40)))
def test_a_query_is_parsed_or_refused_by_name(query: bytes) -> None:
    try:
        parameters = parse_query(query, OURS)
    except (ParameterError, ShapeError):
        return
    assert set(parameters) <= OURS


@given(st.one_of(st.integers().map(str), st.text(max_size=25)))
def test_pitfall_17_a_coworker_id_has_one_spelling(text: str) -> None:
    try:
        number = coworker_id(text)
    except TargetError:
        assert not re.fullmatch(r"[1-9][0-9]*", text) or int(text) > MAX_COWORKER_ID
    else:
        assert str(number) == text
        assert 1 <= number <= MAX_COWORKER_ID


# --- credentials

CANARY: Final = "canary0eyJhbGciOi"


@given(st.binary(max_size=10), st.binary(max_size=10), st.integers(0, 2))
def test_pitfall_6_a_refused_authorization_is_never_quoted(
    before: bytes, after: bytes, times: int
) -> None:
    value = before + CANARY.encode() + after
    headers = [(b"authorization", value)] * times
    try:
        token = bearer(headers)
    except CredentialsError as refused:
        assert CANARY not in str(refused)
    else:
        assert times == 1
        assert token.encode() in value
        assert re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", token)


@given(st.from_regex(r"[A-Za-z0-9._~+/-]{1,40}={0,2}", fullmatch=True), st.integers(1, 3))
def test_every_b64token_is_accepted_unchanged(token: str, spaces: int) -> None:
    for scheme in ("Bearer", "bearer", "BEARER"):
        value = f"{scheme}{' ' * spaces}{token}".encode()
        assert bearer([(b"authorization", value)]) == token
