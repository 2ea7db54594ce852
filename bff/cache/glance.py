"""What one request will want next is asked for together with what it wants first."""

from __future__ import annotations

from dataclasses import dataclass

from bff.cache.findings import Findings, Want


@dataclass(slots=True)
class Glance:
    """What the last question of a request has brought beyond what was wanted.

    Good for the very next question, and only if nothing was dropped in between. `after`: what the
    last question was about.
    """

    after: Want | None = None
    _wants: tuple[Want, ...] = ()
    _found: Findings | None = None

    def give(self, want: Want, ahead: tuple[Want, ...], stored: Findings) -> None:
        """`stored` are the answers to a question; those to `ahead` come last."""
        self.after, self._wants, self._found = want, ahead, None
        if ahead and stored.ticket.stamp is not None:
            self._found = Findings(stored.ticket, stored.values[-len(ahead) :])

    def take(self, wants: tuple[Want, ...], ticket: int) -> Findings | None:
        """The answers to the next question, if all of them are here."""
        known, self._found = self._found, None
        if known is None or known.ticket.memory != ticket:
            return None
        found = dict(zip(self._wants, known.values, strict=True))
        if any(want not in found for want in wants):
            return None
        self.after = wants[0]
        return Findings(known.ticket, tuple(found[want] for want in wants))
