"""How many calls are allowed in how long: what throttles and budgets are made of."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_FORM: Final = re.compile(r"([0-9]{1,9})\s*/\s*([0-9]{0,9})\s*(ms|s|m|h|d)")
_UNIT_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `calls` in any `window_s` seconds."""

    calls: int
    window_s: float

    @classmethod
    def parse(cls, text: str) -> Limit:
        """From `120/m`, `1/100ms` or `10/5s`: calls, then a number of ms, s, m, h or d."""
        match = _FORM.fullmatch(text)
        if match is None:
            raise ValueError("must be calls/time, such as 120/m or 1/100ms")
        calls, number, unit = int(match[1]), int(match[2] or 1), match[3]
        if calls < 1 or number < 1:
            raise ValueError("must allow one call or more, in some time")
        window_s = number * _UNIT_S[unit]
        if window_s > _UNIT_S["d"]:
            raise ValueError("must be for a day at most")
        return cls(calls, window_s)

    def __str__(self) -> str:
        for unit in ("d", "h", "m", "s"):
            number = self.window_s / _UNIT_S[unit]
            if number >= 1 and abs(number - round(number)) < 1e-9:
                return f"{self.calls}/{'' if round(number) == 1 else round(number)}{unit}"
        return f"{self.calls}/{self.window_s * 1000:.0f}ms"


DOCUMENTED_CALLS: Final = (
    Limit(1, 0.1),
    Limit(120, 60.0),
    Limit(5_000, 3_600.0),
    Limit(200_000, 86_400.0),
)
"""What Nexudus documents for all calls of a space together (FACTS 8)."""

DOCUMENTED_WRITES: Final = (Limit(60, 60.0), Limit(5_000, 86_400.0))
"""What it documents, beside that, for POST, PUT and DELETE."""
