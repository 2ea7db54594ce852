"""Who did what: one log line for each thing that an operator did, tried, or was refused."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import structlog

log = structlog.get_logger("bff.ops")

DONE: Final = "done"
FAILED: Final = "failed"
REFUSED: Final = "refused"
PENDING: Final = "pending"
"""Done in this process; the shared store, or another process, has yet to follow."""
ABANDONED: Final = "abandoned"
"""Who asked for it left before it was over; what was begun is not taken back."""


@dataclass(slots=True)
class Deed:
    """One action of one operator. `space` is empty for all of them; `what` holds no secret.

    `outcome` is DONE only once it is set to that. `quiet`: nothing changes by it, so it is no event
    of the time line.
    """

    operator: str
    action: str
    space: str = ""
    what: str = ""
    outcome: str = FAILED
    quiet: bool = False

    def __str__(self) -> str:
        about = f" {self.what}" if self.what else ""
        ending = "" if self.outcome == DONE else f": {self.outcome}"
        return f"{self.operator}: {self.action}{about}{ending}"


class Audit:
    """`note(space, text)` puts an entry on the operators' time line."""

    def __init__(self, note: Callable[[str, str], None] = lambda _space, _text: None) -> None:
        self._note = note

    @contextlib.contextmanager
    def of(self, deed: Deed) -> Iterator[Deed]:
        """What is done inside; told at its end, also where that is an error."""
        try:
            yield deed
        except asyncio.CancelledError:
            deed.outcome = ABANDONED
            raise
        finally:
            self.tell(deed)

    def tell(self, deed: Deed) -> None:
        """Write it down. What was refused is no event of the time line: whoever may only look could
        push out all others with it.
        """
        log.warning(
            "operator_action",
            operator=deed.operator,
            action=deed.action,
            space=deed.space,
            what=deed.what,
            outcome=deed.outcome,
        )
        if not deed.quiet and deed.outcome != REFUSED:
            self._note(deed.space, str(deed))
