"""A sealed value opens under exactly what it was sealed for, and is bounded when it does."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
import zstandard

from bff.cache import envelope
from bff.cache.envelope import MAX_PLAIN_BYTES, Binding, Sealer
from bff.cache.secrets import Keyring
from bff.cache.store import header
from bff.errors import EnvelopeError

FIRST, SECOND = b"first secret of the tests", b"second secret of the tests"
PLAIN = b'{"Profiles":[' + b'{"Id":101,"FullName":"Ana"},' * 40 + b"]}"
BINDING = Binding("acme|k:d|profiles||", header(17, ["r:profiles", "u:5"]), "token")
HEAD_BYTES = 18


def sealer(*secrets: bytes, random_bytes: Callable[[int], bytes] = os.urandom) -> Sealer:
    return Sealer(Keyring(secrets or (FIRST,)), random_bytes)


def forged(packed: bytes, codec: int) -> bytes:
    """A value that only a holder of the secret can make."""
    ring = Keyring((FIRST,))
    cipher = ring.cipher(ring.writing_key_id, BINDING.token)
    assert cipher is not None
    nonce = os.urandom(12)
    head = bytes((envelope.VERSION,)) + ring.writing_key_id + bytes((codec,)) + nonce
    return head + cipher.encrypt(nonce, packed, envelope._associated(head, BINDING))


@pytest.mark.parametrize("plain", [b"", b"x", PLAIN[:96], PLAIN[:97], PLAIN])
def test_what_is_sealed_opens(plain: bytes) -> None:
    assert sealer().open(sealer().seal(plain, BINDING), BINDING) == plain


def test_a_long_value_is_compressed_and_a_short_one_is_not() -> None:
    assert len(sealer().seal(PLAIN, BINDING)) < len(PLAIN) / 4
    assert len(sealer().seal(b"x" * 90, BINDING)) == HEAD_BYTES + 90 + 16


@pytest.mark.parametrize(
    "other",
    [
        Binding("acme|k:e|profiles||", BINDING.header, "token"),
        Binding("beta|k:d|profiles||", BINDING.header, "token"),
        Binding(BINDING.address, header(18, ["r:profiles", "u:5"]), "token"),
        Binding(BINDING.address, header(17, ["r:profiles"]), "token"),
        Binding(BINDING.address, header(17, ["u:5", "r:profiles"]), "token"),
        Binding(BINDING.address, BINDING.header, "other token"),
        Binding(BINDING.address, BINDING.header, None),
        Binding(BINDING.address, BINDING.header, ""),
        # The same bytes, divided elsewhere.
        Binding(BINDING.address + "1", BINDING.header[1:], "token"),
    ],
)
def test_pitfall_8_no_other_address_header_or_token_opens_it(other: Binding) -> None:
    sealed = sealer().seal(PLAIN, BINDING)
    with pytest.raises(EnvelopeError):
        sealer().open(sealed, other)


@pytest.mark.parametrize("plain", [b"short", zstandard.compress(b"short"), PLAIN[:200]])
def test_any_altered_byte_is_noticed(plain: bytes) -> None:
    sealed = sealer().seal(plain, BINDING)
    for place in range(len(sealed)):
        for bit in (1, 128):
            altered = bytearray(sealed)
            altered[place] ^= bit
            with pytest.raises(EnvelopeError, match=r"version|configured|belong"):
                sealer().open(bytes(altered), BINDING)


def test_any_cut_is_noticed() -> None:
    sealed = sealer().seal(b"short", BINDING)
    for length in range(len(sealed)):
        with pytest.raises(EnvelopeError):
            sealer().open(sealed[:length], BINDING)
    with pytest.raises(EnvelopeError):
        sealer().open(sealed + b"x", BINDING)


@pytest.mark.parametrize("version", [0, 2, 255])
def test_another_version_is_refused_by_name(version: int) -> None:
    sealed = sealer().seal(PLAIN, BINDING)
    with pytest.raises(EnvelopeError, match="another version"):
        sealer().open(bytes((version,)) + sealed[1:], BINDING)


def test_while_a_secret_is_replaced_the_first_writes_and_all_read() -> None:
    old, both, new = sealer(FIRST), sealer(SECOND, FIRST), sealer(SECOND)
    assert both.open(old.seal(PLAIN, BINDING), BINDING) == PLAIN
    assert new.open(both.seal(PLAIN, BINDING), BINDING) == PLAIN
    with pytest.raises(EnvelopeError, match="not configured"):
        new.open(old.seal(PLAIN, BINDING), BINDING)


def test_no_nonce_is_used_twice() -> None:
    one = sealer()
    nonces = {one.seal(b"same", BINDING)[6:HEAD_BYTES] for _ in range(2_000)}
    assert len(nonces) == 2_000


def test_the_nonce_is_what_the_source_of_randomness_gave() -> None:
    counted = sealer(random_bytes=lambda size: b"\x07" * size)
    assert counted.seal(b"x", BINDING)[6:HEAD_BYTES] == b"\x07" * 12


def test_a_value_of_an_unknown_codec_is_refused() -> None:
    with pytest.raises(EnvelopeError, match="unknown codec 2"):
        sealer().open(forged(b"x", 2), BINDING)


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"not zstandard",
        zstandard.ZstdCompressor().compress(PLAIN)[:-5],
        zstandard.ZstdCompressor(write_content_size=False).compress(PLAIN),
    ],
)
def test_what_does_not_decompress_is_refused(packed: bytes) -> None:
    with pytest.raises(EnvelopeError):
        sealer().open(forged(packed, 1), BINDING)


def test_pitfall_18_a_decompression_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = zstandard.ZstdCompressor(level=1).compress(bytes(MAX_PLAIN_BYTES + 1))
    assert len(bomb) < 10_000
    with pytest.raises(EnvelopeError, match="larger"):
        sealer().open(forged(bomb, 1), BINDING)


def test_a_frame_that_says_less_than_it_holds_is_refused() -> None:
    honest = zstandard.ZstdCompressor(level=1).compress(bytes(70_000))
    lying = honest.replace((70_000).to_bytes(4, "little"), (69_000).to_bytes(4, "little"))
    assert lying != honest
    with pytest.raises(EnvelopeError):
        sealer().open(forged(lying, 1), BINDING)


def test_what_could_not_be_opened_is_not_sealed() -> None:
    largest = bytes(MAX_PLAIN_BYTES)
    assert len(sealer().open(sealer().seal(largest, BINDING), BINDING)) == MAX_PLAIN_BYTES
    with pytest.raises(EnvelopeError, match="larger"):
        sealer().seal(largest + b"x", BINDING)


def test_printing_a_binding_shows_no_token() -> None:
    assert f"{BINDING!r}" == "Binding('acme|k:d|profiles||', private=True)"
