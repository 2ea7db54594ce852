"""What holds for every webhook: no byte can be changed, no field but ids comes through."""

from __future__ import annotations

import hashlib
import hmac
import string

import orjson
from hypothesis import assume, example, given
from hypothesis import strategies as st

from bff.hooks.events import MAX_ITEMS, parse_events
from bff.hooks.verify import signature_is_valid

secrets = st.binary(min_size=1, max_size=80)
bodies = st.one_of(st.binary(max_size=200), st.text(max_size=100).map(str.encode))


def sign(text: bytes, secret: bytes) -> str:
    return hmac.new(secret, text, hashlib.sha256).hexdigest().upper()


def dot_net_ascii(text: str) -> bytes:
    """An independent account of `Encoding.ASCII`: one `?` for each UTF-16 unit past 0x7F."""
    units = memoryview(text.encode("utf-16-le")).cast("H")
    return bytes(unit if unit < 0x80 else ord("?") for unit in units)


@given(bodies, secrets)
def test_an_honest_signature_is_accepted(body: bytes, secret: bytes) -> None:
    assert signature_is_valid(body, secret, sign(body, secret))
    assert signature_is_valid(body, secret, sign(body, secret).lower())


@given(st.text(max_size=100), secrets)
@example("😀é\u007f\u0080", b"s")
def test_a_signature_over_the_ascii_form_is_accepted(text: str, secret: bytes) -> None:
    assert signature_is_valid(text.encode(), secret, sign(dot_net_ascii(text), secret))


@given(bodies.filter(bool), secrets, st.data())
def test_pitfall_20_any_altered_byte_of_the_body_is_refused(
    body: bytes, secret: bytes, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(body) - 1))
    flip = data.draw(st.integers(1, 255))
    altered = bytes([*body[:at], body[at] ^ flip, *body[at + 1 :]])
    assert not signature_is_valid(altered, secret, sign(body, secret))


@given(st.text(max_size=100), secrets, st.data())
def test_pitfall_20_any_altered_ascii_character_is_refused_under_the_ascii_form(
    text: str, secret: bytes, data: st.DataObject
) -> None:
    places = [at for at, character in enumerate(text) if character.isascii()]
    assume(places)
    at = data.draw(st.sampled_from(places))
    other = data.draw(st.sampled_from(string.printable))
    altered = text[:at] + other + text[at + 1 :]
    assume(altered != text)
    assert not signature_is_valid(altered.encode(), secret, sign(dot_net_ascii(text), secret))


@given(bodies, secrets, st.data())
def test_pitfall_20_any_altered_character_of_the_signature_is_refused(
    body: bytes, secret: bytes, data: st.DataObject
) -> None:
    honest = sign(body, secret)
    at = data.draw(st.integers(0, len(honest) - 1))
    other = data.draw(st.characters())
    assume(other.upper() != honest[at])
    assert not signature_is_valid(body, secret, honest[:at] + other + honest[at + 1 :])


@given(bodies, secrets, secrets)
def test_another_secret_proves_nothing(body: bytes, secret: bytes, other: bytes) -> None:
    # HMAC fills a short key with zeros: two that differ in those only are one key.
    assume(secret.rstrip(b"\0") != other.rstrip(b"\0"))
    assert not signature_is_valid(body, secret, sign(body, other))


@given(bodies, secrets, st.one_of(st.none(), st.text(max_size=70)))
def test_a_signature_out_of_thin_air_is_refused(
    body: bytes, secret: bytes, presented: str | None
) -> None:
    assert not signature_is_valid(body, secret, presented)


ids = st.integers(1, 2**63 - 1)
scalars = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63), st.text(max_size=8))
documents = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(["Id", "UserId", "CoworkerId", "CoworkerType", "FullName", "Name"]),
            inner,
            max_size=6,
        ),
    ),
    max_leaves=20,
)


@given(st.binary(max_size=200))
def test_no_bytes_make_it_raise(raw: bytes) -> None:
    parse_events(raw)


@given(documents)
def test_no_document_makes_it_raise_or_gives_anything_but_ids(document: object) -> None:
    affected = parse_events(orjson.dumps(document))
    assert all(type(one) is int and 0 < one < 2**63 for one in affected.users | affected.coworkers)
    assert affected.empty == (affected.users == affected.coworkers == frozenset())


@given(st.lists(st.tuples(ids, ids, st.booleans()), max_size=20))
def test_every_coworker_and_user_is_found(records: list[tuple[int, int, bool]]) -> None:
    items = [
        {
            "CoworkerType": 1,
            "Id": str(coworker) if as_text else coworker,
            "UserId": str(user) if as_text else user,
            "FullName": "canary",
        }
        for coworker, user, as_text in records
    ]
    affected = parse_events(orjson.dumps(items))
    assert affected.understood
    assert affected.coworkers == {coworker for coworker, _, _ in records}
    assert affected.users == {user for _, user, _ in records}


@given(st.integers(0, MAX_ITEMS + 5))
def test_no_more_than_the_limit_is_read(count: int) -> None:
    affected = parse_events(orjson.dumps([{"CoworkerId": n + 1} for n in range(count)]))
    assert len(affected.coworkers) == min(count, MAX_ITEMS)
    assert affected.understood == (count <= MAX_ITEMS)


@given(st.text(max_size=40), st.characters(min_codepoint=0x80, exclude_categories=["Cs"]), ids)
def test_what_the_ascii_form_does_not_cover_changes_no_id(
    name: str, other: str, coworker: int
) -> None:
    def body(text: str) -> bytes:
        return orjson.dumps({"CoworkerType": 1, "Id": coworker, "UserId": text, "FullName": text})

    blind = "".join(character if character.isascii() else other for character in name)
    assert parse_events(body(name)) == parse_events(body(blind))
