"""Whether a call is made once more, and after how long. Pure.

Full jitter as in "Exponential Backoff And Jitter" (AWS Architecture Blog): what failed together
does not come back together.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final, assert_never

from bff.nexudus.headers import RawHeaders, values_of

BACKGROUND_RETRIES: Final = 1
THROTTLED_S: Final = 1.0
"""How long a throttled caller waits that is not told how long (FACTS 8)."""
LONGEST_PAUSE_S: Final = 300.0
SHORTEST_PAUSE_S: Final = 0.1
_UNAVAILABLE: Final = frozenset((502, 503, 504))


class Cause(enum.Enum):
    """What went wrong with a call that may be worth another."""

    NO_ANSWER = "no_answer"
    """No connection, or it broke."""
    UNAVAILABLE = "unavailable"
    """502, 503 or 504."""
    THROTTLED = "throttled"


@dataclass(frozen=True, slots=True)
class Mishap:
    """One call that went wrong; `retry_after_s`: what Nexudus asked for, 0 if nothing."""

    cause: Cause
    retry_after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`retries` at most; the delay before number n, from 0, is below `base_s` * 2^n and `cap_s`."""

    retries: int = 2
    base_s: float = 0.1
    cap_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Prospects:
    """Of a call that went wrong: how often it was made again already, and what there is for more.

    `left_s`: within which another has to begin. `short`: whether the budget is. `background`:
    whether nobody waits.
    """

    retried: int
    left_s: float
    short: bool
    background: bool


def next_delay(
    policy: RetryPolicy, mishap: Mishap, prospects: Prospects, chance: float
) -> float | None:
    """Seconds until an idempotent call is made again, or None: it is not. `chance` in [0, 1).

    A throttled call asks the budget again at once, which holds it back for as long as the pause is:
    a budget that is short, as it is in every pause, does not speak against that.
    """
    most = min(policy.retries, BACKGROUND_RETRIES) if prospects.background else policy.retries
    if prospects.retried >= most or (prospects.short and mishap.cause is not Cause.THROTTLED):
        return None
    backoff_s = chance * min(policy.cap_s, policy.base_s * 2.0 ** min(prospects.retried, 30))
    held_s = mishap.retry_after_s
    match mishap.cause:
        case Cause.NO_ANSWER:
            delay_s = backoff_s
        case Cause.UNAVAILABLE:
            delay_s = held_s = held_s + backoff_s
        case Cause.THROTTLED:
            delay_s = 0.0
        case _:
            assert_never(mishap.cause)
    return delay_s if max(delay_s, held_s) < prospects.left_s else None


def mishap_of(status: int, headers: RawHeaders, wall: float, *, known: bool) -> Mishap | None:
    """What an answer says went wrong, if a call like it may do better later.

    `known`: to a call of the gateway's own, which is in conflict with nothing: 409 and 429
    throttle. To any other, only what FACTS 8 documents does: they come with `Retry-After`, and a
    409 without a body.
    """
    if status in (409, 429) and (known or _is_throttle(status, headers)):
        told = retry_after_s(headers, wall)
        pause_s = THROTTLED_S if told is None else told
        return Mishap(Cause.THROTTLED, min(max(pause_s, SHORTEST_PAUSE_S), LONGEST_PAUSE_S))
    if status in _UNAVAILABLE:
        return Mishap(Cause.UNAVAILABLE, retry_after_s(headers, wall) or 0.0)
    return None


def _is_throttle(status: int, headers: RawHeaders) -> bool:
    asked = bool(values_of(headers, b"retry-after"))
    return asked and (status == 429 or values_of(headers, b"content-length") == (b"0",))


def retry_after_s(headers: RawHeaders, wall: float) -> float | None:
    """Seconds that `Retry-After` asks to wait at `wall` (UTC seconds), not negative.

    The longest of several; None if there is none that can be read (RFC 9110 10.2.3).
    """
    read = [_waited(value, wall) for value in values_of(headers, b"retry-after")]
    known = [wait for wait in read if wait is not None]
    return max(known) if known else None


def _waited(value: bytes, wall: float) -> float | None:
    text = value.strip(b" \t")
    if text.isdigit():
        return float(text[:9])
    try:
        until = parsedate_to_datetime(text.decode("latin-1"))
        return max(0.0, until.replace(tzinfo=until.tzinfo or UTC).timestamp() - wall)
    except (ValueError, OverflowError):
        return None
