"""What a process counted in a minute: from two readings of its counters, as bytes and back, summed.

Only counts are kept, no sums of seconds, so that everything here is exact: whole numbers that add
up to what `/metrics` says, whichever way they are taken apart and put together.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate, groupby
from typing import Final

import orjson

from bff.observe.catalogue import CATALOGUE, LATENCY_BUCKETS_S
from bff.observe.journal import ShapeUse

Series = tuple[str, tuple[str, ...]]
"""A metric's name and the values of its labels, in the catalogue's order."""
Reading = Mapping[Series, float]
"""Counters as exposed, of one moment; a histogram `name` as `name_bucket` with `le` as last label,
cumulative."""
Counts = Mapping[str, Mapping[str, int]]
"""By metric, then by the values of its labels, joined by line breaks. A histogram's last label is
`le`, and its counts are not cumulative."""

MINUTE_S: Final = 60
MOST_BYTES: Final = 65_536
"""Of one record; one with 24 busy spaces takes less than half of it."""
MOST_PLAIN: Final = 2**24
"""What a record may be unpacked to: more is none of ours."""
OTHERS: Final = "~others"
"""In place of the names of those spaces for which a record has no room; no space is named so."""

COUNTERS: Final = frozenset(
    (
        *("bff_requests", "bff_response_bytes", "bff_bootstraps_incomplete"),
        *("bff_bootstraps_cached", "bff_cache_reads", "bff_upstream_calls_saved"),
        *("bff_bytes_saved", "bff_upstream_calls", "bff_upstream_refused", "bff_throttled"),
        "bff_store_errors",
    )
)
HISTOGRAMS: Final = frozenset(("bff_request_seconds", "bff_upstream_seconds", "bff_store_seconds"))
USES: Final = "shape_uses"
SHAPES: Final = (USES, "shape_bytes", "shape_saved")
"""Not of the catalogue, for shapes are without number; labels: space and shape."""

LABELS: Final[Mapping[str, tuple[str, ...]]] = {
    **{row.name: row.labels for row in CATALOGUE if row.name in COUNTERS},
    **{row.name: (*row.labels, "le") for row in CATALOGUE if row.name in HISTOGRAMS},
    **dict.fromkeys(SHAPES, ("space", "shape")),
}
_BUCKETS: Final = {f"{name}_bucket": name for name in HISTOGRAMS}
_LE: Final = frozenset((*(repr(float(bound)) for bound in LATENCY_BUCKETS_S), "+Inf"))
_BREAK: Final = "\n"
_FORMAT: Final = 1


class UnreadableRecord(ValueError):
    """What is stored is no record that this version of the gateway understands."""


def parts(name: str, series: str) -> list[str]:
    """The values of a metric's labels. A shape may hold anything, and comes last."""
    return series.split(_BREAK, len(LABELS[name]) - 1)


def watched(reading: Reading) -> dict[Series, int]:
    """What of a reading is kept in minutes."""
    return {
        series: round(value)
        for series, value in reading.items()
        if series[0] in COUNTERS or series[0] in _BUCKETS
    }


def taken(before: Mapping[Series, int], after: Mapping[Series, int]) -> Counts:
    """What was counted between two readings, both as `watched`.

    A counter that went backwards began anew in between.
    """
    counters: dict[str, dict[str, int]] = {}
    buckets: list[tuple[str, str, str, int]] = []
    for series, value in after.items():
        earlier = before.get(series, 0)
        more = value - earlier if value >= earlier else value
        if not more:
            continue
        name, labels = series
        if name in _BUCKETS:
            buckets.append((_BUCKETS[name], _BREAK.join(labels[:-1]), labels[-1], more))
        else:
            counters.setdefault(name, {})[_BREAK.join(labels)] = more
    for name, series_, le, more in _apart(buckets):
        label = f"{series_}{_BREAK}{le}" if len(LABELS[name]) > 1 else le
        counters.setdefault(name, {})[label] = more
    return counters


def _apart(
    cumulative: list[tuple[str, str, str, int]],
) -> Iterator[tuple[str, str, str, int]]:
    """Buckets that each count their own only."""
    cumulative.sort(key=lambda row: (row[0], row[1], float(row[2])))
    for _, rows in groupby(cumulative, key=lambda row: row[:2]):
        below = 0
        for name, series, le, count in rows:
            if count > below:
                yield name, series, le, count - below
                below = count


def used(uses: Iterable[ShapeUse]) -> Counts:
    """Uses of shapes as counts."""
    counted: dict[str, dict[str, int]] = {name: {} for name in SHAPES}
    for use in uses:
        shape = use.shape.encode("utf-8", "replace").decode()
        series = f"{use.space}{_BREAK}{shape}"
        for name, more in zip(SHAPES, (use.uses, use.bytes, use.saved), strict=True):
            counted[name][series] = counted[name].get(series, 0) + more
    return counted


class Sum:
    """A sum of counts that others are added to and taken from."""

    def __init__(self, *counts: Counts) -> None:
        self.counts: dict[str, dict[str, int]] = {}
        for each in counts:
            self.add(each)

    def add(self, counts: Counts) -> None:
        """As if all of it had been counted here as well."""
        for name, of in counts.items():
            own = self.counts.setdefault(name, {})
            for series, count in of.items():
                own[series] = own.get(series, 0) + count

    def take_away(self, counts: Counts) -> None:
        """What was added before."""
        for name, of in counts.items():
            own = self.counts[name]
            for series, count in of.items():
                left = own[series] - count
                if left:
                    own[series] = left
                else:
                    del own[series]


