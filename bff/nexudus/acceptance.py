"""That Nexudus knows a token: which answers prove it, and whose calls are strangers' no more."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final

from bff.nexudus.budget.contract import Grant, Priority
from bff.nexudus.headers import RawHeaders, values_of

BEARERS: Final = 4_096
"""How many are remembered, the latest."""
GRANTS: Final = 8
"""How many of one bearer, the latest."""
STANDS_S: Final = 60.0
"""For how long an acceptance stands for calls that begin later."""


def accepts_token(status: int, headers: RawHeaders) -> bool:
    """Whether a cached call was answered with a document.

    Not so a page in HTML: that comes with 200 too where a token is missed (FACTS 7). Nor a 404: it
    may be said before anybody looks at the token.
    """
    if not 200 <= status < 300:
        return False
    kinds = values_of(headers, b"content-type")
    return bool(kinds) and all(_is_json(kind) for kind in kinds)


def _is_json(kind: bytes) -> bool:
    return kind.partition(b";")[0].strip(b" \t").lower().endswith((b"/json", b"+json"))


@dataclass(slots=True)
class _Bearer:
    accepted_at: float = -math.inf
    grants: deque[Grant] = field(default_factory=lambda: deque(maxlen=GRANTS))


class Acceptances:
    """The calls of strangers in one process, by `bearer`: the digest of the token.

    One answer speaks for all of them: a session asks for two lists, of which one may not be there.
    """

    def __init__(self) -> None:
        self._bearers: OrderedDict[str, _Bearer] = OrderedDict()

    def begins(self, bearer: str, grant: Grant, now: float) -> None:
        """A call of this bearer, if it has one, may be sent."""
        if grant.priority is not Priority.STRANGER or not bearer:
            return
        known = self._of(bearer)
        if now < known.accepted_at + STANDS_S:
            grant.accepted(now)
        else:
            known.grants.append(grant)

    def accepted(self, bearer: str, now: float) -> None:
        """Nexudus knows the bearer's token."""
        if bearer not in self._bearers:
            return  # no stranger
        known = self._of(bearer)
        known.accepted_at = now
        while known.grants:
            known.grants.popleft().accepted(now)

    def _of(self, bearer: str) -> _Bearer:
        known = self._bearers.setdefault(bearer, _Bearer())
        self._bearers.move_to_end(bearer)
        if len(self._bearers) > BEARERS:
            self._bearers.popitem(last=False)
        return known
