from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from bff.errors import UnusableAnswer
from bff.nexudus.decoding import decoded

LIMIT = 64 * 1024


def brotlied(data: bytes) -> bytes:
    out: bytes = brotli.compress(data, quality=5)
    return out


def zstd(data: bytes) -> bytes:
    """Streamed, so that the frame does not say how long its content is."""
    compressor = zstandard.ZstdCompressor().compressobj()
    return compressor.compress(data) + compressor.flush()


CODERS: dict[bytes, Callable[[bytes], bytes]] = {
    b"gzip": gzip.compress,
    b"br": brotlied,
    b"zstd": zstd,
}
coding = pytest.mark.parametrize("name", sorted(CODERS))


@given(st.sampled_from(sorted(CODERS)), st.binary(max_size=300), st.integers(1, 400))
def test_undoes_a_coding(name: bytes, data: bytes, times: int) -> None:
    body = CODERS[name](data * times)
    headers = [(b"Content-Encoding", name.upper())]
    if len(data) * times > LIMIT:
        with pytest.raises(UnusableAnswer):
            decoded(headers, body, LIMIT)
    else:
        assert decoded(headers, body, LIMIT) == data * times


@coding
def test_the_limit_is_the_last_length_that_passes(name: bytes) -> None:
    headers = [(b"content-encoding", name)]
    assert len(decoded(headers, CODERS[name](b"x" * LIMIT), LIMIT)) == LIMIT
    with pytest.raises(UnusableAnswer):
        decoded(headers, CODERS[name](b"x" * (LIMIT + 1)), LIMIT)


@coding
def test_pitfall_18_a_decompression_bomb_stays_small(name: bytes) -> None:
    bomb = CODERS[name](bytes(64 * 2**20))
    tracemalloc.start()
    try:
        with pytest.raises(UnusableAnswer):
            decoded([(b"content-encoding", name)], bomb, LIMIT)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * 2**20


@coding
def test_truncated_data_is_refused(name: bytes) -> None:
    whole = CODERS[name](bytes(range(256)) * 50)
    for cut in (1, 4, len(whole) // 2, len(whole) - 1):
        with pytest.raises(UnusableAnswer):
            decoded([(b"content-encoding", name)], whole[:-cut], LIMIT)


@coding
def test_damaged_data_is_refused(name: bytes) -> None:
    with pytest.raises(UnusableAnswer):
        decoded([(b"content-encoding", name)], b"<html>not compressed</html>", LIMIT)


def test_members_and_frames_are_joined() -> None:
    assert (
        decoded([(b"content-encoding", b"gzip")], gzip.compress(b"a") + gzip.compress(b"b"), 9)
        == b"ab"
    )
    assert decoded([(b"content-encoding", b"zstd")], zstd(b"a") + zstd(b"b"), 9) == b"ab"


def test_a_window_that_is_larger_than_http_allows_is_refused() -> None:
    params = zstandard.ZstdCompressionParameters(window_log=25)
    compressor = zstandard.ZstdCompressor(compression_params=params).compressobj()
    body = compressor.compress(b"x" * 100) + compressor.flush()
    with pytest.raises(UnusableAnswer):
        decoded([(b"content-encoding", b"zstd")], body, LIMIT)


@pytest.mark.parametrize("value", [b"", b"identity", b"Identity , identity"])
def test_no_coding_leaves_the_body(value: bytes) -> None:
    assert decoded([(b"content-encoding", value)], b"plain", LIMIT) == b"plain"


def test_the_limit_holds_for_plain_bodies() -> None:
    with pytest.raises(UnusableAnswer):
        decoded([], bytes(LIMIT + 1), LIMIT)


def test_codings_are_undone_in_reverse_order() -> None:
    body = brotlied(gzip.compress(b"twice"))
    assert (
        decoded([(b"content-encoding", b"gzip"), (b"content-encoding", b"br")], body, 99)
        == b"twice"
    )


@pytest.mark.parametrize("value", [b"deflate", b"compress", b"gzip, gzip, gzip", b"aes128gcm"])
def test_a_coding_that_was_not_offered_is_refused(value: bytes) -> None:
    with pytest.raises(UnusableAnswer):
        decoded([(b"content-encoding", value)], zlib.compress(b"x"), LIMIT)


@coding
def test_an_answer_without_content_has_nothing_to_decode(name: bytes) -> None:
    assert decoded([(b"content-encoding", name)], b"", LIMIT) == b""
