"""From an answer of Nexudus to what may be stored."""

from __future__ import annotations

import codecs
import json
import secrets
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.errors import UnusableAnswer
from bff.nexudus.answers import Answer
from bff.resources import PROFILES, RELATED, Resource
from bff.session.interpret import Good, Refusal, interpret

TOKEN = "canary-token.of~a+member/=="
LISTED: dict[str, Any] = {
    "User": {"Id": 7001, "AccessToken": TOKEN, "FullName": "Jane"},
    "DefaultBusiness": None,
    "Profiles": [{"Id": 101, "IsDefaultProfile": True}],
}
OTHERS = {"RelatedProfiles": [{"Id": 202}], "Threads": []}

names = st.text(max_size=8).filter(lambda name: name != "AccessToken")
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=8)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def answer(body: bytes, status: int = 200, /, **headers: str) -> Answer:
    raw = [
        (name.replace("_", "-").encode(), value.encode("latin-1"))
        for name, value in headers.items()
    ]
    return Answer.of(status, raw, body, 0.0)


def read(
    resource: Resource, given_answer: Answer, *, token: str = TOKEN, ident: str = ""
) -> Good | Refusal:
    return interpret(resource, given_answer, ident=ident, token=token, fetched_at=5.0)


def good(resource: Resource, document: object, *, ident: str = "", **headers: str) -> Good:
    found = read(resource, answer(orjson.dumps(document), 200, **headers), ident=ident)
    assert isinstance(found, Good)
    return found


@pytest.mark.unmeasured
@given(st.dictionaries(names, values, max_size=4), st.text(alphabet="ab-._~+/=", min_size=1))
def test_the_callers_own_token_stands_in_its_place(more: dict[str, object], own: str) -> None:
    user = {**more, "Id": 1, "AccessToken": "of-nexudus", "z": 1}
    document = {**more, **LISTED, "User": user}
    found = good(PROFILES, document)
    expected = {**document, "User": {**user, "AccessToken": own}}
    assert found.entry.body_for(own) == orjson.dumps(expected), "and nothing else moved"
    assert orjson.dumps(found.document) == found.entry.body_for(TOKEN), "for its first reader too"
    assert b"of-nexudus" not in found.entry.body
    assert TOKEN not in repr(found)


@given(values)
def test_a_token_that_is_no_text_stays_as_it_is(token: object) -> None:
    user = {"Id": 1, "AccessToken": None if isinstance(token, str) else token}
    entry = good(PROFILES, {**LISTED, "User": user}).entry
    assert entry.secret_at is None
    assert entry.body_for("own") == orjson.dumps({**LISTED, "User": user})


