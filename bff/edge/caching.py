"""Headers that say how an answer may be kept, and where it came from."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from bff.edge.headers_in import TCHAR

CACHED_CACHE_CONTROL: Final = "private, no-cache"
CACHED_VARY: Final = "Authorization, Accept-Encoding, Origin"
PASS_THROUGH_VARY: Final = ("Authorization", "Origin")
MAX_UPSTREAM_VALUE: Final = 4 * 1024

_CACHE_CONTROL: Final = (b"cache-control", CACHED_CACHE_CONTROL.encode())
_VARY: Final = (b"vary", CACHED_VARY.encode())

_MAX_DELTA_S: Final = 2**31  # RFC 9111 §1.2.2
_MAX_SF_INTEGER: Final = 999_999_999_999_999  # RFC 9651 §3.3.1

_TOKEN: Final = re.compile(rf"{TCHAR}+")
_SF_TOKEN: Final = re.compile(rf"[A-Za-z*](?:{TCHAR}|[:/])*")
_SF_STRING: Final = re.compile(r"[\x20-\x7e]*")
# Possessive quantifiers throughout: a hostile value costs one pass.
_DIRECTIVE_TEXT: Final = rf'({TCHAR}++)(?:[ \t]*+=[ \t]*+({TCHAR}++|"(?:[^"\\]|\\.)*+"))?+'
_DIRECTIVE: Final = re.compile(_DIRECTIVE_TEXT)
_MEMBER_TEXT: Final = rf"[ \t]*+(?:{_DIRECTIVE_TEXT})?+[ \t]*+"
_DIRECTIVES: Final = re.compile(rf"{_MEMBER_TEXT}(?:,{_MEMBER_TEXT})*+")
_DIGITS: Final = re.compile(r"[0-9]+")
# In the order in which they are written.
_KEPT_FLAGS: Final = (
    "no-store",
    "private",
    "no-cache",
    "must-revalidate",
    "no-transform",
    "immutable",
)
_KEPT_DURATIONS: Final = frozenset({"max-age", "stale-while-revalidate", "stale-if-error"})


class Forwarded(StrEnum):
    """Why a request went upstream (RFC 9211 §2.2), as far as that is told."""

    BYPASS = "bypass"
    URI_MISS = "uri-miss"
    PARTIAL = "partial"


class Hit(NamedTuple):
    """Answered from the cache. `ttl_s`: freshness left, negative when stale."""

    ttl_s: float
    detail: str = ""


class Forward(NamedTuple):
    """Nexudus was asked. `status`: its answer, if any; `collapsed`: one flight for several."""

    reason: Forwarded
    status: int | None = None
    stored: bool = False
    collapsed: bool = False


def cache_status(outcome: Hit | Forward) -> str:
    """The `Cache-Status` of one answer: a list of one item, ours (RFC 9211 §2).

    `bff; hit; ttl=42; detail=l1` or `bff; fwd=uri-miss; fwd-status=200; stored; collapsed`.
    ttl is rounded down, so what has been stale for a moment is negative. Raises ValueError for a
    detail that is not printable ASCII or a ttl that is not finite.
    """
    members = ["bff"]
    if isinstance(outcome, Hit):
        members += ["hit", f"ttl={_sf_integer(outcome.ttl_s)}"]
        if outcome.detail:
            members.append(f"detail={_sf_text(outcome.detail)}")
        return "; ".join(members)
    members.append(f"fwd={outcome.reason}")
    if outcome.status is not None:
        members.append(f"fwd-status={outcome.status}")
    if outcome.stored:
        members.append("stored")
    if outcome.collapsed:
        members.append("collapsed")
    return "; ".join(members)


def server_timing(durations_ms: Mapping[str, float]) -> str:
    """The `Server-Timing` of one answer: `flight;dur=12.3, shape;dur=0.4` (W3C Server Timing §2).

    Milliseconds, never below 0. Raises ValueError for a name that is not a token or a duration
    that is not finite.
    """
    metrics: list[str] = []
    for name, duration_ms in durations_ms.items():
        if not _TOKEN.fullmatch(name):
            raise ValueError("the name of a Server-Timing metric is a token")
        if not math.isfinite(duration_ms):
            raise ValueError("a duration is a finite number of milliseconds")
        metrics.append(f"{name};dur={max(0.0, duration_ms):.1f}")
    return ", ".join(metrics)


def age(age_s: float) -> str:
    """The `Age` of an answer: whole seconds, from 0 to 2^31 (RFC 9111 §5.1, §1.2.2)."""
    return str(int(min(max(0.0, age_s), _MAX_DELTA_S)))


def cached_answer_headers(
    validator: str, age_s: float, outcome: Hit | Forward, durations_ms: Mapping[str, float]
) -> list[tuple[bytes, bytes]]:
    """The headers that every cached answer and its 304 carry, as ASGI wants them.

    `validator`: the strong ETag of the representation served. Raises as `cache_status` and
    `server_timing` do. No Server-Timing when nothing was measured.
    """
    headers = [
        (b"etag", validator.encode("ascii")),
        _CACHE_CONTROL,
        _VARY,
        (b"age", age(age_s).encode("ascii")),
        (b"cache-status", cache_status(outcome).encode("ascii")),
    ]
    if durations_ms:
        headers.append((b"server-timing", server_timing(durations_ms).encode("ascii")))
    return headers


def private_cache_control(upstream_value: str | None) -> str:
    """`Cache-Control` of a passed-through answer: `no-store` or `private`, whatever upstream says.

    Keeps the directives that only restrict or concern private caches, without field names;
    drops `public`, `s-maxage`, `must-understand` and unknown ones. Of a repeated duration the
    smallest counts, a malformed one is 0. Nothing left: `private, no-cache`. A value that does
    not parse or passes MAX_UPSTREAM_VALUE: `no-store` (RFC 9111 §5.2.2, §4.2.1).
    """
    value = upstream_value or ""
    if len(value) > MAX_UPSTREAM_VALUE or not _DIRECTIVES.fullmatch(value):
        return "no-store"
    flags: set[str] = set()
    durations_s: dict[str, int] = {}
    for directive in _DIRECTIVE.finditer(value):
        name = directive[1].lower()
        if name in _KEPT_DURATIONS:
            seconds = _delta_s(directive[2])
            durations_s[name] = min(seconds, durations_s.get(name, seconds))
        elif name in _KEPT_FLAGS:
            flags.add(name)
    if not flags and not durations_s:
        return CACHED_CACHE_CONTROL
    if "no-store" not in flags:
        flags.add("private")
    ordered = sorted(flags, key=_KEPT_FLAGS.index)
    return ", ".join(ordered + [f"{name}={seconds}" for name, seconds in durations_s.items()])


def merge_vary(upstream_value: str | None, required: Iterable[str] = PASS_THROUGH_VARY) -> str:
    """`Vary` that covers `required` and whatever upstream named (RFC 9110 §12.5.5).

    Names once each, in any case, required ones first. `*` anywhere gives `*`; so does a value
    that is malformed or over MAX_UPSTREAM_VALUE characters, since what it asked for is lost.
    """
    if upstream_value is not None and len(upstream_value) > MAX_UPSTREAM_VALUE:
        return "*"
    names = {name.lower(): name for name in required}
    for member in (upstream_value or "").split(","):
        name = member.strip(" \t")
        if name == "*" or (name and not _TOKEN.fullmatch(name)):
            return "*"
        if name:
            names.setdefault(name.lower(), name)
    return ", ".join(names.values())


def _delta_s(argument: str | None) -> int:
    """The seconds of a directive, bare or quoted; 0, that is stale, when it holds no number."""
    digits = (argument or "").strip('"')
    if not _DIGITS.fullmatch(digits):
        return 0
    digits = digits.lstrip("0") or "0"
    return _MAX_DELTA_S if len(digits) > 10 else min(int(digits), _MAX_DELTA_S)


def _sf_integer(value: float) -> int:
    if not math.isfinite(value):
        raise ValueError("a ttl is a finite number of seconds")
    return max(-_MAX_SF_INTEGER, min(_MAX_SF_INTEGER, math.floor(value)))


def _sf_text(text: str) -> str:
    """`text` as an sf-token when it is one, else as an sf-string (RFC 9651 §4.1.6, §4.1.7)."""
    if _SF_TOKEN.fullmatch(text):
        return text
    if not _SF_STRING.fullmatch(text):
        raise ValueError("a Cache-Status detail is printable ASCII")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
