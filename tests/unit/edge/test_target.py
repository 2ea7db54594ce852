"""Request targets, our own query parameters and coworker ids."""

from __future__ import annotations

import httpx
import pytest

from bff.edge.target import (
    MAX_COWORKER_ID,
    MAX_PARAMETERS,
    MAX_TARGET,
    MAX_VALUE,
    check_path,
    check_target,
    coworker_id,
    parse_query,
)
from bff.errors import ParameterError, ShapeError, TargetError
from tests.unit.edge.conftest import CpuSeconds

OURS = frozenset({"_shape", "coworkerId"})
KNOWN = "This route takes `_shape`, `coworkerId`."


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (b"/", b""),
        (b"/api/public/coworkers/profiles", b"_shape=User.Id,Profiles%5B%5D.Id"),
        (b"/api/public/coworkers/profiles/", b""),
        (b"/en/coworker/setCurrentProfile", b"id=1&&x"),
        (b"/api/%D8%A7/caf%c3%a9%20x", b"q=%00%0A%ff&filter[x]={1}|\\^`'"),
        (b"/.well-known/a..b/...c/.d", b""),
        (b"/a;v=1/b;x.js", b""),  # path parameters are the upstream's business
        (b"/api/%252f..%252e/x%255c", b""),  # literal text after the one decoding
        (b"/%20/x", b""),
        (b"/a|b^[c]~!$&'()*+,=:@", b"a=?/../.."),
    ],
)
def test_a_plain_target_is_kept_byte_for_byte(path: bytes, query: bytes) -> None:
    target = check_target(path, query)
    assert (target.path, target.query) == (path.decode(), query.decode())
    assert str(target) == (path + b"?" + query if query else path).decode()


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (b"", "start with"),
        (b"*", "start with"),
        (b"api/public", "start with"),
        (b"http://evil.example/api", "start with"),
        (b"@evil.example/", "start with"),
        (b"\\\\evil.example", "start with"),
        (b"//evil.example/api", "//"),
        (b"/api//public", "//"),
        (b"/api/public//", "//"),
        (b"/..", "dot segment"),
        (b"/api/./x", "dot segment"),
        (b"/api/../x", "dot segment"),
        (b"/api/%2e/x", "dot segment"),
        (b"/api/%2E%2e", "dot segment"),
        (b"/api/.%2e/x", "dot segment"),
        (b"/api/..;x=1/admin", "dot segment"),
        (b"/api/..%3bx/admin", "dot segment"),
        (b"/api/.../x", "dot segment"),
        (b"/api/..%20/x", "dot segment"),
        (b"/api/%20../x", "dot segment"),
        (b"/api%2fx", "slash"),
        (b"/api%2Fx", "slash"),
        (b"/api/..%2f", "slash"),
        (b"/api%5cx", "slash"),
        (b"/api%5Cx", "slash"),
        (b"/api\\x", "backslash"),
        (b"/api%3fx", "encoded `?`"),
        (b"/api%3Fx", "encoded `?`"),
        (b"/api%23x", "encoded `?` or `#`"),
        (b"/api?x", "percent-encoded"),
        (b"/api#x", "percent-encoded"),
        (b"/a b", "percent-encoded"),
        (b'/a"<>`{}', "percent-encoded"),
        (b"/a\x00", "control"),
        (b"/a\r\nHost: x", "control"),
        (b"/a\x7f", "control"),
        (b"/a%00", "encoded control"),
        (b"/a%0d%0a", "encoded control"),
        (b"/a%7F", "encoded control"),
        (b"/a%C2%85", "encoded control"),
        (b"/caf\xc3\xa9", "outside ASCII"),
        (b"/a%", "two hex digits"),
        (b"/a%2", "two hex digits"),
        (b"/a%zz", "two hex digits"),
        (b"/a%u002f", "two hex digits"),
        (b"/a%c0%af..", "UTF-8"),  # an overlong `/`
        (b"/a%ff", "UTF-8"),
    ],
)
def test_pitfall_9_a_path_that_could_be_read_in_two_ways_is_refused(
    path: bytes, reason: str
) -> None:
    with pytest.raises(TargetError) as refused:
        check_target(path, b"")
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        (b"a=\x00", "control"),
        (b"a=\r\nx", "control"),
        (b"a=\xc3\xa9", "outside ASCII"),
        (b"a b", "percent-encoded"),
        (b"a#b", "percent-encoded"),
        (b'a="<>', "percent-encoded"),
        (b"a=100%", "two hex digits"),
        (b"a=%u0041", "two hex digits"),
    ],
)
def test_pitfall_16_a_query_that_would_be_altered_on_its_way_is_refused(
    query: bytes, reason: str
) -> None:
    with pytest.raises(TargetError, match=reason):
        check_target(b"/api", query)


