"""What was said of one call, and of whom it holds. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from bff.nexudus.budget.contract import Grant, Priority
from bff.nexudus.budget.windows import Shares

BELIEVED_S: Final = 1.0
"""How long what was said is believed, and the longest sleep between two questions: what happens
elsewhere, such as a pause, is known here by then."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A grant, or how long the call waits, and all of its priority or a lower one with it.

    `writes_only`: reads might go. `share_only`: calls that have a greater share might, or sooner.
    `strangers_only`: all but strangers might.
    """

    granted: bool
    wait_s: float = 0.0
    writes_only: bool = False
    share_only: bool = False
    strangers_only: bool = False
    grant: Grant = field(default_factory=Grant, compare=False)

    @property
    def partial(self) -> bool:
        """Whether others might go."""
        return self.writes_only or self.share_only or self.strangers_only


@dataclass(frozen=True, slots=True)
class Denied:
    """What was said last: calls of these priorities go on `delay_s` after `said_at`."""

    priorities: frozenset[Priority]
    said_at: float
    delay_s: float

    def wait_s(self, priority: Priority, now: float) -> float:
        """Seconds that a call of some priority waits for it; 0 also when nobody knows."""
        return self.left_s(now) if priority in self.priorities else 0.0

    def left_s(self, now: float) -> float:
        """Seconds that it holds."""
        if now >= self.said_at + BELIEVED_S:
            return 0.0
        return max(0.0, self.said_at + self.delay_s - now)


class Denials:
    """The latest of each kind. All times: monotonic seconds."""

    def __init__(self, shares: Shares) -> None:
        self._shares = shares
        self._said: dict[tuple[bool, bool, bool], Denied] = {}

    def note(self, priority: Priority, verdict: Verdict, now: float) -> None:
        """A call of this priority was denied."""
        if verdict.strangers_only:
            bound = frozenset({Priority.STRANGER})
        elif verdict.share_only:
            bound = self._shares.no_greater_than(priority)
        else:
            bound = frozenset(each for each in Priority if each >= priority)
        kind = verdict.writes_only, verdict.share_only, verdict.strangers_only
        self._said[kind] = Denied(bound, now, verdict.wait_s)

    def make_room(self) -> bool:
        """The part of strangers has some; whether that was denied."""
        said = len(self._said)
        self._said = {kind: denied for kind, denied in self._said.items() if not kind[2]}
        return len(self._said) < said

    def place_freed(self) -> None:
        """A call that counted does no more; of the part of strangers that says nothing."""
        self._said = {kind: denied for kind, denied in self._said.items() if kind[2]}

    def clear(self) -> None:
        """What was said holds no more."""
        self._said.clear()

    def wait_s(self, priority: Priority, write: bool, now: float) -> float:
        """Seconds that a call waits for what was said."""
        return max(
            (
                denied.wait_s(priority, now)
                for (writes_only, *_), denied in self._said.items()
                if write or not writes_only
            ),
            default=0.0,
        )

    def passed_over(self, now: float) -> frozenset[tuple[Priority, bool]]:
        """(Priority, whether writes) of those who wait although others might go."""
        return frozenset(
            (priority, write)
            for writes_only, denied in self._partial(now)
            for priority in denied.priorities
            for write in ((True,) if writes_only else (False, True))
        )

    def next_s(self, now: float) -> float:
        """Seconds until one that is passed over may be asked for; 0 if nobody is."""
        return min((denied.left_s(now) for _, denied in self._partial(now)), default=0.0)

    def _partial(self, now: float) -> Iterator[tuple[bool, Denied]]:
        for kind, denied in self._said.items():
            if any(kind) and denied.left_s(now) > 0:
                yield kind[0], denied
