"""What happened lately in one process, for operators: bounded, taken away by whoever reports it."""

from __future__ import annotations

import enum
import re
from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

MOST_EVENTS: Final = 256
MOST_PROBLEMS: Final = 64
MOST_SHAPES: Final = 64
SHAPE_TEXT: Final = 200
"""Characters of a shape that are kept."""
OTHER_SHAPE: Final = "~other"
"""Stands for every shape whose text may be something else; no shape is written so."""

# Members' names at Nexudus are words with hardly a number among them, of 23 letters at most. What
# is no such word is a token by accident rather: a JWT (each of its first parts begins with `eyJ`),
# hexadecimal digits, base64, an e-mail, a number. What remains are secrets that look like a word:
# a password or somebody's name without a space, and one random token of letters in a hundred, if it
# is shorter than 40 characters.
_FIELD: Final = (
    r"(?!eyJ)(?=[^.,\[]{1,39}(?:[.,\[]|\Z))[A-Za-z][A-Za-z_]*+[0-9]{0,3}+[A-Za-z_]*+(?:\[\])?+"
)
_FIELDS: Final = re.compile(rf"{_FIELD}(?:[.,]{_FIELD})*+")


class EventKind(enum.Enum):
    """What an event is about."""

    THROTTLED = "throttled"
    BREAKER = "breaker"
    STORE = "store"
    BUS = "bus"
    SHARING = "sharing"
    OPERATOR = "operator"
    PROCESS = "process"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that operators may want to know of. `at`: UTC seconds; `space` may be empty."""

    at: float
    space: str
    kind: EventKind
    text: str


@dataclass(frozen=True, slots=True)
class ProblemSeen:
    """An answer that was a problem: `type` is the problem's name, or empty for Nexudus' own."""

    at: float
    space: str
    route: str
    status: int
    type: str
    request_id: str


@dataclass(frozen=True, slots=True)
class ShapeUse:
    """How one shape was used: `uses` answers of `bytes` in all, which spared `saved` bytes."""

    space: str
    shape: str
    uses: int
    bytes: int
    saved: int


@lru_cache(maxsize=256)
def tellable(shape: str) -> str:
    """A canonical shape, or the configured name of one (`@name`), as operators may be shown it.

    Anybody may write anything as a shape: what is not made of field names is OTHER_SHAPE.
    """
    if not shape or shape.startswith("@") or _FIELDS.fullmatch(shape):
        return shape[:SHAPE_TEXT]
    return OTHER_SHAPE


class Journal:
    """Kept in process until it is taken; when there is too much, the oldest go."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=MOST_EVENTS)
        self._problems: deque[ProblemSeen] = deque(maxlen=MOST_PROBLEMS)
        self._shapes: dict[tuple[str, str], ShapeUse] = {}

    @property
    def has_news(self) -> bool:
        """Whether there are events or problems to be taken."""
        return bool(self._events or self._problems)

    def note(self, event: Event) -> None:
        """Something happened."""
        self._events.append(event)

    def problem(self, problem: ProblemSeen) -> None:
        """An answer was a problem."""
        self._problems.append(problem)

    def shape(self, space: str, shape: str, size: int, saved: int, uses: int = 1) -> None:
        """Answers of `size` bytes in a canonical shape, or under the name that it was asked by.

        Of so many different shapes that there is no room, the later ones are not counted.
        """
        if len(self._shapes) >= MOST_SHAPES and not self._may_know(space, shape):
            return  # most shapes that are asked for once end here: their text is not looked at
        key = (space, tellable(shape))
        known = self._shapes.get(key)
        if known is None:
            if len(self._shapes) >= MOST_SHAPES:
                return
            known = ShapeUse(*key, 0, 0, 0)
        self._shapes[key] = ShapeUse(
            *key, known.uses + uses, known.bytes + size * uses, known.saved + saved * uses
        )

    def _may_know(self, space: str, shape: str) -> bool:
        """Whether uses of a shape are counted, as far as can be told without reading it."""
        counted = self._shapes
        return (space, shape[:SHAPE_TEXT]) in counted or (space, OTHER_SHAPE) in counted

    def take(self) -> tuple[tuple[Event, ...], tuple[ProblemSeen, ...]]:
        """Events and problems since the last time."""
        taken = tuple(self._events), tuple(self._problems)
        self._events.clear()
        self._problems.clear()
        return taken

    def take_shapes(self) -> tuple[ShapeUse, ...]:
        """Uses since the last time."""
        taken = tuple(self._shapes.values())
        self._shapes.clear()
        return taken
