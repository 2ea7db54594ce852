"""The profile that each session acted as the last time: what belongs to it is asked for ahead."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from bff.session.principal import Principal

MOST: Final = 16_384
"""Some 300 bytes each; beyond them a session takes a question more."""


class Expected:
    """Of one process, the latest sessions. A hint: it says what to look for, not who may see it."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._active: OrderedDict[tuple[str, str], int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._active)

    def of(self, principal: Principal) -> int | None:
        """Of the session of this token; None if nothing is known of it."""
        return self._active.get((principal.space, principal.digest))

    def tell(self, principal: Principal, active: int | None) -> None:
        """Its profile list says so now."""
        key = principal.space, principal.digest
        if active is None:
            self._active.pop(key, None)
            return
        self._active[key] = active
        self._active.move_to_end(key)
        if len(self._active) > self._most:
            self._active.popitem(last=False)
