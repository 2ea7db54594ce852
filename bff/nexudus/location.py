"""The `Location` of an answer, as an app behind the gateway has to read it (RFC 9110 10.2.2)."""

from __future__ import annotations

import re
from typing import Final

from bff.nexudus.headers import Header, RawHeaders
from bff.spaces import Origin, join_authority

_ABSOLUTE: Final = re.compile(rb"(?:([A-Za-z][A-Za-z0-9+.-]*):)?//([^/?#\\@]*)([/?#][\x21-\x7e]*)?")
_DEFAULT_PORT: Final = {"http": 80, "https": 443}


def relocated(headers: RawHeaders, origin: Origin) -> list[Header]:
    """`headers` with each Location at `origin` made path-absolute, the others untouched."""
    return [
        (name, path_on(origin, value) if name == b"location" else value) for name, value in headers
    ]


def path_on(origin: Origin, location: bytes) -> bytes:
    """The path, query and fragment of a reference to `origin`; any other reference as it is."""
    match = _ABSOLUTE.fullmatch(location)
    if match is None:
        return location
    scheme, authority, rest = match.groups(default=b"")
    named = join_authority(origin.host, origin.port).encode("ascii")
    same = {named}
    if origin.port == _DEFAULT_PORT[origin.scheme]:
        same |= {
            join_authority(origin.host, None).encode("ascii"),
            named.rpartition(b":")[0] + b":",
        }
    if scheme.lower() not in (b"", origin.scheme.encode("ascii")) or authority.lower() not in same:
        return location
    if not rest.startswith(b"/"):
        return b"/" + rest
    # `//host` and `/\host` are other hosts to a browser: the dot keeps them paths (RFC 3986 4.2).
    return b"/." + rest if rest[1:2] in (b"/", b"\\") else rest
