"""Content codings undone with a bound on what comes out (RFC 9110 8.4.1).

The decoders of HTTP clients give out as much as one chunk expands to, and a kilobyte of Brotli or
Zstandard can expand to gigabytes.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import brotli  # type: ignore[import-untyped]
import zstandard

from bff.errors import UnusableAnswer
from bff.nexudus.headers import RawHeaders, values_of

_GZIP: Final = zlib.MAX_WBITS | 16
_ZSTD_WINDOW: Final = 8 * 2**20  # RFC 9659: no more is needed for the content coding
_MOST_CODINGS: Final = 2


def decoded(headers: RawHeaders, body: bytes, limit: int) -> bytes:
    """`body` without the Content-Encoding that `headers` declare; at most `limit` bytes.

    Raises UnusableAnswer for more, for damaged or truncated data and for an unknown coding.
    """
    codings = _codings(values_of(headers, b"content-encoding"))
    if len(codings) > _MOST_CODINGS or not _DECODERS.keys() >= set(codings):
        raise UnusableAnswer("Nexudus answered in a content coding that was not offered")
    # An answer without content has nothing to decode, whatever its headers say.
    for name in reversed(codings if body else ()):
        try:
            body = _DECODERS[name](body, limit + 1)
        except (zlib.error, brotli.error, zstandard.ZstdError, EOFError):
            raise UnusableAnswer("Nexudus' answer does not decode") from None
        if len(body) > limit:
            break
    if len(body) > limit:
        raise UnusableAnswer(f"Nexudus' answer is longer than {limit} bytes")
    return body


def _codings(values: Sequence[bytes]) -> list[bytes]:
    """In the order in which they were applied."""
    if not values:
        return []
    listed = re.split(rb"[ \t]*,[ \t]*", b",".join(values).lower())
    return [name for name in listed if name not in (b"", b"identity")]


def _gunzipped(data: bytes, limit: int) -> bytes:
    out = bytearray()
    while data and len(out) < limit:
        member = zlib.decompressobj(_GZIP)
        out += member.decompress(data, limit - len(out))
        if not member.eof and len(out) < limit:
            raise EOFError
        data = member.unused_data
    return bytes(out)


def _unbrotlied(data: bytes, limit: int) -> bytes:
    decompressor = brotli.Decompressor()
    out = bytearray(decompressor.process(data, output_buffer_limit=limit))
    while len(out) < limit and not decompressor.can_accept_more_data():
        out += decompressor.process(b"", output_buffer_limit=limit)
    if len(out) < limit and not decompressor.is_finished():
        raise EOFError
    return bytes(out)


def _unzstd(data: bytes, limit: int) -> bytes:
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    with decompressor.stream_reader(io.BytesIO(data), read_across_frames=True) as reader:
        out = reader.read(limit)
    # The reader is silent about a frame that ends early, the other interface has no bound: it runs
    # second, when the size is known.
    while data and len(out) < limit:
        frame = decompressor.decompressobj()
        frame.decompress(data)
        if not frame.eof:
            raise EOFError
        data = frame.unused_data
    return out


_DECODERS: Final[Mapping[bytes, Callable[[bytes, int], bytes]]] = MappingProxyType(
    {b"gzip": _gunzipped, b"x-gzip": _gunzipped, b"br": _unbrotlied, b"zstd": _unzstd}
)
