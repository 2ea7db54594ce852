"""What a request may ask for: checked before any upstream URL is built, and never repaired."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, TypeAlias
from urllib.parse import unquote, unquote_plus

from bff.errors import ParameterError, RequestError, ShapeError, TargetError

BOOTSTRAP_PATH: Final = "/session/bootstrap"
MAX_TARGET: Final = 8 * 1024
MAX_VALUE: Final = 16 * 1024
MAX_PARAMETERS: Final = 32
MAX_COWORKER_ID: Final = 2**63 - 1

_MAX_ECHO: Final = 24

_Faults: TypeAlias = tuple[tuple[re.Pattern[bytes], str], ...]

_PATH_FAULTS: Final[_Faults] = (
    (re.compile(rb"\A(?!/)"), "The path does not start with `/`; send the origin form."),
    (re.compile(rb"[\x00-\x1f\x7f]"), "The path holds a control character."),
    (re.compile(rb"[\x80-\xff]"), "The path holds a byte outside ASCII; percent-encode it."),
    (re.compile(rb"\\"), "The path holds a backslash."),
    # httpx would percent-encode these, and the upstream would see another path than the one sent.
    (re.compile(rb'[ "#<>?`{}]'), "The path holds a character that must be percent-encoded."),
    (re.compile(rb"%(?![0-9A-Fa-f]{2})"), "The path holds `%` without two hex digits after it."),
    (re.compile(rb"//"), "The path holds an empty segment (`//`)."),
    (re.compile(rb"%(?:2[Ff]|5[Cc])"), "The path holds an encoded slash or backslash."),
    (re.compile(rb"%(?:3[Ff]|23)"), "The path holds an encoded `?` or `#`."),
)
_QUERY_FAULTS: Final[_Faults] = (
    (re.compile(rb"[\x00-\x1f\x7f]"), "The query holds a control character."),
    (re.compile(rb"[\x80-\xff]"), "The query holds a byte outside ASCII; percent-encode it."),
    (re.compile(rb'[ "#<>]'), "The query holds a character that must be percent-encoded."),
    (re.compile(rb"%(?![0-9A-Fa-f]{2})"), "The query holds `%` without two hex digits after it."),
)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# Servers on Windows drop trailing dots and blanks of a segment, so `.. ` would climb there.
_DOT_SEGMENT: Final = re.compile(r" *+\.[ .]*+")
_PLAIN_NAME: Final = re.compile(rf"[A-Za-z0-9_.-]{{1,{_MAX_ECHO}}}")
_COWORKER_ID: Final = re.compile(r"[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class Target:
    """An accepted origin-form target: raw `path` and `query`, ASCII, encoded as they were sent."""

    path: str
    query: str

    def __str__(self) -> str:
        return f"{self.path}?{self.query}" if self.query else self.path


def check_target(raw_path: bytes, query: bytes) -> Target:
    """The target to forward, byte for byte as sent; `query` without its `?`.

    Raises TargetError, whose message never quotes the target, for what a second parser could read
    as another path: see `check_path`; in the query control characters, raw characters outside
    RFC 3986, malformed percent-encoding. ParameterError for a query that makes it all longer than
    MAX_TARGET bytes.
    """
    path = check_path(raw_path)
    if len(raw_path) + 1 + len(query) > MAX_TARGET:
        raise ParameterError(f"With its query, the target is longer than {MAX_TARGET} bytes.")
    _refuse(query, _QUERY_FAULTS, TargetError)
    return Target(path=path, query=query.decode("ascii"))


def check_path(raw_path: bytes) -> str:
    """The path of a target, as sent. Raises TargetError for one that is never forwarded.

    Refused, plain or encoded: dot segments (also with blanks or `;parameters`), slashes and
    backslashes in a segment, `?`, `#`, control characters, text that is not UTF-8. Allowed: `;`
    and `@`, the origin being fixed; `%252f`, which is forwarded untouched: a path is decoded once,
    here and by any correct upstream, and is then the literal text `%2f`.
    """
    if len(raw_path) > MAX_TARGET:
        raise TargetError(f"The request target is longer than {MAX_TARGET} bytes.")
    _refuse(raw_path, _PATH_FAULTS, TargetError)
    path = raw_path.decode("ascii")
    if "%" not in path and "/." not in path:
        return path
    try:
        decoded = unquote(path, errors="strict")
    except UnicodeDecodeError:
        # Overlong forms of `/` and `.` are not UTF-8 either.
        raise TargetError("The path does not decode to UTF-8.") from None
    if _CONTROL.search(decoded):
        raise TargetError("The path holds an encoded control character.")
    for segment in decoded.split("/"):
        if _DOT_SEGMENT.fullmatch(segment.partition(";")[0]):
            raise TargetError("The path holds a dot segment (`.` or `..`).")
    return path


def parse_query(query: bytes, allowed: frozenset[str]) -> dict[str, str]:
    """The parameters of one of our own routes, decoded as a form: `+` is a blank, bytes are UTF-8.

    Raises ParameterError for a name outside `allowed` (with the nearest one), a repeated one, a
    malformed encoding, more than MAX_PARAMETERS of them or a value over MAX_VALUE raw bytes;
    ShapeError when that value is `_shape`. Messages never quote a value.
    """
    if query.count(b"&") >= MAX_PARAMETERS:
        raise ParameterError(f"The query has more than {MAX_PARAMETERS} parameters.")
    parameters: dict[str, str] = {}
    for piece in filter(None, query.split(b"&")):
        raw_name, _, raw_value = piece.partition(b"=")
        name = _decode(raw_name)
        if name not in allowed:
            raise ParameterError(_unknown(name, allowed))
        if name in parameters:
            raise ParameterError(f"The parameter `{name}` is sent more than once; send it once.")
        if len(raw_value) > MAX_VALUE:
            raise _too_long(name)
        parameters[name] = _decode(raw_value)
    return parameters


def coworker_id(text: str) -> int:
    """The coworker id that a path names: 1 to 2^63 - 1 (FACTS §7: ids are 64-bit).

    Decimal ASCII digits without sign, blank or leading zero. Raises TargetError otherwise.
    """
    if not _COWORKER_ID.fullmatch(text) or int(text) > MAX_COWORKER_ID:
        raise TargetError("A coworker id is a whole number from 1 to 2^63 - 1.")
    return int(text)


def _refuse(raw: bytes, faults: _Faults, error: type[RequestError]) -> None:
    for pattern, sentence in faults:
        if pattern.search(raw):
            raise error(sentence)


def _decode(raw: bytes) -> str:
    _refuse(raw, _QUERY_FAULTS, ParameterError)
    try:
        return unquote_plus(raw.decode("ascii"), errors="strict")
    except UnicodeDecodeError:
        raise ParameterError("The query does not decode to UTF-8.") from None


def _too_long(name: str) -> RequestError:
    if name == "_shape":
        return ShapeError(
            f"_shape is longer than {MAX_VALUE} bytes as sent: name a parent to keep all of it,"
            " or use a named shape (_shape=@name)."
        )
    return ParameterError(f"The value of `{name}` is longer than {MAX_VALUE} bytes.")


def _unknown(name: str, allowed: frozenset[str]) -> str:
    # A token pasted as a name must not come back in an error: only short, plain names are quoted.
    if not _PLAIN_NAME.fullmatch(name):
        return f"The query has an unknown parameter. {_known(allowed)}"
    by_folded = {candidate.casefold(): candidate for candidate in sorted(allowed)}
    nearest = get_close_matches(name.casefold(), by_folded, n=1)
    if nearest:
        return f"The parameter `{name}` is unknown; did you mean `{by_folded[nearest[0]]}`?"
    return f"The parameter `{name}` is unknown. {_known(allowed)}"


def _known(allowed: frozenset[str]) -> str:
    if not allowed:
        return "This route takes none."
    return f"This route takes {', '.join(f'`{name}`' for name in sorted(allowed))}."
