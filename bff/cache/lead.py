"""Who leads a flight across processes, for how long, and what the others are told of its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from bff.cache.endings import Ending, Failed, Nothing
from bff.cache.store import Release
from bff.errors import UpstreamError

RENEW_S = 0.6
LEASE_S = 2.0


@dataclass(frozen=True, slots=True)
class Tenure:
    """Seconds for which a leader is believed to live, and between two signs of its life."""

    lease_s: float = LEASE_S
    renew_s: float = RENEW_S

    def __post_init__(self) -> None:
        if not 0 < self.renew_s <= self.lease_s / 2:
            raise ValueError("a lease outlives one renewal that gets lost")


USUAL: Final = Tenure()


@dataclass(frozen=True, slots=True)
class Lock:
    """What a flight is shared by. `key`: the address, `label`: its container's.

    `stamp`: of the look in the store that found nothing; None if the store could not be asked.
    """

    space: str
    key: str
    label: str
    stamp: int | None


@dataclass(frozen=True, slots=True)
class Told:
    """Another flight has ended, or nothing was heard for too long (Nothing): look, then claim.

    `stored_by`: the owner of the lock under which a document was stored.
    """

    ending: Ending
    stored_by: str = ""


class Lead:
    """The call is this flight's to make: within `with lead:`, whose end releases the lock.

    Set `ending` to Stored() once it is, to Unshared() for an answer that is not for others; an
    UpstreamError that leaves the block becomes Failed. A failure is told to nobody unless somebody
    waited for the flight (`urgent`). `unheard`: the claim was sent, but not answered. `farewell`:
    for who can release it together with what is stored, and set `released` if that was done.
    """

    def __init__(self, lock: Lock, owner: str, *, urgent: bool) -> None:
        self.lock = lock
        self.owner = owner
        self.ending: Ending = Nothing()
        self.unheard = False
        self.farewell: Release | None = None
        self.released = False
        self.on_end: Callable[[Lead], None] = lambda _lead: None
        self._urgent = urgent
        self._on_urgent: Callable[[], None] = lambda: None

    @property
    def urgent(self) -> bool:
        """Whether somebody waits for it, here or in another process."""
        return self._urgent

    def hurry(self) -> None:
        """Somebody waits for it now."""
        if not self._urgent:
            self._urgent = True
            self._on_urgent()

    def when_urgent(self, callback: Callable[[], None]) -> None:
        """Call it as soon as somebody waits, which may be at once."""
        self._on_urgent = callback
        if self._urgent:
            callback()

    def __enter__(self) -> Lead:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(self.ending, Nothing) and isinstance(error, UpstreamError):
            self.ending = Failed.of(error)
        if isinstance(self.ending, Failed) and not self._urgent:
            self.ending = Nothing()
        self.on_end(self)