@pytest.mark.parametrize(
    "path", [b"/@evil.example/x", b"/:80@evil.example/x", b"/:8080/", b"/evil.example:80", b"/;@x/"]
)
def test_pitfall_17_a_path_that_looks_like_a_host_stays_a_path(path: bytes) -> None:
    url = httpx.URL(f"https://space.spaces.nexudus.com{check_target(path, b'')}")
    assert (url.host, url.port, url.userinfo) == ("space.spaces.nexudus.com", None, b"")
    assert url.raw_path == path


def test_an_over_long_target_is_refused() -> None:
    path, query = b"/" + b"a" * 99, b"b" * (MAX_TARGET - 101)
    assert check_target(path, query).query == query.decode()
    with pytest.raises(ParameterError, match="longer"):
        check_target(path, query + b"b")
    with pytest.raises(TargetError, match="longer"):
        check_target(b"/" + b"a" * MAX_TARGET, query)
    assert len(check_path(b"/" + b"a" * (MAX_TARGET - 1))) == MAX_TARGET
    with pytest.raises(TargetError, match="longer"):
        check_path(b"/" + b"a" * MAX_TARGET)


@pytest.mark.parametrize(
    "hostile",
    [b"/" + b"." * 8000 + b"x", b"/" + b"%20" * 2600 + b"x", b"/.a" * 2700, b"/;." * 2700],
)
def test_a_hostile_path_costs_no_more_than_its_length(hostile: bytes, cpu_s: CpuSeconds) -> None:
    assert check_path(hostile) == hostile.decode()
    assert cpu_s(lambda: check_path(hostile)) < 0.03


def test_pitfall_6_a_refusal_never_quotes_the_target() -> None:
    canary = b"canary0eyJhbGciOi"
    for path, query in [
        (b"/a/../" + canary, b""),
        (b"/" + canary + b"%", b""),
        (b"/", canary + b"#"),
    ]:
        with pytest.raises(TargetError) as refused:
            check_target(path, query)
        assert canary.decode() not in str(refused.value)


