"""Digests name tokens without telling them; keys are bound to a secret, and to a token."""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidTag

from bff.cache.keys import escape
from bff.cache.secrets import DIGEST_BYTES, Keyring, is_digest

FIRST, SECOND = b"first secret of the tests", b"second secret of the tests"
NONCE = bytes(12)


def test_a_keyring_needs_a_secret() -> None:
    with pytest.raises(ValueError, match="at least one secret"):
        Keyring(())


def test_a_digest_has_192_bits_and_needs_no_escaping() -> None:
    (digest,) = Keyring((FIRST,)).digests("acme", "token")
    assert len(digest) == DIGEST_BYTES * 8 // 6
    assert escape(digest) == digest
    assert is_digest(digest)


@pytest.mark.parametrize("text", ["", "token", "a" * 31, "a" * 33, "a" * 31 + "=", "a" * 32 + "\n"])
def test_what_has_another_form_is_no_digest(text: str) -> None:
    assert is_digest("a" * 32)
    assert not is_digest(text)


def test_a_digest_depends_on_secret_space_and_token() -> None:
    ring = Keyring((FIRST, SECOND))
    digests = {
        *ring.digests("acme", "token"),
        *ring.digests("beta", "token"),
        *ring.digests("acme", "tokem"),
    }
    assert len(digests) == 6


def test_pitfall_5_space_and_token_are_not_run_together() -> None:
    ring = Keyring((FIRST,))
    assert ring.digests("ac", "metoken") != ring.digests("acme", "token")


def test_digests_are_the_same_in_every_process() -> None:
    assert Keyring((FIRST,)).digests("acme", "t") == Keyring((FIRST,)).digests("acme", "t")


def test_the_writing_secret_comes_first() -> None:
    both, old = Keyring((FIRST, SECOND)), Keyring((SECOND,))
    assert both.digests("acme", "t")[1] == old.digests("acme", "t")[0]
    assert both.writing_key_id == Keyring((FIRST,)).writing_key_id != old.writing_key_id


def test_a_cipher_is_found_by_the_key_id_of_any_secret_in_use() -> None:
    both, old = Keyring((FIRST, SECOND)), Keyring((SECOND,))
    sealing, opening = (ring.cipher(old.writing_key_id, "t") for ring in (old, both))
    assert sealing is not None
    assert opening is not None
    assert opening.decrypt(NONCE, sealing.encrypt(NONCE, b"plain", None), None) == b"plain"


def test_a_secret_that_is_not_in_use_has_no_cipher() -> None:
    assert Keyring((FIRST,)).cipher(Keyring((SECOND,)).writing_key_id, None) is None


@pytest.mark.parametrize(
    ("sealed_for", "opened_by"), [("a", "b"), ("a", None), (None, ""), ("", None)]
)
def test_a_cipher_is_bound_to_its_token(sealed_for: str | None, opened_by: str | None) -> None:
    ring = Keyring((FIRST,))
    sealing, opening = (ring.cipher(ring.writing_key_id, t) for t in (sealed_for, opened_by))
    assert sealing is not None
    assert opening is not None
    with pytest.raises(InvalidTag):
        opening.decrypt(NONCE, sealing.encrypt(NONCE, b"plain", None), None)


def test_printing_a_keyring_shows_no_secret() -> None:
    shown = f"{Keyring((FIRST, SECOND))!r}"
    assert shown == "Keyring(2 secrets)"
