from __future__ import annotations

from collections.abc import Iterator

import httpcore
import httpx
import pytest

from bff.errors import Overloaded, UnusableAnswer, UpstreamDown, UpstreamError, UpstreamTimeout
from bff.nexudus.errors_map import BELOW, MAPPED, translated


def httpx_errors() -> Iterator[type[Exception]]:
    for name in httpx.__all__:
        kind = getattr(httpx, name)
        if isinstance(kind, type) and issubclass(kind, Exception):
            yield kind


@pytest.mark.parametrize("kind", list(httpx_errors()))
def test_every_error_of_the_http_library_is_mapped(kind: type[Exception]) -> None:
    assert kind in MAPPED


def test_the_walk_finds_the_tree() -> None:
    found = set(httpx_errors())
    assert {httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, httpx.ReadError} <= found
    assert found == set(MAPPED)


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (httpx.ConnectError("x"), UpstreamDown),
        (httpx.ConnectTimeout("x"), UpstreamDown),
        (httpx.ReadTimeout("x"), UpstreamTimeout),
        (httpx.PoolTimeout("x"), Overloaded),
        (httpx.DecodingError("x"), UnusableAnswer),
        (OSError("x"), UpstreamDown),
        (ValueError("x"), UpstreamDown),
    ],
)
def test_what_a_failure_becomes(error: Exception, ours: type[UpstreamError]) -> None:
    assert type(translated(error)) is ours


@pytest.mark.parametrize("name", sorted(set(httpcore.__all__) & set(httpx.__all__)))
def test_what_httpcore_raises_is_what_httpx_would(name: str) -> None:
    below, kind = getattr(httpcore, name), getattr(httpx, name)
    if isinstance(kind, type) and issubclass(kind, Exception):
        assert type(translated(below("x"))) is MAPPED[kind][0]
        assert BELOW[below] is kind


def test_a_new_error_below_a_known_one_is_like_it() -> None:
    class NewTimeoutError(httpx.TimeoutException):
        pass

    assert isinstance(translated(NewTimeoutError("x")), UpstreamTimeout)


def test_pitfall_6_the_message_does_not_repeat_what_may_hold_a_token() -> None:
    error = translated(httpx.LocalProtocolError("Illegal header value b'Bearer canary'"))
    assert "canary" not in str(error)
    assert "LocalProtocolError" in str(error)
    assert error.__cause__ is None
