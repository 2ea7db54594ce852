"""A sealed value opens under exactly what it was sealed for, and is bounded when it does."""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import sha256

import pytest
import zstandard

from bff.cache import envelope
from bff.cache.envelope import MAX_PLAIN_BYTES, Binding, Sealer, dictionary
from bff.cache.secrets import Keyring
from bff.cache.store import header
from bff.errors import EnvelopeError

FIRST, SECOND = b"first secret of the tests", b"second secret of the tests"
PLAIN = b'{"Profiles":[' + b'{"Id":101,"FullName":"Ana"},' * 40 + b"]}"
BINDING = Binding("acme|k:d|profiles||", header(17, ["r:profiles", "u:5"]), "token")
HEAD_BYTES = 18
DICTIONARY_1 = "76c774cf4616f3a42412c2fac035b49c4e28082013108c291adea5841723f6ef"


def sealer(*secrets: bytes, random_bytes: Callable[[int], bytes] = os.urandom) -> Sealer:
    return Sealer(Keyring(secrets or (FIRST,)), random_bytes)


def forged(packed: bytes, codec: int) -> bytes:
    """A value that only a holder of the secret can make, without a dictionary."""
    ring = Keyring((FIRST,))
    cipher = ring.cipher(ring.writing_key_id, BINDING.token)
    assert cipher is not None
    nonce = os.urandom(12)
    head = bytes((envelope.VERSION,)) + ring.writing_key_id + bytes((codec,)) + nonce
    associated = envelope._associated(head, BINDING, envelope._Codec())
    return head + cipher.encrypt(nonce, packed, associated)


@pytest.mark.parametrize("plain", [b"", b"x", PLAIN[:64], PLAIN[:65], PLAIN])
def test_what_is_sealed_opens(plain: bytes) -> None:
    assert sealer().open(sealer().seal(plain, BINDING), BINDING) == plain


def test_a_long_value_is_compressed_and_a_short_one_is_not() -> None:
    assert len(sealer().seal(PLAIN, BINDING)) < len(PLAIN) / 4
    assert len(sealer().seal(b"x" * 64, BINDING)) == HEAD_BYTES + 64 + 16


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
            with pytest.raises(EnvelopeError, match=r"version|configured|codec|belong"):
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
    with pytest.raises(EnvelopeError, match="unknown codec 3"):
        sealer().open(forged(b"x", 3), BINDING)


def test_what_was_compressed_without_a_dictionary_is_still_read() -> None:
    assert sealer().open(forged(zstandard.compress(PLAIN), 1), BINDING) == PLAIN


def test_another_dictionary_of_the_same_number_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two builds that disagree about it fetch anew, and never show a wrong document."""
    sealed = sealer().seal(PLAIN, BINDING)
    monkeypatch.setattr(envelope, "dictionary", lambda _: dictionary(1)[:-1])
    with pytest.raises(EnvelopeError, match="belong"):
        sealer().open(sealed, BINDING)
    # What either of them sealed the other would have read otherwise, without a word.
    packed, other = (zstandard.ZstdCompressionDict(dictionary(1)[:cut]) for cut in (None, -1))
    frame = zstandard.ZstdCompressor(dict_data=packed).compress(PLAIN)
    assert zstandard.ZstdDecompressor(dict_data=other).decompress(frame) != PLAIN


def test_the_dictionary_of_a_number_is_the_same_for_ever() -> None:
    assert sha256(dictionary(1)).hexdigest() == DICTIONARY_1


def test_a_dictionary_holds_no_field_that_is_a_secret() -> None:
    names = (b"AccessToken", b"Password", b"RefreshToken", b"access_token", b"Bearer")
    found = {name for name in names for _ in dictionary(1).split(name)[1:]}
    assert found == {b"AccessToken"}
    # The member that mirrors a token, with nothing where the token was.
    values = {after[:3] for after in dictionary(1).split(b'"AccessToken"')[1:]}
    assert values <= {b":},", b':,"', b":"}


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
