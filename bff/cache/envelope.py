"""The sealed form in which values rest in the store: compressed, then AES-GCM.

Layout: version (1 byte), key id (4), codec (1), nonce (12), ciphertext with tag. The address, the
fence stamp and the tags are authenticated with it, so a value read under any other key, or whose
clear header was altered, does not open. A later format takes another version byte.

Documents are compressed with a dictionary of public field names and common values. The codec names
it, and it is authenticated too: a process that has none of that number, or another, refuses the
value. It is no secret, and documents are sealed one by one: what others see of one is its length.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from importlib import resources
from typing import NamedTuple

import zstandard
from cryptography.exceptions import InvalidTag

from bff.cache.secrets import Keyring
from bff.errors import EnvelopeError

VERSION = 1
_CODEC_RAW = 0
_CODEC_ZSTD = 1
_CODEC_DICTIONARY_1 = 2
_NONCE_BYTES = 12
_HEAD_BYTES = 1 + 4 + 1 + _NONCE_BYTES
_SMALL_BYTES = 64
_LEVEL = 8
_TABLE_LOG = 16
"""The tables that matches are found by: for the dictionary's 64 KB, not for the megabytes that a
compressor of this level is made for. They are searched at every byte, so they should stay near."""
MAX_PLAIN_BYTES = 16 * 1024 * 1024


class Binding(NamedTuple):
    """What a sealed value is bound to: its address and header, and its token if it has one."""

    address: str
    header: bytes
    token: str | None

    def __repr__(self) -> str:
        return f"Binding({self.address!r}, private={self.token is not None})"


def dictionary(number: int) -> bytes:
    """A dictionary that the package carries. Its bytes never change: another takes the next number.

    Made by `python -m tests.support.train_dictionary`.
    """
    folder = resources.files("bff.cache") / "dictionaries"
    return (folder / f"{number}.zstd-dictionary").read_bytes()


@dataclass(frozen=True, slots=True)
class _Codec:
    """How a value was packed; `dictionary` tells which dictionary that took."""

    decompressor: zstandard.ZstdDecompressor | None = None
    dictionary: bytes = b""


class Sealer:
    """Seals and opens values. `random_bytes(n)` is the source of nonces."""

    def __init__(self, keyring: Keyring, random_bytes: Callable[[int], bytes]) -> None:
        self._keyring = keyring
        self._random_bytes = random_bytes
        content = dictionary(1)
        known = zstandard.ZstdCompressionDict(content)
        parameters = zstandard.ZstdCompressionParameters.from_level(
            _LEVEL, hash_log=_TABLE_LOG, chain_log=_TABLE_LOG, write_dict_id=False
        )
        self._compressor = zstandard.ZstdCompressor(dict_data=known, compression_params=parameters)
        self._codecs = {
            _CODEC_RAW: _Codec(),
            _CODEC_ZSTD: _Codec(zstandard.ZstdDecompressor()),
            _CODEC_DICTIONARY_1: _Codec(
                zstandard.ZstdDecompressor(dict_data=known), sha256(content).digest()
            ),
        }

    def seal(self, plain: bytes, binding: Binding) -> bytes:
        """Compress and encrypt under the writing secret. Raises EnvelopeError past the limit."""
        if len(plain) > MAX_PLAIN_BYTES:
            raise EnvelopeError("value is larger than any that is read")
        packed, number = plain, _CODEC_RAW
        if len(plain) > _SMALL_BYTES:
            packed, number = self._compressor.compress(plain), _CODEC_DICTIONARY_1
        key_id = self._keyring.writing_key_id
        cipher = self._keyring.cipher(key_id, binding.token)
        assert cipher is not None
        nonce = self._random_bytes(_NONCE_BYTES)
        head = bytes((VERSION,)) + key_id + bytes((number,)) + nonce
        associated = _associated(head, binding, self._codecs[number])
        return head + cipher.encrypt(nonce, packed, associated)

    def open(self, sealed: bytes, binding: Binding) -> bytes:
        """Raises EnvelopeError unless `sealed` was sealed for exactly this binding."""
        if len(sealed) < _HEAD_BYTES or sealed[0] != VERSION:
            raise EnvelopeError("stored value has another version")
        head, nonce = sealed[:_HEAD_BYTES], sealed[6:_HEAD_BYTES]
        cipher = self._keyring.cipher(sealed[1:5], binding.token)
        if cipher is None:
            raise EnvelopeError("stored value was sealed under a secret that is not configured")
        codec = self._codecs.get(sealed[5])
        if codec is None:
            raise EnvelopeError(f"stored value has unknown codec {sealed[5]}")
        try:
            packed = cipher.decrypt(nonce, sealed[_HEAD_BYTES:], _associated(head, binding, codec))
        except InvalidTag:
            raise EnvelopeError("stored value does not belong to its key") from None
        return packed if codec.decompressor is None else _unpacked(packed, codec.decompressor)


def _unpacked(packed: bytes, decompressor: zstandard.ZstdDecompressor) -> bytes:
    try:
        size = zstandard.frame_content_size(packed)
        if not 0 <= size <= MAX_PLAIN_BYTES:
            raise EnvelopeError("stored value is larger than any that is written")
        return decompressor.decompress(packed)
    except zstandard.ZstdError:
        raise EnvelopeError("stored value does not decompress") from None


def _associated(head: bytes, binding: Binding, codec: _Codec) -> bytes:
    address = binding.address.encode()
    size = len(address).to_bytes(4, "big")
    return b"".join((head, codec.dictionary, size, address, binding.header))
