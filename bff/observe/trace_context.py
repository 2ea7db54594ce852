"""W3C Trace Context: which trace a request belongs to, by its own account. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MOST_STATE: Final = 512
"""Characters of a tracestate that are passed on (Trace Context 3.3.1.5); a longer one is not."""

_TRACEPARENT: Final = re.compile(
    rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[\x21-\x7e]*)?"
)
_STATE: Final = re.compile(rb"[\x20-\x7e\t]*")
_SAMPLED: Final = 0x01


@dataclass(frozen=True, slots=True)
class Parent:
    """The caller's span: lower-case hex ids, whether it is recorded, and its vendors' state."""

    trace_id: str
    span_id: str
    sampled: bool
    state: str = ""


def parent_of(headers: Sequence[tuple[bytes, bytes]]) -> Parent | None:
    """From raw request headers (lower-case names); None without a valid `traceparent`.

    One that is malformed, repeated, all zeros or of version ff is as none (Trace Context 3.2.2).
    The state of a trace that is not recorded is nobody's business and left out.
    """
    given = [value for name, value in headers if name == b"traceparent"]
    if len(given) != 1 or not (found := _TRACEPARENT.fullmatch(given[0].strip(b" \t"))):
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == b"ff" or (version == b"00" and more is not None):
        return None
    if not trace_id.strip(b"0") or not span_id.strip(b"0"):
        return None
    sampled = bool(int(flags, 16) & _SAMPLED)
    state = _state(headers) if sampled else ""
    return Parent(trace_id.decode(), span_id.decode(), sampled, state)


def _state(headers: Sequence[tuple[bytes, bytes]]) -> str:
    joined = b",".join(value.strip(b" \t") for name, value in headers if name == b"tracestate")
    return joined.decode() if len(joined) <= MOST_STATE and _STATE.fullmatch(joined) else ""
