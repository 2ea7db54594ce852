"""The signature of a webhook: HMAC-SHA256 over its body, hexadecimal (FACTS section 9)."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator

_DIGEST = re.compile(r"[0-9A-Fa-f]{64}")
_BEYOND_BMP = re.compile("[\U00010000-\U0010ffff]")


def signature_is_valid(raw_body: bytes, secret: bytes, presented: str | None) -> bool:
    """Whether `presented` is the HMAC-SHA256 of `raw_body` under `secret`, in hex of either case.

    Also true for the HMAC over the body's ASCII form, in which `?` stands for every UTF-16 unit
    beyond ASCII: the documented signer uses .NET's `Encoding.ASCII` (FACTS section 9). False for an
    absent or malformed signature and for an empty secret. Compares in constant time.
    """
    # The documents say upper case; the case carries no secret, and proxies have changed it.
    if not secret or presented is None or not _DIGEST.fullmatch(presented):
        return False
    claimed = bytes.fromhex(presented)
    return any(
        hmac.compare_digest(hmac.digest(secret, form, hashlib.sha256), claimed)
        for form in _signed_forms(raw_body)
    )


def _signed_forms(raw_body: bytes) -> Iterator[bytes]:
    """The byte strings that an honest sender of `raw_body` may have signed.

    The ASCII form does not tell one non-ASCII character from another, so nothing that the gateway
    acts on may depend on such a character: `bff.hooks.events` reads ASCII digits only.
    """
    yield raw_body
    if raw_body.isascii():
        return
    try:
        text = raw_body.decode()
    except UnicodeDecodeError:
        return
    yield _BEYOND_BMP.sub("??", text).encode("ascii", "replace")
