"""A webhook is taken when, and only when, the holder of the secret signed it."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import Final

import orjson
import pytest

from bff.hooks.verify import signature_is_valid

FIXTURES: Final = Path(__file__).parents[2] / "fixtures" / "nexudus"
SECRET: Final = b"fixture-shared-secret"


def vectors() -> list[tuple[str, str, str]]:
    """(raw body, secret, signature) for both byte variants of every fixture vector."""
    entries = orjson.loads((FIXTURES / "webhook_signature_vectors.json").read_bytes())
    variants = ("signature_over_utf8_bytes", "signature_over_ascii_replaced_bytes")
    return [
        (entry["raw_body"], entry["secret"], entry[name]) for entry in entries for name in variants
    ]


def sign(text: bytes, secret: bytes = SECRET) -> str:
    return hmac.new(secret, text, hashlib.sha256).hexdigest().upper()


def test_the_vectors_hold_a_pair_that_differs() -> None:
    assert len({signature for _, _, signature in vectors()}) == 3


@pytest.mark.parametrize(("body", "secret", "signature"), vectors())
def test_both_documented_byte_variants_are_accepted(body: str, secret: str, signature: str) -> None:
    assert signature_is_valid(body.encode(), secret.encode(), signature)


@pytest.mark.parametrize(("body", "secret", "signature"), vectors())
def test_pitfall_20_an_altered_webhook_is_refused(body: str, secret: str, signature: str) -> None:
    altered = body.replace('"UserId":700', '"UserId":701')
    assert altered != body
    assert not signature_is_valid(altered.encode(), secret.encode(), signature)
    assert not signature_is_valid(body.encode(), secret.encode() + b"!", signature)


def test_lower_case_hex_is_the_same_signature() -> None:
    assert signature_is_valid(b"[]", SECRET, sign(b"[]").lower())


@pytest.mark.parametrize(
    "character", ["é", "€", "\ufeff", "\ufffd", "\x80"], ids=["2", "3", "bom", "replacement", "c1"]
)
def test_a_character_of_the_basic_plane_is_signed_as_one_question_mark(character: str) -> None:
    body = f'["{character}"]'.encode()
    assert signature_is_valid(body, SECRET, sign(b'["?"]'))
    assert not signature_is_valid(body, SECRET, sign(b'["??"]'))


def test_a_character_beyond_it_is_signed_as_two() -> None:
    body = '["Zoë 👩\u200d💻"]'.encode()
    assert signature_is_valid(body, SECRET, sign(b'["Zo? ?????"]'))
    assert not signature_is_valid(body, SECRET, sign(b'["Zo? ???"]'))


def test_the_ascii_form_is_no_excuse_for_an_altered_ascii_character() -> None:
    assert not signature_is_valid('["Zoé", 1]'.encode(), SECRET, sign(b'["Zo?", 2]'))


def test_bytes_that_are_not_utf_8_are_proven_by_their_own_signature_only() -> None:
    assert signature_is_valid(b'["\xff"]', SECRET, sign(b'["\xff"]'))
    assert not signature_is_valid(b'["\xff"]', SECRET, sign(b'["?"]'))


@pytest.mark.parametrize(
    "presented",
    [
        None,
        "",
        " ",
        "0" * 64,
        sign(b"[]")[:-1],
        sign(b"[]") + "0",
        sign(b"[]") + "\n",
        " " + sign(b"[]"),
        "sha256=" + sign(b"[]"),
        "G" * 64,
        "ÿ" * 64,
        "１" * 64,
        hmac.new(SECRET, b"[]", hashlib.sha1).hexdigest(),
        hmac.new(SECRET, b"[]", hashlib.sha512).hexdigest(),
    ],
)
def test_an_absent_or_malformed_signature_is_refused(presented: str | None) -> None:
    assert not signature_is_valid(b"[]", SECRET, presented)


@pytest.mark.parametrize("at", range(64))
def test_pitfall_20_every_digit_of_a_signature_counts(at: int) -> None:
    signature = sign(b"[]")
    other = "1" if signature[at] == "0" else "0"
    assert not signature_is_valid(b"[]", SECRET, signature[:at] + other + signature[at + 1 :])


@pytest.mark.parametrize(
    "signed", [b"", b" [1]", b"[1] ", b"[1]\n", b"[1", b"[2]", b"\xef\xbb\xbf[1]"]
)
@pytest.mark.parametrize("swapped", [False, True])
def test_pitfall_20_the_signature_of_any_other_body_is_refused(
    signed: bytes, swapped: bool
) -> None:
    body, signed = (signed, b"[1]") if swapped else (b"[1]", signed)
    assert not signature_is_valid(body, SECRET, sign(signed))


def test_an_empty_secret_proves_nothing() -> None:
    assert not signature_is_valid(b"[]", b"", sign(b"[]", b""))


def test_an_empty_body_can_be_signed() -> None:
    assert signature_is_valid(b"", SECRET, sign(b""))
