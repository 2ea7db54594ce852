"""Requests that operators ask about: read as one that comes, refused without a quotation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.errors import ParameterError, RequestError
from bff.ops.explaining.questions import Question, read_question, route
from bff.spaces import Space, SpaceTable

TABLE = SpaceTable.parse([("members.acme.example", "acme"), ("app.beta.example", "beta")])
ONE = SpaceTable.single(Space.parse("acme"))


async def routed(path: str, method: str = "GET", space: str | None = "acme") -> tuple[str, int]:
    path, _, query = path.partition("?")
    found = await route(Question(method, path, query, (), space), TABLE, 0.0)
    return found.exchange.route, found.refused


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (
            {"url": "https://members.acme.example/a?b=c#d", "headers": {"X-A": "b", "Host": "no"}},
            Question(
                "GET", "/a", "b=c", ((b"host", b"members.acme.example"), (b"x-a", b"b")), None
            ),
        ),
        (
            {"space": "beta", "path": "/a?b?c", "method": "put", "headers": {"x": ["1", "2"]}},
            Question("PUT", "/a", "b?c", ((b"x", b"1"), (b"x", b"2")), "beta"),
        ),
        ({"url": "http://x"}, Question("GET", "/", "", ((b"host", b"x"),), None)),
    ],
)
def test_a_question_is_a_request(asked: dict[str, object], found: Question) -> None:
    assert read_question(asked, TABLE) == found


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"url": "https://a", "path": "/"},
        {"url": "https://a", "space": "acme"},
        {"url": "https://a", "other": 1},
        {"url": "/a"},
        {"url": "ftp://a/"},
        {"url": "https://user:canary@a/"},
        {"url": "https://[/"},
        {"url": 7},
        {"path": "/a"},
        {"path": "a", "space": "acme"},
        {"path": "/a", "space": "gamma"},
        {"path": "/a", "space": "acme", "method": "TRACE"},
        {"path": "/a", "space": "acme", "method": 1},
        {"path": "/a", "space": "acme", "headers": ["canary"]},
        {"path": "/a", "space": "acme", "headers": {"a": 1}},
        {"path": "/a", "space": "acme", "headers": {"\u00fc": "canary"}},
    ],
)
def test_what_is_no_question_is_refused(asked: dict[str, object]) -> None:
    with pytest.raises(ParameterError) as refused:
        read_question(asked, TABLE)
    assert "canary" not in str(refused.value)


def test_the_only_space_need_not_be_named() -> None:
    assert read_question({"path": "/a"}, ONE).space == "acme"


@pytest.mark.parametrize(
    ("path", "method", "found"),
    [
        ("/session/bootstrap?_shape=Id", "GET", ("/session/bootstrap", 0)),
        ("/session/bootstrap", "POST", ("/session/bootstrap", 405)),
        ("/api/public/coworkers/profiles", "HEAD", ("/api/public/coworkers/profiles", 0)),
        ("/api/public/coworkers/profiles?page=2", "GET", ("forwarded", 0)),
        ("/api/public/coworkers/profiles", "PUT", ("forwarded", 0)),
        ("/elsewhere", "GET", ("unmatched", 404)),
    ],
)
async def test_it_goes_where_a_request_would(
    path: str, method: str, found: tuple[str, int]
) -> None:
    assert await routed(path, method) == found


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("path", "own"),
    [
        ("/healthz", True),
        ("/%68ealthz", True),
        ("/ops/api/whoami", True),
        ("/hooks/nexudus", True),
        ("/hooks/nexudus/acme", True),
        ("/healthz/", False),
        ("/opsy", False),
        ("/hooks", False),
        ("/api/metrics", False),
        ("/session/bootstrap", False),
    ],
)
async def test_what_is_about_the_gateway_is_nobodys(path: str, own: bool, method: str) -> None:
    headers = ((b"host", b"nobody.example"),)
    question = Question(method, path, "", headers, None if own else "acme")
    assert (await route(question, TABLE, 0.0)).own is own


json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "url": st.text() | st.from_regex(r"https?://[ -~]{0,40}"),
            "path": st.from_regex(r"/[ -~]{0,40}") | json,
            "space": st.sampled_from(["acme", "beta"]) | json,
            "method": st.sampled_from(["GET", "PUT"]) | json,
            "headers": st.dictionaries(st.text(), st.text(), max_size=3) | json,
        },
    )
)
async def test_whatever_is_asked_is_read_or_refused(asked: dict[str, object]) -> None:
    try:
        await route(read_question(asked, TABLE), TABLE, 0.0)
    except RequestError as refused:
        assert str(refused)
