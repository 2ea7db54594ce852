"""How two JSON documents differ: by path, never by value."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Kind(StrEnum):
    """What is wrong at a path, in words that follow it."""

    MISSING = "is missing here"
    EXTRA = "is only here"
    LENGTH = "has another length here"
    VALUE = "is different here"


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """`path` as `_shape` writes it, with `[]` after lists; "" is the document."""

    path: str
    kind: Kind

    def __str__(self) -> str:
        return f"{self.path or 'the document'} {self.kind}"

    def within(self, paths: Iterable[str]) -> bool:
        """Whether it lies at or below one of `paths`."""
        return any(
            not path or self.path == path or self.path.startswith((f"{path}.", f"{path}["))
            for path in paths
        )


def differences(theirs: object, ours: object) -> tuple[Difference, ...]:
    """Sorted, each once; "here" in their words is `ours`. The order of members is not looked at.

    Names that are not plain ASCII are shown as `?`, since what they hold is not known.
    """
    found: set[Difference] = set()
    pairs: list[tuple[str, object, object]] = [("", theirs, ours)]
    while pairs:
        path, a, b = pairs.pop()
        if isinstance(a, dict) and isinstance(b, dict):
            found |= {Difference(_below(path, name), Kind.MISSING) for name in a.keys() - b.keys()}
            found |= {Difference(_below(path, name), Kind.EXTRA) for name in b.keys() - a.keys()}
            pairs += [(_below(path, name), a[name], b[name]) for name in a.keys() & b.keys()]
        elif isinstance(a, list) and isinstance(b, list):
            if len(a) != len(b):
                found.add(Difference(path, Kind.LENGTH))
            pairs += [(f"{path}[]", x, y) for x, y in zip(a, b, strict=False)]
        elif isinstance(a, bool) is not isinstance(b, bool) or a != b:
            found.add(Difference(path, Kind.VALUE))
    return tuple(sorted(found))


def _below(path: str, name: str) -> str:
    shown = name if _PLAIN_NAME.fullmatch(name) else "?"
    return f"{path}.{shown}" if path else shown
