"""Cache-Control, Vary, Age, Cache-Status and Server-Timing."""

from __future__ import annotations

import math

import pytest

from bff.edge.caching import (
    MAX_UPSTREAM_VALUE,
    Forward,
    Forwarded,
    Hit,
    age,
    cache_status,
    cached_answer_headers,
    merge_vary,
    private_cache_control,
    server_timing,
)
from tests.unit.edge.conftest import CpuSeconds


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Hit(ttl_s=42, detail="l1"), "bff; hit; ttl=42; detail=l1"),
        (Hit(ttl_s=0.9), "bff; hit; ttl=0"),
        (Hit(ttl_s=-0.1, detail="swr"), "bff; hit; ttl=-1; detail=swr"),
        (Hit(ttl_s=-30), "bff; hit; ttl=-30"),
        (Hit(ttl_s=1e300), "bff; hit; ttl=999999999999999"),
        (Hit(ttl_s=-1e300), "bff; hit; ttl=-999999999999999"),
        (Forward(Forwarded.BYPASS), "bff; fwd=bypass"),
        (
            Forward(Forwarded.URI_MISS, status=200, stored=True, collapsed=True),
            "bff; fwd=uri-miss; fwd-status=200; stored; collapsed",
        ),
        (Hit(ttl_s=1, detail="2 tiers"), 'bff; hit; ttl=1; detail="2 tiers"'),
        (Hit(ttl_s=1, detail="2nd"), 'bff; hit; ttl=1; detail="2nd"'),
        (Hit(ttl_s=1, detail="l1/l2:x"), "bff; hit; ttl=1; detail=l1/l2:x"),
        (Hit(ttl_s=1, detail='a"b\\c'), 'bff; hit; ttl=1; detail="a\\"b\\\\c"'),
    ],
)
def test_cache_status_is_an_item_of_structured_fields(
    outcome: Hit | Forward, expected: str
) -> None:
    assert cache_status(outcome) == expected


@pytest.mark.parametrize("detail", ["caf\xe9", "a\r\nSet-Cookie: x=1", "\x00", "\x7f", "l1\n"])
def test_a_detail_that_no_header_can_carry_is_refused(detail: str) -> None:
    with pytest.raises(ValueError, match="detail"):
        cache_status(Hit(ttl_s=1, detail=detail))


@pytest.mark.parametrize("ttl_s", [math.nan, math.inf, -math.inf])
def test_a_ttl_that_is_no_number_is_refused(ttl_s: float) -> None:
    with pytest.raises(ValueError, match="ttl"):
        cache_status(Hit(ttl_s=ttl_s))


def test_server_timing_lists_milliseconds_by_name() -> None:
    assert server_timing({"flight": 12.345, "shape": 0}) == "flight;dur=12.3, shape;dur=0.0"


def test_a_clock_that_stepped_back_is_no_negative_duration() -> None:
    assert server_timing({"flight": -1.0}) == "flight;dur=0.0"


@pytest.mark.parametrize("name", ["", "a b", "a;b", "a,b", "caf\xe9", "a\n", "a\r\nX: y"])
def test_a_metric_whose_name_is_no_token_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="token"):
        server_timing({name: 1.0})


