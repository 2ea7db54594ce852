"""That Nexudus knows a token: which answers prove it, and whose calls are strangers' no more."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from typing import Final, TypeVar

from bff.nexudus.budget.contract import Grant, Priority
from bff.nexudus.headers import RawHeaders, values_of

T = TypeVar("T")

BEARERS: Final = 4_096
"""How many are remembered of those that were accepted, and of those that may be; the latest."""
GRANTS: Final = 8
"""How many of one bearer, the latest."""
STANDS_S: Final = 600.0
"""For how long an acceptance stands for calls that begin later, unless one of them is refused."""


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


class Acceptances:
    """What Nexudus said of the tokens of calls, in one process. `bearer`: the digest of a token.

    One answer speaks for all calls with its token: a session asks for two lists, of which one may
    not be there. All times: monotonic seconds.
    """

    def __init__(self) -> None:
        self._accepted_at: OrderedDict[str, float] = OrderedDict()
        self._grants: OrderedDict[str, deque[Grant]] = OrderedDict()

    def stands(self, bearer: str, now: float) -> bool:
        """Whether Nexudus accepted the token lately: then it is no stranger's."""
        return now < self._accepted_at.get(bearer, -math.inf) + STANDS_S

    def begins(self, bearer: str, grant: Grant, now: float) -> None:
        """A call of this bearer, if it has one, may be sent."""
        if grant.priority is not Priority.STRANGER or not bearer:
            return
        if self.stands(bearer, now):
            grant.accepted(now)
            return
        self._grants.setdefault(bearer, deque(maxlen=GRANTS)).append(grant)
        _keep_latest(self._grants, bearer)

    def accepted(self, bearer: str, now: float) -> None:
        """Nexudus knows the bearer's token."""
        if not bearer:
            return
        self._accepted_at[bearer] = now
        _keep_latest(self._accepted_at, bearer)
        for grant in self._grants.pop(bearer, ()):
            grant.accepted(now)

    def refused(self, bearer: str) -> None:
        """Nexudus refused the bearer's token: what it said of it before stands no more.

        Not so a 403, though it withdraws the proof: of an unknown token Nexudus says 401 (FACTS
        2.3), the firewall before it may say 403 to everybody (FACTS 1), and what stands here gives
        a share of the budget, and nothing of anybody's.
        """
        self._accepted_at.pop(bearer, None)


def _keep_latest(bearers: OrderedDict[str, T], latest: str) -> None:
    bearers.move_to_end(latest)
    if len(bearers) > BEARERS:
        bearers.popitem(last=False)
