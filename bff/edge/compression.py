"""`Accept-Encoding` negotiation (RFC 9110 §12.5.3) and deterministic compression."""

from __future__ import annotations

import gzip
import re
from enum import StrEnum
from functools import lru_cache
from typing import Final, assert_never

import brotli  # type: ignore[import-untyped]
import zstandard

from bff.edge.headers_in import TCHAR

MAX_ACCEPT_ENCODING: Final = 1024
MIN_BODY: Final = 256

_BROTLI_QUALITY: Final = 5
_BROTLI_WINDOWS: Final = (16, 22)
"""In powers of two: of bodies that fit into the first, and of others. With the first brotli has
smaller tables, which are filled anew for each body, and are then where the processor finds them."""
_ZSTD_LEVEL: Final = 6
_GZIP_LEVEL: Final = 6


class Encoding(StrEnum):
    """The content codings we produce, in the order we prefer them at equal q."""

    BR = "br"
    ZSTD = "zstd"
    GZIP = "gzip"
    IDENTITY = "identity"


_ALIASES: Final = {"x-gzip": "gzip"}  # RFC 9110 §8.4.1.3

_MEMBER: Final = re.compile(
    rf"[ \t]*+({TCHAR}++)"
    r"(?:[ \t]*+;[ \t]*+[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?[ \t]*+"
)


def negotiate(accept_encoding: str | None) -> Encoding:
    """The content coding to answer with: the highest q, then br > zstd > gzip > identity.

    No header, an empty one, or one over MAX_ACCEPT_ENCODING characters means identity. Malformed
    members are skipped; of a coding named twice the highest q counts. Identity is also served
    when nothing is acceptable (`identity;q=0` and no other): an answer beats a 406.
    """
    if not accept_encoding or len(accept_encoding) > MAX_ACCEPT_ENCODING:
        return Encoding.IDENTITY
    return _negotiated(accept_encoding)


# Most requests come with one of a few.
@lru_cache(maxsize=256)
def _negotiated(accept_encoding: str) -> Encoding:
    weights = _weights(accept_encoding)
    # Enum order is the preference and max() keeps the first of equals.
    best = max(Encoding, key=lambda encoding: _weight(encoding, weights))
    return best if _weight(best, weights) > 0 else Encoding.IDENTITY


def worth_compressing(body: bytes) -> bool:
    """Whether `body` is long enough for compression to save more than it costs."""
    return len(body) >= MIN_BODY


def compress(body: bytes, encoding: Encoding) -> bytes:
    """`body` in `encoding`; the same input gives the same output."""
    match encoding:
        case Encoding.IDENTITY:
            return body
        case Encoding.BR:
            window = _BROTLI_WINDOWS[len(body) > 2**16]
            compressed: bytes = brotli.compress(body, quality=_BROTLI_QUALITY, lgwin=window)
            return compressed
        case Encoding.ZSTD:
            # One compressor per call: they must not be shared between threads.
            return zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(body)
        case Encoding.GZIP:
            return gzip.compress(body, compresslevel=_GZIP_LEVEL, mtime=0)
        case _:
            assert_never(encoding)


def _weights(accept_encoding: str) -> dict[str, int]:
    """Coding name in lower case (or `*`) -> q in thousandths."""
    weights: dict[str, int] = {}
    for text in accept_encoding.split(","):
        member = _MEMBER.fullmatch(text)
        if member is None:
            continue
        name = member[1].lower()
        name = _ALIASES.get(name, name)
        weights[name] = max(weights.get(name, 0), _thousandths(member[2]))
    return weights


def _thousandths(qvalue: str | None) -> int:
    if qvalue is None:
        return 1000
    whole, _, fraction = qvalue.partition(".")
    return int(whole) * 1000 + int(fraction.ljust(3, "0"))


def _weight(encoding: Encoding, weights: dict[str, int]) -> float:
    # Identity that nobody mentions is acceptable, but below everything that was asked for.
    unmentioned = 0.5 if encoding is Encoding.IDENTITY else 0
    return weights.get(encoding.value, weights.get("*", unmentioned))
