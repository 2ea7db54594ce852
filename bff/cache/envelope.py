"""The sealed form in which values rest in the store: compressed, then AES-GCM.

Layout: version (1 byte), key id (4), codec (1), nonce (12), ciphertext with tag. The address, the
fence stamp and the tags are authenticated with it, so a value read under any other key, or whose
clear header was altered, does not open. A later format takes another version byte.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import zstandard
from cryptography.exceptions import InvalidTag

from bff.cache.secrets import Keyring
from bff.errors import EnvelopeError

VERSION = 1
_CODEC_RAW = 0
_CODEC_ZSTD = 1
_NONCE_BYTES = 12
_HEAD_BYTES = 1 + 4 + 1 + _NONCE_BYTES
_SMALL_BYTES = 96
MAX_PLAIN_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Binding:
    """What a sealed value is bound to: its address and header, and its token if it has one."""

    address: str
    header: bytes
    token: str | None

    def __repr__(self) -> str:
        return f"Binding({self.address!r}, private={self.token is not None})"


class Sealer:
    """Seals and opens values. `random_bytes(n)` is the source of nonces."""

    def __init__(self, keyring: Keyring, random_bytes: Callable[[int], bytes]) -> None:
        self._keyring = keyring
        self._random_bytes = random_bytes
        self._compressor = zstandard.ZstdCompressor(level=3)
        self._decompressor = zstandard.ZstdDecompressor()

    def seal(self, plain: bytes, binding: Binding) -> bytes:
        """Compress and encrypt under the writing secret. Raises EnvelopeError past the limit."""
        if len(plain) > MAX_PLAIN_BYTES:
            raise EnvelopeError("value is larger than any that is read")
        packed, codec = plain, _CODEC_RAW
        if len(plain) > _SMALL_BYTES:
            packed, codec = self._compressor.compress(plain), _CODEC_ZSTD
        key_id = self._keyring.writing_key_id
        cipher = self._keyring.cipher(key_id, binding.token)
        assert cipher is not None
        nonce = self._random_bytes(_NONCE_BYTES)
        head = bytes((VERSION,)) + key_id + bytes((codec,)) + nonce
        return head + cipher.encrypt(nonce, packed, _associated(head, binding))

    def open(self, sealed: bytes, binding: Binding) -> bytes:
        """Raises EnvelopeError unless `sealed` was sealed for exactly this binding."""
        if len(sealed) < _HEAD_BYTES or sealed[0] != VERSION:
            raise EnvelopeError("stored value has another version")
        head, nonce, codec = sealed[:_HEAD_BYTES], sealed[6:_HEAD_BYTES], sealed[5]
        cipher = self._keyring.cipher(sealed[1:5], binding.token)
        if cipher is None:
            raise EnvelopeError("stored value was sealed under a secret that is not configured")
        try:
            packed = cipher.decrypt(nonce, sealed[_HEAD_BYTES:], _associated(head, binding))
        except InvalidTag:
            raise EnvelopeError("stored value does not belong to its key") from None
        return self._unpacked(packed, codec)

    def _unpacked(self, packed: bytes, codec: int) -> bytes:
        if codec == _CODEC_RAW:
            return packed
        if codec != _CODEC_ZSTD:
            raise EnvelopeError(f"stored value has unknown codec {codec}")
        try:
            size = zstandard.frame_content_size(packed)
            if not 0 <= size <= MAX_PLAIN_BYTES:
                raise EnvelopeError("stored value is larger than any that is written")
            return self._decompressor.decompress(packed)
        except zstandard.ZstdError:
            raise EnvelopeError("stored value does not decompress") from None


def _associated(head: bytes, binding: Binding) -> bytes:
    address = binding.address.encode()
    return head + len(address).to_bytes(4, "big") + address + binding.header
