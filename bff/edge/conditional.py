"""Strong validators and `If-None-Match` (RFC 9110 §8.8.3, §13.1.2)."""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

from bff.edge.compression import Encoding

MAX_IF_NONE_MATCH: Final = 8 * 1024

# Possessive quantifiers: a hostile run of blanks costs one pass, not a quadratic search.
_OPAQUE_TEXT: Final = r'"[\x21\x23-\x7e\x80-\xff]*+"'
_OPAQUE: Final = re.compile(_OPAQUE_TEXT)
_MEMBER_TEXT: Final = rf"[ \t]*+(?:(?:W/)?{_OPAQUE_TEXT})?+[ \t]*+"
_LIST: Final = re.compile(rf"{_MEMBER_TEXT}(?:,{_MEMBER_TEXT})*+")


def counted(parts: Iterable[str]) -> bytes:
    """Parts as one text, each behind its length: other parts make another text."""
    return b"".join([len(part).to_bytes(8, "big") + part for part in map(str.encode, parts)])


def etag(body: bytes, encoding: Encoding, whose: bytes = b"") -> str:
    """The strong validator of `body` in one content coding, made for `whose`.

    The same body for others has another; the coding is a suffix, so no two codings share a
    validator. BLAKE2b-128 in url-safe text, quotes included.
    """
    hashed = blake2b(len(whose).to_bytes(8, "big") + whose, digest_size=16)
    hashed.update(body)
    text = urlsafe_b64encode(hashed.digest()).rstrip(b"=").decode("ascii")
    return f'"{text}-{encoding.value}"'


def matches(if_none_match: str | None, etag: str) -> bool:
    """Whether `If-None-Match` names `etag`, so that a GET or HEAD is answered by 304.

    Weak comparison; `*` matches. A value that is malformed anywhere or longer than
    MAX_IF_NONE_MATCH matches nothing: the caller then gets a whole answer, which is never wrong.
    Linear in the value (RFC 9110 §13.1.2, §8.8.3.2, §5.6.1.2).
    """
    if if_none_match is None or len(if_none_match) > MAX_IF_NONE_MATCH:
        return False
    if if_none_match.strip(" \t") == "*":
        return True
    if not _LIST.fullmatch(if_none_match):
        return False
    return etag.removeprefix("W/") in _OPAQUE.findall(if_none_match)
