"""Reading raw ASGI request headers, refusing what two readers could understand differently."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, TypeAlias

from bff.errors import CredentialsError, HeaderError, MissingCredentials

RawHeaders: TypeAlias = Sequence[tuple[bytes, bytes]]

MAX_BEARER: Final = 8 * 1024
FRAMING: Final = frozenset((b"content-length", b"transfer-encoding"))
"""The headers that say where a body ends."""

# One character of a token (RFC 9110 §5.6.2), for the grammars built on it.
TCHAR: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]"

_PRINTABLE: Final = re.compile(rb"[\x20-\x7e]*")
_B64TOKEN: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*")


def given_once(headers: RawHeaders) -> dict[bytes, bytes] | None:
    """The headers by name, if every name is in lower case and given once; else None.

    Most requests are like that, and are then read without going through all headers for each name.
    """
    given: dict[bytes, bytes] = dict(headers)
    if len(given) != len(headers) or not b"".join(given).islower():
        return None
    return given


def single(headers: RawHeaders, name: bytes) -> str | None:
    """The value of a header that may occur once; None when it is absent.

    `name` in any case; blanks around the value are cut. Raises HeaderError when it is repeated,
    or holds a byte outside printable ASCII; the message never quotes the value.
    """
    values = _values(headers, name)
    if not values:
        return None
    if len(values) > 1:
        raise HeaderError(f"The {_label(name)} header is sent more than once; send it once.")
    if not _PRINTABLE.fullmatch(values[0]):
        raise HeaderError(f"The {_label(name)} header holds a byte outside printable ASCII.")
    return values[0].decode("ascii")


def combined(headers: RawHeaders, name: bytes) -> str | None:
    """The value of a list-valued header, its lines joined by commas; None when it is absent.

    Decoded as Latin-1, so that every byte survives (RFC 9110 §5.3, §5.5).
    """
    values = _values(headers, name)
    return b", ".join(values).decode("latin-1") if values else None


def check_framing(headers: RawHeaders) -> None:
    """Refuse a body whose end two readers could see in different places (RFC 9112 §6.1, §6.3).

    That is one with a Transfer-Encoding other than a single `chunked`, with a Content-Length
    beside it, or with more than one Content-Length. Raises HeaderError. What the server has read
    by then is framed as it saw fit: close the connection after the answer.
    """
    codings = _values(headers, b"transfer-encoding")
    lengths = _values(headers, b"content-length")
    if codings and [coding.lower() for coding in codings] != [b"chunked"]:
        raise HeaderError("The only Transfer-Encoding that is understood is one `chunked`.")
    if len(lengths) > 1 or (codings and lengths):
        raise HeaderError("The length of the request body is given more than once.")


def bearer(headers: RawHeaders) -> str:
    """The bearer token of the one Authorization header (RFC 6750 §2.1).

    The scheme in any case, one or more spaces, a b64token of at most MAX_BEARER characters.
    Raises CredentialsError for everything else; the message never quotes the value.
    """
    try:
        value = single(headers, b"authorization")
    except HeaderError as error:
        raise CredentialsError(str(error)) from None
    if value is None:
        raise MissingCredentials("Send a token as `Authorization: Bearer <token>`.")
    scheme, _, rest = value.partition(" ")
    token = rest.lstrip(" ")
    if scheme.lower() != "bearer" or not token:
        raise CredentialsError("The Authorization header is not `Bearer <token>`.")
    if len(token) > MAX_BEARER:
        raise CredentialsError(f"The bearer token is longer than {MAX_BEARER} characters.")
    if not _B64TOKEN.fullmatch(token):
        raise CredentialsError("The bearer token holds a character that no token has.")
    return token


def _label(name: bytes) -> str:
    return name.decode("ascii").title()


def _values(headers: RawHeaders, name: bytes) -> list[bytes]:
    wanted = name.lower()
    return [value.strip(b" \t") for key, value in headers if key.lower() == wanted]
