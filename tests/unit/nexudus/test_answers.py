from __future__ import annotations

import pytest

from bff.nexudus.answers import Answer
from bff.nexudus.headers import Header


def answer(*headers: Header) -> Answer:
    return Answer.of(200, headers, b"{}", 0.5)


def test_headers_of_the_encoded_body_are_gone() -> None:
    got = answer(
        (b"Content-Type", b"application/json"),
        (b"Content-Encoding", b"gzip"),
        (b"Content-Length", b"20"),
        (b"Server", b"Kestrel"),
        (b"Retry-After", b" 1 "),
    )
    assert got.headers == ((b"content-type", b"application/json"), (b"retry-after", b"1"))
    assert got.values(b"retry-after") == (b"1",)
    assert got.values(b"content-length") == ()


@pytest.mark.parametrize("value", [b"no-store", b"private, No-Store", b"max-age=0 , no-store , x"])
def test_no_store_is_seen(value: bytes) -> None:
    assert answer((b"Cache-Control", b"private"), (b"cache-control", value)).no_store


@pytest.mark.parametrize("value", [b"no-cache", b"private", b"no-store-ever", b""])
def test_no_store_is_not_imagined(value: bytes) -> None:
    assert not answer((b"Cache-Control", value), (b"Pragma", b"no-store")).no_store


def test_a_cookie_is_seen() -> None:
    assert answer((b"Set-Cookie", b"a=1")).set_cookie
    assert not answer((b"Cookie", b"a=1")).set_cookie