def test_parameters_are_decoded_as_a_form() -> None:
    assert parse_query(b"_shape=User.Id%2C+Profiles%5B%5D.Id&coworkerId=101", OURS) == {
        "_shape": "User.Id, Profiles[].Id",
        "coworkerId": "101",
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"", {}),
        (b"&&", {}),
        (b"_shape", {"_shape": ""}),
        (b"_shape=", {"_shape": ""}),
        (b"%5Fshape=a=b", {"_shape": "a=b"}),
        (b"&_shape=caf%C3%A9&", {"_shape": "caf\xe9"}),
        (b"_shape=a%2Bb%26c", {"_shape": "a+b&c"}),
    ],
)
def test_a_query_may_be_sparse(query: bytes, expected: dict[str, str]) -> None:
    assert parse_query(query, OURS) == expected


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        (b"_shap=a", "The parameter `_shap` is unknown; did you mean `_shape`?"),
        (b"_SHAPE=a", "The parameter `_SHAPE` is unknown; did you mean `_shape`?"),
        (b"coworkerid=1", "The parameter `coworkerid` is unknown; did you mean `coworkerId`?"),
        (b"zzz=a", f"The parameter `zzz` is unknown. {KNOWN}"),
        (b"z" * 24, f"The parameter `{'z' * 24}` is unknown. {KNOWN}"),
        (b"z" * 25, f"The query has an unknown parameter. {KNOWN}"),
        (b"=a", f"The query has an unknown parameter. {KNOWN}"),
        (
            b"%0d%0a=a",
            f"The query has an unknown parameter. {KNOWN}",
        ),
        (b"_shape=a&_shape=a", "The parameter `_shape` is sent more than once; send it once."),
        (b"_shape=a&%5fshape=", "The parameter `_shape` is sent more than once; send it once."),
        (b"_shape=%", "The query holds `%` without two hex digits after it."),
        (b"_shape=%f", "The query holds `%` without two hex digits after it."),
        (b"_shape=%ff", "The query does not decode to UTF-8."),
        (b"%c0%af=1", "The query does not decode to UTF-8."),
        (b"_shape=\xc3\xa9", "The query holds a byte outside ASCII; percent-encode it."),
        (b"_shape=\x00", "The query holds a control character."),
    ],
)
def test_a_parameter_that_cannot_be_used_is_refused_with_a_sentence(
    query: bytes, sentence: str
) -> None:
    with pytest.raises(ParameterError) as refused:
        parse_query(query, OURS)
    assert str(refused.value) == sentence


def test_a_route_without_parameters_says_so() -> None:
    with pytest.raises(ParameterError, match="This route takes none"):
        parse_query(b"a=1", frozenset())


def test_pitfall_18_more_parameters_than_the_limit_are_refused() -> None:
    names = [f"p{index}" for index in range(MAX_PARAMETERS + 1)]
    allowed = frozenset(names)
    assert len(parse_query("&".join(names[:-1]).encode(), allowed)) == MAX_PARAMETERS
    with pytest.raises(ParameterError, match="more than 32"):
        parse_query("&".join(names).encode(), allowed)
    with pytest.raises(ParameterError, match="more than 32"):
        parse_query(b"&" * 1_000_000, allowed)


def test_pitfall_18_an_over_long_value_is_refused_as_what_it_is() -> None:
    longest = b"a" * MAX_VALUE
    assert parse_query(b"_shape=" + longest, OURS) == {"_shape": longest.decode()}
    with pytest.raises(ShapeError, match=r"longer than 16384 bytes as sent: .*_shape=@name"):
        parse_query(b"_shape=" + longest + b"a", OURS)
    with pytest.raises(ParameterError, match="longer"):
        parse_query(b"coworkerId=" + longest + b"a", OURS)


def test_pitfall_6_a_token_pasted_as_a_name_is_not_quoted() -> None:
    canary = "canary0eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9"
    for query in (canary, f"_shape={canary}%", f"_shape={canary}&_shape={canary}"):
        with pytest.raises(ParameterError) as refused:
            parse_query(query.encode(), OURS)
        assert canary not in str(refused.value)


@pytest.mark.parametrize("number", [1, 101, 2**53 + 1, MAX_COWORKER_ID])
def test_a_coworker_id_is_a_64_bit_number_above_zero(number: int) -> None:
    assert coworker_id(str(number)) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "01",
        "-1",
        "+1",
        " 1",
        "1 ",
        "1\n",
        "1.0",
        "1e3",
        "0x1",
        "1_000",
        "١",
        "profiles",
        "1;x.js",
        str(MAX_COWORKER_ID + 1),
        "9" * 19,
        "1" * 20,
        "1" * 10_000,
    ],
)
def test_pitfall_17_an_id_that_is_not_such_a_number_is_refused(text: str) -> None:
    with pytest.raises(TargetError):
        coworker_id(text)
