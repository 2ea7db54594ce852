"""The last hour, minute by minute: each record is read once, and its counts are summed once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from bff.ops.figures import UNTIMED, Latency, Minute
from bff.ops.fleet.minutes import (
    LABELS,
    MINUTE_S,
    Counts,
    Sum,
    UnreadableRecord,
    by_label,
    by_labels,
    decode,
    encode,
    parts,
    quantile,
    total,
)
from bff.ops.fleet.record import is_failed, is_members

MINUTES: Final = 60
"""An hour: the running minute and those before it."""
AHEAD: Final = 1
"""Minutes by which another process's clock may be ahead, and its counts are seen all the same."""
BOOTSTRAP: Final = "/session/bootstrap"
CACHED_ROUTES: Final = frozenset(("profiles", "related"))
_ANSWERED: Final = frozenset(("200", "304"))


@dataclass(frozen=True, slots=True)
class _Parsed:
    """One minute of all processes. `packed`: its counts, which take a tenth of the room so."""

    version: str
    packed: bytes
    rows: Mapping[str, Minute]


class Hour:
    """What is known of it; `counts` are those of all its minutes together."""

    def __init__(self) -> None:
        self._minutes: dict[int, _Parsed] = {}
        self._sum = Sum()

    @property
    def counts(self) -> Counts:
        """Over all minutes. Not to be changed, and another after the next `put`."""
        return self._sum.counts

    def window(self, now: float) -> range:
        """The minutes that count at `now`: an hour, up to the newest that is known."""
        latest = int(now // MINUTE_S)
        if latest + AHEAD in self._minutes:
            latest += AHEAD
        return range(latest - MINUTES + 1, latest + 1)

    def versions(self, now: float) -> dict[int, str]:
        """Of each minute that may matter, the newest first; empty where nothing is known."""
        latest = int(now // MINUTE_S)
        return {
            minute: self._minutes[minute].version if minute in self._minutes else ""
            for minute in range(latest + AHEAD, latest - MINUTES, -1)
        }

    def put(self, minute: int, version: str, records: Iterable[bytes]) -> None:
        """All records of one minute, in place of what was known of it.

        One that is not understood is left out: it is another version's.
        """
        self._drop(minute)
        merged = Sum()
        for record in records:
            try:
                merged.add(decode(record))
            except UnreadableRecord:
                continue
        if not version:
            return
        rows = {space: row(minute, counts) for space, counts in _by_space(merged.counts).items()}
        self._minutes[minute] = _Parsed(version, encode(merged.counts), rows)
        self._sum.add(merged.counts)

    def forget(self, now: float) -> None:
        """What lies outside of the hour."""
        window = self.window(now)
        for minute in [each for each in self._minutes if each not in window]:
            self._drop(minute)

    def of(self, minutes: Iterable[int]) -> Counts:
        """What was counted in some of the minutes."""
        known = [self._minutes[minute] for minute in minutes if minute in self._minutes]
        return Sum(*(decode(each.packed, own=True) for each in known)).counts

    def rows(self, space: str, now: float) -> tuple[Minute, ...]:
        """The time line of one space, or of all: one row for each minute of the hour."""
        window = self.window(now)
        return tuple(
            self._minutes[minute].rows.get(space, row(minute, {}))
            if minute in self._minutes
            else row(minute, {})
            for minute in window
        )

    def _drop(self, minute: int) -> None:
        known = self._minutes.pop(minute, None)
        if known is not None:
            self._sum.take_away(decode(known.packed, own=True))


def _by_space(counts: Counts) -> dict[str, Counts]:
    """Apart by space, with what concerns none in particular; all together under no name."""
    general = {name: of for name, of in counts.items() if "space" not in LABELS[name]}
    apart: dict[str, dict[str, dict[str, int]]] = {}
    for name, of in counts.items():
        if name in general:
            continue
        at = LABELS[name].index("space")
        for series, count in of.items():
            space = parts(name, series)[at]
            apart.setdefault(space, {}).setdefault(name, {})[series] = count
    named: dict[str, Counts] = {space: {**found, **general} for space, found in apart.items()}
    return {**named, "": counts}


def row(minute: int, counts: Counts) -> Minute:
    """One minute of the time line."""
    requests, failed, bootstraps = answered(counts)
    return Minute(
        at=float(minute * MINUTE_S),
        requests=requests,
        failed=failed,
        bootstraps=bootstraps,
        bootstraps_cached=total(counts, "bff_bootstraps_cached"),
        calls=total(counts, "bff_upstream_calls"),
        calls_saved=total(counts, "bff_upstream_calls_saved"),
        throttled=total(counts, "bff_throttled"),
        latency=latency(members_seconds(counts)),
        upstream=latency(_upstream_seconds(counts)),
    )


def answered(counts: Counts) -> tuple[int, int, int]:
    """Members' requests, those of them with a 5xx, and bootstraps that were answered."""
    requests = failed = bootstraps = 0
    for (route, status), count in by_labels(counts, "bff_requests", "route", "status").items():
        if not is_members(route):
            continue
        requests += count
        failed += count if is_failed(status) else 0
        bootstraps += count if route == BOOTSTRAP and status in _ANSWERED else 0
    return requests, failed, bootstraps


def members_seconds(counts: Counts) -> dict[str, int]:
    """How long members' requests took, by bucket."""
    return _buckets(counts, "bff_request_seconds", is_members)


def _upstream_seconds(counts: Counts) -> dict[str, int]:
    return _buckets(counts, "bff_upstream_seconds", CACHED_ROUTES.__contains__)


def _buckets(counts: Counts, name: str, wanted: Callable[[str], bool]) -> dict[str, int]:
    found: dict[str, int] = {}
    for (route, le), count in by_labels(counts, name, "route", "le").items():
        if wanted(route):
            found[le] = found.get(le, 0) + count
    return found


def latency(buckets: Mapping[str, int]) -> Latency:
    """Percentiles of one histogram."""
    if not buckets:
        return UNTIMED
    found = [quantile(buckets, q) for q in (0.5, 0.95, 0.99)]
    p50_ms, p95_ms, p99_ms = (None if s is None else round(s * 1000, 3) for s in found)
    return Latency(p50_ms, p95_ms, p99_ms)


def seconds(counts: Counts, name: str) -> Latency:
    """Percentiles of a histogram over all its labels."""
    return latency(by_label(counts, name, "le"))
