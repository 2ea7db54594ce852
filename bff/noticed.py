"""What was asked for before: most things are asked for once, and not worth room to keep them."""

from __future__ import annotations

from collections.abc import Hashable

MOST = 4_096


class Noticed:
    """Remembers marks, not keys: one thing taken for another is kept a time too early, no more."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._marks: set[int] = set()

    def again(self, key: Hashable) -> bool:
        """Whether `key` was asked for before, unless much was asked for since; now it was."""
        mark = hash(key)
        if mark in self._marks:
            return True
        if len(self._marks) >= self._most:
            self._marks.clear()
        self._marks.add(mark)
        return False
