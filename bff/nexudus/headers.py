"""Which headers travel between the apps and Nexudus, decided on raw header lists.

Both directions are allow-lists of exact names: a name spelled otherwise (`X_Forwarded_For`), a
hop-by-hop header (RFC 9110 7.6.1) and anything that could rewrite the request (`X-Original-URL`,
`X-HTTP-Method-Override`, `Forwarded`, `Host`) is dropped because nothing lets it through.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from bff import __version__
from bff.errors import HeaderError

Header = tuple[bytes, bytes]
RawHeaders = Sequence[Header]

UP: Final = frozenset(
    b"accept accept-charset accept-encoding accept-language authorization cache-control client_id "
    b"content-disposition content-encoding content-language content-length content-md5 "
    b"content-range content-type cookie dnt idempotency-key if-match if-modified-since "
    b"if-none-match if-range if-unmodified-since nx-app-version origin pragma prefer range referer "
    b"user-agent x-requested-with x-use-timezone".split()
)
"""Request headers that go up. `client_id` is a header of Nexudus' token endpoint (FACTS 2.1)."""

DOWN: Final = frozenset(
    b"accept-patch accept-post accept-ranges allow cache-control content-digest "
    b"content-disposition content-encoding content-language content-length content-location "
    b"content-md5 content-range content-security-policy content-security-policy-report-only "
    b"content-type cross-origin-embedder-policy cross-origin-opener-policy "
    b"cross-origin-resource-policy date deprecation digest etag expires last-modified link "
    b"location permissions-policy pragma preference-applied referrer-policy repr-digest "
    b"retry-after set-cookie sunset vary www-authenticate x-content-type-options x-frame-options "
    b"x-robots-tag x-total-count x-xss-protection".split()
)
"""Response headers that come down. CORS, HSTS and the cache headers are the gateway's own."""

VARIANT_LIMIT: Final = 128
ACCEPT_ENCODING: Final = b"gzip, br, zstd"

_AT_MOST_ONCE: Final = frozenset((b"authorization", b"content-length"))
_VALUE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_PRINTABLE: Final = re.compile(r"[\x20-\x7e]+")
_USER_AGENT: Final = (b"user-agent", f"bff/{__version__}".encode("ascii"))


def upward(headers: RawHeaders) -> list[Header]:
    """The request headers that go to Nexudus: lower-case names, order and repetitions kept.

    Cookies that HTTP/2 has split are one header again (RFC 9113 8.2.3). Raises HeaderError on a
    second Authorization or Content-Length.
    """
    kept = _allowed(headers, UP)
    names = [name for name, _ in kept]
    for name in _AT_MOST_ONCE:
        if names.count(name) > 1:
            raise HeaderError(f"the {name.decode().title()} header is repeated")
    if names.count(b"cookie") > 1:
        place, cookies = names.index(b"cookie"), b"; ".join(values_of(kept, b"cookie"))
        kept = [pair for pair in kept if pair[0] != b"cookie"]
        kept.insert(place, (b"cookie", cookies))
    return kept


def downward(headers: RawHeaders) -> list[Header]:
    """The response headers that go to the app: lower-case names, order and repetitions kept.

    A Content-Length beside a Transfer-Encoding is not the length of anything (RFC 9112 6.3).
    """
    chunked = any(name.lower() == b"transfer-encoding" for name, _ in headers)
    return _allowed(headers, DOWN - {b"content-length"} if chunked else DOWN)


def content_length(headers: RawHeaders) -> int | None:
    """The declared body length in bytes, or None where none is declared. Raises HeaderError."""
    values = values_of(headers, b"content-length")
    if not values:
        return None
    if len(values) > 1 or not re.fullmatch(rb"[0-9]{1,18}", values[0]):
        raise HeaderError("Content-Length must be one decimal number")
    return int(values[0])


def values_of(headers: RawHeaders, name: bytes) -> tuple[bytes, ...]:
    """Every value of the header `name` (given in lower case), in order, trimmed."""
    return tuple(value.strip(b" \t") for key, value in headers if key.lower() == name)


def _allowed(headers: RawHeaders, names: frozenset[bytes]) -> list[Header]:
    named = [(name.lower(), value.strip(b" \t")) for name, value in headers]
    per_hop = {
        option.strip(b" \t").lower()
        for name, value in named
        if name == b"connection"
        for option in value.split(b",")
    }
    passing = names - per_hop
    return [pair for pair in named if pair[0] in passing and _VALUE.fullmatch(pair[1])]


@dataclass(frozen=True, slots=True)
class Variants:
    """The request headers that may change a cached body: in the key exactly as they are forwarded.

    None means: not forwarded. ValueError for a value that `of` would not have produced.
    """

    accept_language: str | None = None
    use_timezone: str | None = None
    canonical: str = field(init=False, repr=False, compare=False)
    """Text for cache keys; different variants have different texts."""

    def __post_init__(self) -> None:
        if self.accept_language != _language(self.accept_language or ""):
            raise ValueError("accept_language is not in its normal form")
        if self.use_timezone not in (None, "true", "false"):
            raise ValueError("use_timezone is neither true nor false")
        language = "-" if self.accept_language is None else f"+{self.accept_language}"
        text = f"tz={self.use_timezone or '-'};al={language}"
        object.__setattr__(self, "canonical", text)

    @classmethod
    def of(cls, headers: RawHeaders) -> Variants:
        """From raw request headers: trimmed, repetitions joined, anything unusual dropped."""
        languages = _joined(headers, b"accept-language")
        timezone = _joined(headers, b"x-use-timezone").lower()
        return cls(_language(languages), timezone if timezone in ("true", "false") else None)

    def headers(self) -> list[Header]:
        """The raw headers that carry these variants upstream."""
        pairs = ((b"accept-language", self.accept_language), (b"x-use-timezone", self.use_timezone))
        return [(name, value.encode("ascii")) for name, value in pairs if value is not None]


def cached_request_headers(bearer: str, variants: Variants) -> list[Header]:
    """All the headers of a cached call: nothing of the client's but its token and the variants."""
    return [
        (b"authorization", b"Bearer " + bearer.encode("ascii")),
        (b"accept", b"application/json"),
        (b"accept-encoding", ACCEPT_ENCODING),
        _USER_AGENT,
        *variants.headers(),
    ]


def _joined(headers: RawHeaders, name: bytes) -> str:
    return b", ".join(value for value in values_of(headers, name) if value).decode("latin-1")


def _language(text: str) -> str | None:
    value = text.strip(" \t")
    return value if len(value) <= VARIANT_LIMIT and _PRINTABLE.fullmatch(value) else None
