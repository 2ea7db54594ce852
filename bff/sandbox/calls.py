"""What the sandbox was asked: counters by route and token, and the latest requests."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

from bff.sandbox.auth import token_digest

CLIENT_LEFT = 499
"""The status under which a request counts whose client left before the answer began."""
LOG_KEPT = 1_000
UNMATCHED = "(unmatched)"
VARIANTS = ("accept-language", "x-use-timezone")

Sameness = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """What is counted: route template, method, status, token digest (empty without one)."""

    route: str
    method: str
    status: int
    token: str


@dataclass(frozen=True, slots=True)
class Visit:
    """One request as it arrived: `at` in UTC seconds, `token` as digest, raw header pairs."""

    at: float
    method: str
    path: str
    query: str
    token: str
    headers: Sequence[tuple[bytes, bytes]]

    def header(self, name: str) -> str:
        """The first value of a header, empty when it did not come."""
        wanted = name.lower().encode()
        return next((value.decode("latin-1") for key, value in self.headers if key == wanted), "")

    @property
    def sameness(self) -> Sameness:
        """What makes two reads ask for the same, their tokens aside."""
        return self.path, self.query, *map(self.header, VARIANTS)

    def report(self) -> dict[str, object]:
        """As JSON; the value of `Authorization` is left out, its digest stands under `token`."""
        return {
            "at": self.at,
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "token": self.token,
            "headers": [
                [name.decode("latin-1"), value.decode("latin-1")]
                for name, value in self.headers
                if name != b"authorization"
            ],
        }


@dataclass(frozen=True, slots=True)
class Overlap:
    """A GET that arrived while others of the same target, in the same variant, were under way.

    `same_token`, `other_tokens`: how many of them had its token, or another. `at`: when it arrived,
    `since`: when the first of them had, `own_since`: of those with its token; in UTC seconds.
    """

    at: float
    path: str
    token: str
    same_token: int
    other_tokens: int
    since: float
    own_since: float | None

    def report(self) -> dict[str, object]:
        """As JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


class Calls:
    """Counts requests when they end, logs them when they arrive. Control routes are left out."""

    def __init__(self) -> None:
        self._counts: Counter[Call] = Counter()
        self._log: deque[Visit] = deque(maxlen=LOG_KEPT)
        self._reading: dict[Sameness, list[Visit]] = {}
        self._overlaps: deque[Overlap] = deque(maxlen=LOG_KEPT)
        self.in_flight = 0
        self.peak_in_flight = 0

    def arrived(self, visit: Visit) -> None:
        """A request came in."""
        self._log.append(visit)
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        if visit.method != "GET":
            return
        others = self._reading.setdefault(visit.sameness, [])
        if others:
            self._overlaps.append(_overlap(visit, others))
        others.append(visit)

    def ended(self, visit: Visit, call: Call) -> None:
        """It was answered, or its client left."""
        self._counts[call] += 1
        self.in_flight -= 1
        if visit.method == "GET":
            others = self._reading[visit.sameness]
            del others[next(i for i, other in enumerate(others) if other is visit)]
            if not others:
                del self._reading[visit.sameness]

    def count(
        self,
        route: str | None = None,
        *,
        method: str | None = None,
        status: int | None = None,
        token: str | None = None,
    ) -> int:
        """How many ended calls match; `route` is a template, `token` a token, not its digest."""
        digest = None if token is None else token_digest(token)
        return sum(
            number
            for call, number in self._counts.items()
            if (route is None or call.route == route)
            and (method is None or call.method == method)
            and (status is None or call.status == status)
            and (digest is None or call.token == digest)
        )

    def log(self, last: int = LOG_KEPT) -> list[Visit]:
        """The latest requests, oldest first."""
        return list(self._log)[-last:] if last > 0 else []

    def reset(self) -> None:
        """Forgets counters and log; requests still under way stay counted as in flight."""
        self._counts.clear()
        self._log.clear()
        self._overlaps.clear()
        self.peak_in_flight = self.in_flight

    def report(self) -> dict[str, object]:
        """The counters as JSON."""
        return {
            "total": self._counts.total(),
            "in_flight": self.in_flight,
            "peak_in_flight": self.peak_in_flight,
            "overlaps": [overlap.report() for overlap in self._overlaps],
            "calls": [
                {
                    "route": call.route,
                    "method": call.method,
                    "status": call.status,
                    "token": call.token,
                    "count": number,
                }
                for call, number in self._counts.most_common()
            ],
        }


def _overlap(visit: Visit, others: Sequence[Visit]) -> Overlap:
    """`others` in the order of their arrival."""
    own = [other for other in others if other.token == visit.token]
    return Overlap(
        visit.at,
        visit.path,
        visit.token,
        len(own),
        len(others) - len(own),
        others[0].at,
        own[0].at if own else None,
    )
