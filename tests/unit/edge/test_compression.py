"""`Accept-Encoding` negotiation and compression."""

from __future__ import annotations

import gzip
from pathlib import Path

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard

from bff.edge.compression import (
    MAX_ACCEPT_ENCODING,
    MIN_BODY,
    Encoding,
    compress,
    negotiate,
    worth_compressing,
)
from tests.unit.edge.conftest import CpuSeconds

PROFILES = Path(__file__).parents[2] / "fixtures" / "nexudus" / "profiles.json"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, Encoding.IDENTITY),
        ("", Encoding.IDENTITY),
        ("gzip, deflate, br, zstd", Encoding.BR),  # a browser
        ("gzip, deflate", Encoding.GZIP),
        ("gzip;q=1, zstd;q=1", Encoding.ZSTD),
        ("br;q=0.5, gzip;q=0.8", Encoding.GZIP),
        ("br;q=0.001", Encoding.BR),
        ("BR;Q=0.9, GZip;q=0.8", Encoding.BR),
        ("x-gzip", Encoding.GZIP),
        ("*", Encoding.BR),
        ("br;q=0, *", Encoding.ZSTD),
        ("br;q=0, zstd;q=0, *;q=0.1", Encoding.GZIP),
        ("gzip;q=0.5, *;q=0.9", Encoding.BR),
        ("br;q=0.1, zstd;q=0.1, gzip;q=0.1, *", Encoding.IDENTITY),
        ("identity", Encoding.IDENTITY),
        ("identity;q=0.5, gzip;q=0.4", Encoding.IDENTITY),
        ("identity;q=0.5, gzip;q=0.5", Encoding.GZIP),
        ("identity;q=0, gzip;q=0.1", Encoding.GZIP),
        ("gzip;q=0", Encoding.IDENTITY),
        ("compress, deflate", Encoding.IDENTITY),
        ("gzip \t;\t q=1 , br ; q=0.2", Encoding.GZIP),
        (",, gzip ,", Encoding.GZIP),
        ("gzip;q=0, gzip;q=1", Encoding.GZIP),  # named twice: the highest counts
        ("gzip;q=1., br;q=0.", Encoding.GZIP),
    ],
)
def test_the_highest_q_wins_and_preference_breaks_ties(
    header: str | None, expected: Encoding
) -> None:
    assert negotiate(header) is expected


@pytest.mark.parametrize(
    "header", ["identity;q=0", "*;q=0", "identity;q=0, gzip;q=0", "br;q=0,*;q=0"]
)
def test_identity_is_served_when_nothing_is_acceptable(header: str) -> None:
    assert negotiate(header) is Encoding.IDENTITY


@pytest.mark.parametrize(
    "member",
    [
        "br;q=2",
        "br;q=1.001",
        "br;q=0.1234",
        "br;q=-1",
        "br;q=",
        "br;q",
        "br;level=9",
        "br;q=1;q=1",
        "br q=1",
        "b r",
        "br;q=0٫5",
        "b\x00r",
        '"br"',
    ],
)
def test_a_malformed_member_is_skipped_and_the_others_count(member: str) -> None:
    assert negotiate(member) is Encoding.IDENTITY
    assert negotiate(f"{member}, gzip;q=0.1") is Encoding.GZIP


def test_a_header_past_the_limit_means_identity() -> None:
    padding = " " * (MAX_ACCEPT_ENCODING - 2)
    assert negotiate("br" + padding) is Encoding.BR
    assert negotiate("br" + padding + " ") is Encoding.IDENTITY


@pytest.mark.parametrize("hostile", ["," * 1024, " " * 1023 + "\x00", "br" + " " * 1000 + ";"])
def test_a_hostile_header_costs_no_more_than_its_length(hostile: str, cpu_s: CpuSeconds) -> None:
    assert negotiate(hostile) is Encoding.IDENTITY
    assert cpu_s(lambda: negotiate(hostile)) < 0.03


@pytest.mark.parametrize("encoding", Encoding)
def test_compression_is_deterministic_and_undone_by_its_own_decoder(encoding: Encoding) -> None:
    body = PROFILES.read_bytes()
    decoders = {
        Encoding.BR: brotli.decompress,
        Encoding.ZSTD: zstandard.ZstdDecompressor().decompress,
        Encoding.GZIP: gzip.decompress,
        Encoding.IDENTITY: bytes,
    }
    compressed = compress(body, encoding)
    assert compressed == compress(body, encoding)
    assert decoders[encoding](compressed) == body
    assert (len(compressed) < len(body)) is (encoding is not Encoding.IDENTITY)


def test_gzip_carries_no_time() -> None:
    assert compress(b"body", Encoding.GZIP)[4:8] == bytes(4)


def test_a_short_body_is_not_worth_compressing() -> None:
    assert not worth_compressing(b"x" * (MIN_BODY - 1))
    assert worth_compressing(b"x" * MIN_BODY)
