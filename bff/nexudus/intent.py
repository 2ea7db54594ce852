"""A call that somebody wants made, what for, and who hears what became of it."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bff.nexudus.blame import Asked
from bff.nexudus.budget.contract import Priority, Urgency


class Reason(enum.Enum):
    """Why a call is made."""

    INTERACTIVE = "interactive"
    """A member waits for it."""
    REFRESH = "refresh"
    """A stale answer was given, and is revalidated behind it."""
    PREFETCH = "prefetch"
    """A client's hint let both calls of a bootstrap begin at once."""
    PROOF = "proof"
    """Nothing but to see whether Nexudus accepts a token."""
    SENTINEL = "sentinel"
    """A shared list is compared with what its caller would be told."""
    LISTING = "listing"
    """To learn whose lists a write changes."""
    FORWARDED = "forwarded"


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a call is for. `route`: the name of a cached resource, or `forwarded`."""

    route: str
    reason: Reason

    @property
    def forwards(self) -> bool:
        """Whether it is a member's own call, passed through."""
        return self.reason is Reason.FORWARDED


FORWARDED: Final = Purpose("forwarded", Reason.FORWARDED)


@dataclass(frozen=True, slots=True)
class Intent:
    """A call that somebody wants made.

    `until`: monotonic seconds after which it is not begun any more, for the first time or again.
    `repeatable`: whether it may be made again at all: never what mutates or hands out tokens.
    `asked`: of a FORWARDED call, by which one that fails is told from a Nexudus that does.
    `bearer`: of any other, the digest of the token that it is made with, if it is one.
    """

    space: str
    purpose: Purpose
    urgency: Urgency
    until: float
    method: str = "GET"
    repeatable: bool = False
    asked: Asked | None = None
    bearer: str = ""


@dataclass(frozen=True, slots=True)
class Observer:
    """What metrics and operators hear; spaces by name, times in seconds.

    `called`: one was made, and its outcome: a class of status, `throttled`, the name of an error,
    `cut` for an answer that broke off, `abandoned` where nobody waited for it. `took`: how long
    Nexudus did. `refused`: one was not made, because of the `breaker`, the `budget` or a `pause`.
    `retried`: one is made again, by cause. `paused`: from now on the space is not called for so
    long.
    """

    called: Callable[[str, Purpose, str], None] = lambda _space, _purpose, _outcome: None
    took: Callable[[Purpose, float], None] = lambda _purpose, _seconds: None
    refused: Callable[[str, Purpose, str], None] = lambda _space, _purpose, _reason: None
    retried: Callable[[str, Purpose, str], None] = lambda _space, _purpose, _cause: None
    waited: Callable[[Priority, float], None] = lambda _priority, _seconds: None
    throttled: Callable[[str], None] = lambda _space: None
    paused: Callable[[str, float], None] = lambda _space, _seconds: None
    turned: Callable[[str, str], None] = lambda _space, _state: None