@pytest.mark.parametrize("duration_ms", [math.nan, math.inf])
def test_a_metric_without_a_finite_duration_is_refused(duration_ms: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        server_timing({"flight": duration_ms})


@pytest.mark.parametrize(
    ("age_s", "expected"), [(0, "0"), (1.9, "1"), (-5, "0"), (1e300, "2147483648")]
)
def test_age_is_a_whole_number_of_seconds_from_zero(age_s: float, expected: str) -> None:
    assert age(age_s) == expected


def test_pitfall_19_a_cached_answer_is_private_and_varies() -> None:
    assert cached_answer_headers('"v-br"', 3.2, Hit(ttl_s=42), {"total": 1.0}) == [
        (b"etag", b'"v-br"'),
        (b"cache-control", b"private, no-cache"),
        (b"vary", b"Authorization, Accept-Encoding, Origin"),
        (b"age", b"3"),
        (b"cache-status", b"bff; hit; ttl=42"),
        (b"server-timing", b"total;dur=1.0"),
    ]


def test_nothing_measured_means_no_server_timing() -> None:
    names = [name for name, _ in cached_answer_headers('"v"', 0, Hit(ttl_s=1), {})]
    assert b"server-timing" not in names


@pytest.mark.parametrize(
    ("upstream", "expected"),
    [
        (None, "private, no-cache"),
        ("", "private, no-cache"),
        (" , ,", "private, no-cache"),
        ("public", "private, no-cache"),
        ("s-maxage=600", "private, no-cache"),
        ("private", "private"),
        ("no-cache", "private, no-cache"),
        ("no-store", "no-store"),
        ("max-age=60", "private, max-age=60"),
        ("public, max-age=60, s-maxage=600", "private, max-age=60"),
        ("PUBLIC , Max-Age = 60", "private, max-age=60"),
        ('max-age="60"', "private, max-age=60"),
        ("max-age=060", "private, max-age=60"),
        ("max-age=0", "private, max-age=0"),
        ("no-cache, no-store, must-revalidate", "no-store, no-cache, must-revalidate"),
        ("private, no-store", "no-store, private"),
        ("max-age=60, immutable, no-transform", "private, no-transform, immutable, max-age=60"),
        (
            "max-age=60, stale-while-revalidate=30",
            "private, max-age=60, stale-while-revalidate=30",
        ),
        # Only the named fields would be private, and the answer itself shared.
        ('private="set-cookie, x-user", max-age=5', "private, max-age=5"),
        ('no-cache="set-cookie, public"', "private, no-cache"),
        # must-understand lets a cache set no-store aside (RFC 9111 §5.2.2.3).
        ("must-understand, no-store", "no-store"),
        ("proxy-revalidate, unknown=1", "private, no-cache"),
        ("max-age=600, max-age=5", "private, max-age=5"),
        ("max-age=5, max-age=600", "private, max-age=5"),
        ("max-age", "private, max-age=0"),
        ("max-age=soon", "private, max-age=0"),
        ('max-age="-1"', "private, max-age=0"),
        ("max-age=" + "9" * 4000, "private, max-age=2147483648"),
        ("max-age=2147483649", "private, max-age=2147483648"),
    ],
)
def test_pitfall_19_an_answer_that_passes_through_is_private_or_not_stored(
    upstream: str | None, expected: str
) -> None:
    assert private_cache_control(upstream) == expected


@pytest.mark.parametrize(
    "upstream",
    [
        "public; no-store",
        "public max-age=60",
        'no-cache="a, no-store',
        "=5",
        "max-age=",
        "max-age=٦",
        "public\r\nx: y",
        "a" * (MAX_UPSTREAM_VALUE + 1),
    ],
)
def test_pitfall_19_a_cache_control_that_does_not_parse_forbids_storing(upstream: str) -> None:
    assert private_cache_control(upstream) == "no-store"


def test_an_upstream_value_at_the_limit_is_still_read() -> None:
    padding = " " * (MAX_UPSTREAM_VALUE - len("max-age=5"))
    assert private_cache_control("max-age=5" + padding) == "private, max-age=5"
    padding = " " * (MAX_UPSTREAM_VALUE - len("Accept"))
    assert merge_vary("Accept" + padding) == "Authorization, Origin, Accept"


@pytest.mark.parametrize(
    "hostile", [" " * 4095 + "\x00", '"' * 4096, 'a="' + "\\" * 4093, "a=" * 2048]
)
def test_a_hostile_cache_control_costs_no_more_than_its_length(
    hostile: str, cpu_s: CpuSeconds
) -> None:
    assert private_cache_control(hostile) == "no-store"
    assert cpu_s(lambda: private_cache_control(hostile)) < 0.03


@pytest.mark.parametrize(
    ("upstream", "expected"),
    [
        (None, "Authorization, Origin"),
        ("", "Authorization, Origin"),
        ("Accept-Language", "Authorization, Origin, Accept-Language"),
        ("origin, ACCEPT, authorization,, accept", "Authorization, Origin, ACCEPT"),
        ("*", "*"),
        ("Accept, *", "*"),
        ("Accept Language", "*"),
        ("Accept\r\nX: y", "*"),
        ("a" * (MAX_UPSTREAM_VALUE + 1), "*"),
    ],
)
def test_pitfall_19_vary_covers_the_caller_and_what_upstream_named(
    upstream: str | None, expected: str
) -> None:
    assert merge_vary(upstream) == expected


def test_vary_covers_what_the_caller_of_the_function_requires() -> None:
    assert merge_vary("Origin", ("Accept-Encoding",)) == "Accept-Encoding, Origin"
