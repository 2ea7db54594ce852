"""A caller's names and the end of its token."""

from __future__ import annotations

import base64

import orjson
from hypothesis import given
from hypothesis import strategies as st

from bff.cache.secrets import Keyring
from bff.session.principal import identify, jwt_expiry

KEYS = Keyring((b"the first secret of 32 characters!", b"the other secret of 32 characters!"))


def encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def jwt(claims: object) -> str:
    header = {"alg": "RS256", "typ": "JWT"}
    return f"{encoded(orjson.dumps(header))}.{encoded(orjson.dumps(claims))}.c2lnbmF0dXJl"


def test_a_principal_never_shows_its_token() -> None:
    principal = identify("acme", "the-token", KEYS)
    assert "the-token" not in repr(principal) + str(principal)
    assert principal.digest in repr(principal)


def test_a_token_has_one_name_for_each_secret_and_space() -> None:
    one, other = identify("acme", "the-token", KEYS), identify("beta", "the-token", KEYS)
    assert len({*one.digests, *other.digests}) == 4
    assert one.digest == one.digests[0]
    assert one == identify("acme", "the-token", KEYS)


@given(st.text(alphabet="abcXYZ019-_.~+/=", min_size=1, max_size=4096), st.data())
def test_pitfall_1_every_character_of_a_token_counts(token: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(token) - 1))
    other = token[:at] + ("0" if token[at] != "0" else "1") + token[at + 1 :]
    names = {*identify("acme", token, KEYS).digests, *identify("acme", other, KEYS).digests}
    assert len(names) == 4


def test_pitfall_1_tokens_that_begin_alike_have_different_names() -> None:
    alike = [identify("acme", f"{'x' * 8_000}{end}", KEYS) for end in ("", "a", "b")]
    assert len({principal.digest for principal in alike}) == 3


@given(st.integers(-(2**53), 2**53) | st.floats(-1e12, 1e12))
def test_exp_of_a_jwt_is_its_end(exp: float) -> None:
    token = jwt({"sub": "7001", "exp": exp})
    assert jwt_expiry(token) == float(exp)
    assert identify("acme", token, KEYS).expires_at == float(exp)


def test_a_payload_may_have_any_character_of_the_url_safe_alphabet() -> None:
    token = jwt({"name": "~~~???>>>", "exp": 5})
    assert {"-", "_"} <= set(token.split(".")[1])
    assert jwt_expiry(token) == 5


@given(st.none() | st.booleans() | st.text() | st.lists(st.integers(0, 9)))
def test_an_exp_that_is_no_number_ends_nothing(exp: object) -> None:
    assert jwt_expiry(jwt({"exp": exp})) is None


@given(st.none() | st.booleans() | st.integers(-5, 5) | st.text() | st.lists(st.integers(0, 9)))
def test_claims_that_are_no_object_end_nothing(claims: object) -> None:
    assert jwt_expiry(jwt(claims)) is None


@given(st.text(alphabet="abcXYZ019-_.~+/=", max_size=60) | st.text(max_size=30))
def test_any_other_text_is_opaque(token: str) -> None:
    assert jwt_expiry(token) is None


def test_what_is_near_a_jwt_is_opaque() -> None:
    good = jwt({"exp": 5})
    assert jwt_expiry(good) == 5
    for token in (good + ".x", good.partition(".")[2], f".{good}", f"a..{encoded(b'{}')}", "a..b"):
        assert jwt_expiry(token) is None
    large = jwt({"exp": 5, "pad": "x" * 9000})
    assert jwt_expiry(large) is None, "more than any token that Nexudus makes"
