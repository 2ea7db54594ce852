"""What `BFF_SECRET` is used for: token digests, and the keys that seal stored documents.

Several secrets may be in use while one is being replaced: the first writes, all read.
"""

from __future__ import annotations

import base64
import functools
import hmac
import re
from hashlib import sha256
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

DIGEST_BYTES = 24
_DIGEST = re.compile(r"[A-Za-z0-9_-]{32}")


def is_digest(text: str) -> bool:
    """Whether `text` has the form of a token's digest; a token itself hardly ever has."""
    return _DIGEST.fullmatch(text) is not None


class _Secret:
    """One of them. Its repr does not show it."""

    def __init__(self, raw: bytes) -> None:
        self.raw: Final = raw
        # Begun once: to make it takes longer than to name a token with it.
        self._begun = hmac.new(raw, digestmod=sha256)
        self.key_id: Final = self.mac(b"bff/key-id/1")[:4]

    def mac(self, message: bytes) -> bytes:
        """HMAC-SHA256 of a message."""
        mac = self._begun.copy()
        mac.update(message)
        return mac.digest()


class Keyring:
    """Digests and sealing keys under one or more secrets."""

    def __init__(self, secrets: tuple[bytes, ...]) -> None:
        if not secrets:
            raise ValueError("a keyring needs at least one secret")
        self._secrets = tuple(_Secret(raw) for raw in secrets)
        self._cipher = functools.lru_cache(maxsize=2048)(self._derive)

    def __repr__(self) -> str:
        return f"Keyring({len(self._secrets)} secrets)"

    def digests(self, space: str, token: str) -> tuple[str, ...]:
        """The token's name in keys, under each secret, the writing one first.

        HMAC-SHA256 cut to 192 bits, base64url; bound to the space, so that one token used on two
        spaces has two unrelated names.
        """
        message = b"bff/token/1\0" + space.encode() + b"\0" + token.encode()
        return tuple(
            base64.urlsafe_b64encode(s.mac(message)[:DIGEST_BYTES]).decode() for s in self._secrets
        )

    @property
    def writing_key_id(self) -> bytes:
        """Names the secret that seals new values. 4 bytes."""
        return self._secrets[0].key_id

    def cipher(self, key_id: bytes, token: str | None) -> AESGCM | None:
        """The cipher for a key id, bound to `token` or, without one, shared by the space's readers.

        None if no secret in use has that key id.
        """
        for index, secret in enumerate(self._secrets):
            if hmac.compare_digest(secret.key_id, key_id):
                return self._cipher(index, token)
        return None

    def _derive(self, index: int, token: str | None) -> AESGCM:
        purpose = b"bff/shared/1" if token is None else b"bff/private/1\0" + token.encode()
        key = HKDF(SHA256(), 32, salt=None, info=purpose).derive(self._secrets[index].raw)
        return AESGCM(key)
