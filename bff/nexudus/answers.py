"""What a cached call brings back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bff.nexudus.headers import Header, RawHeaders, downward, values_of

_OF_THE_ENCODED_BODY: Final = frozenset((b"content-encoding", b"content-length", b"content-md5"))


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer of Nexudus, whatever its status; `body` is decoded.

    `headers` are the allow-listed ones, without those that described the encoded body.
    `no_store` and `set_cookie` say what upstream asked for. `took_s` includes reading the body.
    """

    status: int
    headers: tuple[Header, ...]
    body: bytes
    no_store: bool
    set_cookie: bool
    took_s: float

    @classmethod
    def of(cls, status: int, headers: RawHeaders, body: bytes, took_s: float) -> Answer:
        """From the upstream's raw headers and the decoded body."""
        names = {name.lower() for name, _ in headers}
        kept = [pair for pair in downward(headers) if pair[0] not in _OF_THE_ENCODED_BODY]
        return cls(
            status=status,
            headers=tuple(kept),
            body=body,
            no_store=b"cache-control" in names and _says_no_store(headers),
            set_cookie=b"set-cookie" in names,
            took_s=took_s,
        )

    def values(self, name: bytes) -> tuple[bytes, ...]:
        """Every value of the header `name` (given in lower case), in order."""
        return values_of(self.headers, name)


def _says_no_store(headers: RawHeaders) -> bool:
    return any(
        directive.strip(b" \t").lower() == b"no-store"
        for value in values_of(headers, b"cache-control")
        for directive in value.split(b",")
    )
