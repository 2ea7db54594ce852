"""A caller: its bearer token, the token's name in keys, and when the token ends."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

import orjson

from bff.cache.secrets import Keyring

_MAX_JWT_PAYLOAD = 8192


@dataclass(frozen=True, slots=True, repr=False)
class Principal:
    """One token on one space. Never printed: its repr shows the digest only.

    `digests`: the token's name under each secret in use, the writing one first. `expires_at`: UTC
    seconds from the `exp` claim if the token is a JWT, else None; it only ever shortens freshness.
    """

    space: str
    token: str
    digests: tuple[str, ...]
    expires_at: float | None

    def __hash__(self) -> int:
        return hash(self.digests)

    def __repr__(self) -> str:
        return f"Principal({self.space}, {self.digest})"

    @property
    def digest(self) -> str:
        """The token's name in keys that are written now."""
        return self.digests[0]


def identify(space: str, token: str, keyring: Keyring) -> Principal:
    """The caller that presents `token`; proves nothing about it."""
    return Principal(space, token, keyring.digests(space, token), jwt_expiry(token))


def jwt_expiry(token: str) -> float | None:
    """`exp` of a token that has the form of a JWT (RFC 7519 §4.1.4); unverified, None if absent.

    Tokens are otherwise opaque (FACTS 2.1).
    """
    parts = token.split(".")
    if len(parts) != 3 or not parts[1] or len(parts[1]) > _MAX_JWT_PAYLOAD:
        return None
    try:
        payload = base64.b64decode(parts[1] + "=" * (-len(parts[1]) % 4), altchars=b"-_")
        claims = orjson.loads(payload)
    except (binascii.Error, ValueError):
        return None
    expiry = claims.get("exp") if isinstance(claims, dict) else None
    if isinstance(expiry, bool) or not isinstance(expiry, int | float):
        return None
    return float(expiry)