def of_space(counts: Counts, space: str) -> Counts:
    """What concerns one space, and what concerns none in particular."""
    return _selected(counts, lambda found: found == space)


def _selected(counts: Counts, wanted: Callable[[str], bool]) -> Counts:
    kept: dict[str, Mapping[str, int]] = {}
    for name, of in counts.items():
        if name not in LABELS:
            continue  # of another version of the gateway
        if "space" not in LABELS[name]:
            kept[name] = of
            continue
        at = LABELS[name].index("space")
        kept[name] = {key: n for key, n in of.items() if wanted(parts(name, key)[at])}
    return kept


def by_labels(counts: Counts, name: str, *labels: str) -> dict[tuple[str, ...], int]:
    """Sums of one metric by the values of some of its labels; of those not named over all."""
    at = [LABELS[name].index(label) for label in labels]
    found: dict[tuple[str, ...], int] = {}
    for series, count in counts.get(name, {}).items():
        values = parts(name, series)
        key = tuple(values[index] for index in at)
        found[key] = found.get(key, 0) + count
    return found


def by_label(counts: Counts, name: str, label: str) -> dict[str, int]:
    """As `by_labels`, by one."""
    return {value: count for (value,), count in by_labels(counts, name, label).items()}


def total(counts: Counts, name: str) -> int:
    """Of all series of a metric."""
    return sum(counts.get(name, {}).values())


def quantile(buckets: Mapping[str, int], q: float) -> float | None:
    """Seconds below which the part `q` of what was timed took, as PromQL's `histogram_quantile`.

    `buckets`: how many by `le`, not cumulative. None where nothing was timed.
    """
    counts: dict[float, int] = dict.fromkeys((*LATENCY_BUCKETS_S, float("inf")), 0)
    for le, count in buckets.items():
        counts[float(le)] = counts.get(float(le), 0) + count
    rank = q * sum(counts.values())
    if not any(counts.values()):
        return None
    bounds = (0.0, *sorted(counts))
    ends = tuple(accumulate((counts[upper] for upper in bounds[1:]), initial=0))
    # The last bucket that anything is in ends where all do: one is always found.
    at = next(i for i in range(1, len(ends)) if ends[i] >= rank and ends[i] > ends[i - 1])
    (lower, upper), below, here = bounds[at - 1 : at + 1], ends[at - 1], ends[at] - ends[at - 1]
    return lower if upper == float("inf") else lower + (upper - lower) * (rank - below) / here


def encode(counts: Counts) -> bytes:
    """As it is stored: compressed JSON."""
    return zlib.compress(orjson.dumps({"v": _FORMAT, "counts": counts}), 1)


def decode(record: bytes, *, own: bool = False) -> Counts:
    """What was encoded. Raises UnreadableRecord. `own`: just now and here, so it is not checked."""
    found = unpack(record)
    counts = found.get("counts") if isinstance(found, dict) else None
    if not isinstance(found, dict) or found.get("v") != _FORMAT or not isinstance(counts, dict):
        raise UnreadableRecord("of another format")
    if own:
        return counts
    return {name: _checked(name, of) for name, of in counts.items() if name in LABELS}


def unpack(record: bytes) -> object:
    """The JSON value of a compressed record, of bounded size. Raises UnreadableRecord."""
    opened = zlib.decompressobj()
    try:
        plain = opened.decompress(record, MOST_PLAIN)
        if not opened.eof:
            raise UnreadableRecord("too long, or cut")
        value: object = orjson.loads(plain)
    except (zlib.error, orjson.JSONDecodeError) as error:
        raise UnreadableRecord(type(error).__name__) from None
    return value


def _checked(name: str, of: object) -> dict[str, int]:
    labels = LABELS[name]
    if not isinstance(of, dict) or not set(map(type, of.values())) <= {int}:
        raise UnreadableRecord("no counts")
    if any(series.count(_BREAK) < len(labels) - 1 for series in of):
        raise UnreadableRecord("too few labels")
    if labels[-1] == "le" and not {series.rpartition(_BREAK)[2] for series in of} <= _LE:
        raise UnreadableRecord("other buckets")
    return of


def fitting(counts: Counts, most: int = MOST_BYTES) -> bytes:
    """The record, of `most` bytes or less. Where there is no room, first shapes go, then the names
    of the spaces with the fewest requests become one: sums over all spaces stay what they are.
    """
    record = encode(counts)
    if len(record) <= most:
        return record
    counts = {name: of for name, of in counts.items() if name not in SHAPES}
    busy = by_label(counts, "bff_requests", "space")
    names = sorted(busy, key=lambda space: (-busy[space], space))
    while len(record := encode(counts)) > most and names:
        names = names[: len(names) // 2]
        counts = _folded(counts, frozenset(names))
    return record


def _folded(counts: Counts, keep: frozenset[str]) -> Counts:
    folded = Sum(_selected(counts, keep.__contains__))
    for name, of in counts.items():
        if "space" not in LABELS[name]:
            continue
        at = LABELS[name].index("space")
        for series, count in of.items():
            values = parts(name, series)
            if values[at] not in keep:
                values[at] = OTHERS
                folded.add({name: {_BREAK.join(values): count}})
    return folded.counts
