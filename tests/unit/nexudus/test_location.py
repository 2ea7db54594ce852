from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bff.nexudus.location import path_on, relocated
from bff.spaces import Origin

ACME = Origin("https", "acme.spaces.nexudus.com", 443)
LOCAL = Origin("http", "127.0.0.1", 8080)
SIX = Origin("http", "::1", 8080)

printable = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=12)


@pytest.mark.parametrize(
    ("location", "path"),
    [
        (b"https://acme.spaces.nexudus.com/en/login?a=%2f#x", b"/en/login?a=%2f#x"),
        (b"HTTPS://Acme.Spaces.NEXUDUS.com/en", b"/en"),
        (b"https://acme.spaces.nexudus.com:443/en", b"/en"),
        (b"https://acme.spaces.nexudus.com:/en", b"/en"),
        (b"//acme.spaces.nexudus.com/en", b"/en"),
        (b"//ACME.spaces.nexudus.com:443/en", b"/en"),
        (b"https://acme.spaces.nexudus.com", b"/"),
        (b"https://acme.spaces.nexudus.com?x=1", b"/?x=1"),
        (b"https://acme.spaces.nexudus.com#x", b"/#x"),
    ],
)
def test_a_reference_to_the_origin_becomes_a_path(location: bytes, path: bytes) -> None:
    assert path_on(ACME, location) == path


@pytest.mark.parametrize(
    "location",
    [
        b"https://acme.spaces.nexudus.com//evil.example/x",
        b"https://acme.spaces.nexudus.com/\\evil.example/x",
        b"//acme.spaces.nexudus.com///evil.example/x",
    ],
)
def test_pitfall_17_a_path_never_becomes_another_host(location: bytes) -> None:
    path = path_on(ACME, location)
    assert path.startswith(b"/./")
    assert urlsplit(urljoin("https://gateway.example/a", path.decode())).netloc == "gateway.example"


@pytest.mark.parametrize(
    "location",
    [
        b"/en/login",
        b"en/login",
        b"?x",
        b"",
        b"http://acme.spaces.nexudus.com/en",
        b"https://acme.spaces.nexudus.com:8443/en",
        b"https://other.spaces.nexudus.com/en",
        b"https://localhost/en",
        b"https://acme.spaces.nexudus.com.evil.example/en",
        b"https://user@acme.spaces.nexudus.com/en",
        b"https://acme.spaces.nexudus.com@evil.example/en",
        b"https://acme.spaces.nexudus.com\\@evil.example/en",
        b"https://acme.spaces.nexudus.com./en",
        b"https:/acme.spaces.nexudus.com/en",
        b"https://acme.spaces.nexudus.com/\t/evil.example",
        b"https://acme.spaces.nexudus.com/ x",
        b"intent://scan/#Intent;scheme=zxing;end",
        b"https://exa mple/\xff",
        b"http://169.254.169.254/latest/meta-data",
    ],
)
def test_any_other_reference_is_untouched(location: bytes) -> None:
    assert path_on(ACME, location) == location


@pytest.mark.parametrize(
    ("origin", "location", "path"),
    [
        (LOCAL, b"http://127.0.0.1:8080/x", b"/x"),
        (LOCAL, b"http://127.0.0.1/x", b"http://127.0.0.1/x"),
        (LOCAL, b"http://127.0.0.1:/x", b"http://127.0.0.1:/x"),
        (SIX, b"http://[::1]:8080/x", b"/x"),
        (SIX, b"//[::1]:8080", b"/"),
    ],
)
def test_a_port_and_an_address_are_compared(origin: Origin, location: bytes, path: bytes) -> None:
    assert path_on(origin, location) == path


@given(printable)
def test_the_path_leads_where_the_reference_led(rest: str) -> None:
    location = f"https://acme.spaces.nexudus.com/{rest}"
    path = path_on(ACME, location.encode()).decode()
    assume("\\" not in rest)  # browsers read it as a slash, urljoin does not
    joined = urlsplit(urljoin("https://gateway.example/some/where", path))
    wanted = urlsplit(urljoin("https://acme.spaces.nexudus.com/", location))
    assert joined.netloc == "gateway.example"
    assert (joined.query, joined.fragment) == (wanted.query, wanted.fragment)
    assert path.removeprefix("/.") == f"/{rest}" or path == f"/{rest}"


def test_only_location_is_rewritten() -> None:
    here = b"https://acme.spaces.nexudus.com/x"
    headers = [(b"content-location", here), (b"location", here), (b"link", here)]
    assert relocated(headers, ACME) == [
        (b"content-location", here),
        (b"location", b"/x"),
        (b"link", here),
    ]