def test_the_mark_of_the_place_is_drawn_anew_for_each_document(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who could know it could have the token put where it is read by others than its member."""
    drawn: list[str] = []
    really = secrets.token_hex

    def draw(size: int) -> str:
        drawn.append(really(size))
        return drawn[-1]

    monkeypatch.setattr(secrets, "token_hex", draw)
    for _ in range(3):
        good(PROFILES, LISTED)
    assert len(set(drawn)) == 3
    assert all(len(mark) >= 32 for mark in drawn)


def test_a_text_like_the_mark_is_not_mistaken_for_the_place() -> None:
    user = {"Id": 1, "A": '"', "AccessToken": "t", "B": "AccessToken"}
    entry = good(PROFILES, {"User": user, "Profiles": []}).entry
    assert orjson.loads(entry.body_for("own"))["User"] == {**user, "AccessToken": "own"}


@pytest.mark.parametrize(
    ("resource", "document"),
    [
        (PROFILES, {**LISTED, "Again": [f"Bearer {TOKEN}"]}),
        (RELATED, {**OTHERS, "Threads": [{"Url": f"/x?t={TOKEN}"}]}),
        (RELATED, {**OTHERS, "AccessToken": "anybodys"}),
        (RELATED, {**OTHERS, "Threads": [{"AccessToken": "anybodys"}]}),
    ],
)
def test_a_body_with_a_token_elsewhere_is_served_and_not_stored(
    resource: Resource, document: dict[str, object]
) -> None:
    found = good(resource, document, ident="101")
    assert not found.storable
    assert orjson.loads(found.entry.body_for(TOKEN)) == document


def test_a_404_that_repeats_the_token_is_not_stored() -> None:
    """Its body would be, beside what the token alone was told."""
    found = read(RELATED, answer(f"No /x?t={TOKEN}".encode(), 404), ident="101")
    assert isinstance(found, Good)
    assert not found.storable


@pytest.mark.parametrize(
    ("headers", "storable"),
    [
        ({}, True),
        ({"cache_control": "no-cache, private"}, True),
        ({"cache_control": "private, No-Store"}, False),
        ({"set_cookie": "a=b"}, False),
    ],
)
def test_headers_may_forbid_storing(headers: dict[str, str], storable: bool) -> None:
    for resource, document in ((PROFILES, LISTED), (RELATED, OTHERS)):
        assert good(resource, document, ident="101", **headers).storable is storable
    missing = read(RELATED, answer(b"", 404, **headers), ident="101")
    assert isinstance(missing, Good)
    assert missing.storable is storable


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<!DOCTYPE html>",
        b'{"User":{"Id":1},"Profi',
        b"[]",
        b"null",
        b"{}",
        b'{"User":{},"Profiles":[]}',
        b'{"User":{"Id":1},"Profiles":{}}',
        b'{"User":{"Id":1},"Profiles":[{}]}',
        b'{"User":{"Id":1},"Profiles":[],"Deep":' + b"[" * 300 + b"]" * 300 + b"}",
        b'{"User":{"Id":1},"Profiles":[],"Deep":' + b"[" * 90_000 + b"]" * 90_000 + b"}",
    ],
)
def test_a_200_of_another_form_is_unusable(body: bytes) -> None:
    with pytest.raises(UnusableAnswer) as caught:
        read(PROFILES, answer(body))
    assert body == b"" or body.decode() not in str(caught.value)


@pytest.mark.parametrize("status", [201, 202, 203, 204, 206, 299, 304])
def test_another_success_is_unusable(status: int) -> None:
    with pytest.raises(UnusableAnswer):
        read(PROFILES, answer(orjson.dumps(LISTED), status))


def test_a_byte_order_mark_is_ignored() -> None:
    found = read(PROFILES, answer(codecs.BOM_UTF8 + orjson.dumps(LISTED)))
    assert isinstance(found, Good)
    assert found.entry.body_for(TOKEN) == orjson.dumps(LISTED)


PIECES = st.lists(
    st.sampled_from(["\ud83d", "\ude00", "\ud800", "\udfff", "\\", "\\ud83d", '"', "é", "a"])
)


@given(pieces=PIECES)
def test_half_a_character_costs_nobody_the_session(pieces: list[str]) -> None:
    name = "".join(pieces)
    listed = {**LISTED, "User": {**LISTED["User"], "FullName": name}}
    found = read(PROFILES, answer(json.dumps(listed).encode()))
    assert isinstance(found, Good)
    told = json.loads(found.entry.body_for(TOKEN))
    whole = name.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    assert told == {**listed, "User": {**listed["User"], "FullName": whole}}
    assert found.storable


def test_half_a_character_excuses_nothing_else() -> None:
    broken = b'{"User": {"FullName": "\\ud83d"}, "Profiles": ['
    with pytest.raises(UnusableAnswer, match="no JSON"):
        read(PROFILES, answer(broken))


@pytest.mark.parametrize(
    ("status", "failure"),
    [(301, False), (400, False), (401, False), (403, False), (404, False), (410, False)]
    + [(status, True) for status in (409, 429, 500, 502, 503, 504, 599)],
)
def test_other_statuses_are_refusals_and_some_are_failures(status: int, failure: bool) -> None:
    found = read(PROFILES, answer(b"why", status))
    assert isinstance(found, Refusal)
    assert (found.status, found.is_failure, found.answer.body) == (status, failure, b"why")


def test_others_are_told_when_to_come_back_and_nothing_else() -> None:
    whole = answer(b"Jane", 503, retry_after="7", content_type="text/plain", location="/jane")
    told = Refusal(whole).for_others()
    assert (told.status, told.answer.body) == (503, b"")
    assert told.answer.headers == ((b"retry-after", b"7"),)


def test_a_404_is_a_good_answer_of_the_related_list_only() -> None:
    found = read(RELATED, answer(b"{}", 404, content_type="application/json"), ident="101")
    assert isinstance(found, Good)
    assert (found.entry.status, found.entry.body) == (404, b"{}")
    assert found.entry.content_type == "application/json"
    assert set(found.entry.tags) == {"r:related", "c:101"}
    assert isinstance(read(PROFILES, answer(b"{}", 404)), Refusal)


def test_a_content_type_of_any_length_is_survived() -> None:
    found = read(RELATED, answer(b"x", 404, content_type="a/" + "b" * 70_000), ident="101")
    assert isinstance(found, Good)
    assert found.entry.content_type == ""


def test_what_drops_a_document() -> None:
    assert set(good(PROFILES, LISTED).entry.tags) == {"r:profiles", "u:7001", "c:101"}
    assert set(good(RELATED, OTHERS, ident="101").entry.tags) == {"r:related", "c:101", "c:202"}
