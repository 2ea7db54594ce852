"""The catalogue's metrics of one process, and their page.

With PROMETHEUS_MULTIPROC_DIR set when this is imported, every process counts into a file of its own
there, and whichever is asked answers for all. Without it a process answers for itself alone.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Final, Literal

import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.mmap_dict import mmap_key
from prometheus_client.utils import floatToGoString

from bff.observe.catalogue import CATALOGUE, LATENCY_BUCKETS_S, Kind, Merge, Row
from bff.observe.in_place import InPlace
from bff.observe.series import Count, Times, Totals
from bff.observe.shared_files import DIRECTORY, make_room
from bff.observe.together import Together

log = structlog.get_logger("bff.metrics")

Series = tuple[str, tuple[str, ...]]
"""A metric's name and the values of its labels."""

_LE: Final[tuple[str, ...]] = tuple(
    floatToGoString(bound)  # type: ignore[no-untyped-call]
    for bound in (*LATENCY_BUCKETS_S, float("inf"))
)
_MODES: Final[Mapping[Merge, Literal["livesum", "livemin", "livemax"]]] = {
    Merge.SUM: "livesum",
    Merge.LEAST: "livemin",
    Merge.GREATEST: "livemax",
}
_ROWS: Final = {row.name: row for row in CATALOGUE}

_INTRODUCTION = """\
# Metrics

`GET /metrics` answers with them in the Prometheus text format, to `Authorization: Bearer` with an
operator's token. They are those of all worker processes of one `bff serve`, whichever of them is
asked; counts of a worker that ended stay, its gauges go. Labels are bounded: route templates, names
of spaces and resources, enumerations; never a path, an id or a token. A histogram's buckets are in
seconds. Gauges are as old as a second.

Under another server than `bff serve`, set `PROMETHEUS_MULTIPROC_DIR` to a directory that is empty
at start and that all worker processes share; without it each answers for itself.

This page is generated from `bff/observe/catalogue.py`. Several workers' gauges are one by `merge`.

| name | type | labels | merge | meaning |
| --- | --- | --- | --- | --- |"""


def render_catalogue() -> str:
    """The text of `docs/metrics.md`."""
    rows = [
        f"| `{_exposed(row)}` | {row.kind.value} | {_labels(row)} | {_merge(row)} | {row.meaning} |"
        for row in CATALOGUE
    ]
    return "\n".join([_INTRODUCTION, *rows, ""])


def _exposed(row: Row) -> str:
    """The name under which a metric is scraped (OpenMetrics: counters end in `_total`)."""
    return f"{row.name}_total" if row.kind is Kind.COUNTER else row.name


def _labels(row: Row) -> str:
    return ", ".join(f"`{label}`" for label in row.labels) or "–"


def _merge(row: Row) -> str:
    return row.merge.value if row.kind is Kind.GAUGE else "–"


class Metrics:
    """The catalogue's metrics. Not thread-safe, but for `render`: one event loop owns it.

    `refresh` is called before gauges are read, and `settle_hot` brings what has yet to be counted.
    What is counted is written at `flush`, because one write costs as much as ten additions where
    several processes count together. A series for which the shared files have no room is counted by
    this process alone, until `settle` finds some.
    """

    def __init__(self) -> None:
        self.refresh: Callable[[], None] = lambda: None
        self.settle_hot: Callable[[], None] = lambda: None
        self._due: deque[Count | Times] = deque()
        self._flushing = threading.Lock()
        self._directory = os.environ.get(DIRECTORY)
        self._in_place: InPlace | None = None
        if self._directory:
            Path(self._directory).mkdir(mode=0o700, parents=True, exist_ok=True)
        # When a series began says nothing where it goes on after its process.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._families: dict[str, Counter | Gauge | Totals] = {}
        self._counts: dict[Series, Count] = {}
        self._times: dict[Series, Times] = {}
        self._gauges: dict[Series, float] = {}
        self._requests: dict[tuple[str, str, int], tuple[Count, Times, Count]] = {}
        self._shown: dict[Series, Gauge] = {}
        self._waiting: deque[tuple[Count | Times, str, tuple[str, ...]]] = deque()
        self._is_refused = False
        for row in CATALOGUE:
            if row.kind is not Kind.GAUGE:
                if row.labels:
                    self._families[row.name] = self._family(row)
                else:
                    # 0 from the begin, not absent until it is counted.
                    (self.counter if row.kind is Kind.COUNTER else self.times)(row.name)

    def counter(self, name: str, *labels: str) -> Count:
        """One series of a counter, for those who count often."""
        return self._counts.get((name, labels)) or self._created_count(name, labels)

    def count(self, name: str, *labels: str, by: float = 1) -> None:
        """Add to a counter of the catalogue."""
        self.counter(name, *labels).add(by)

    def times(self, name: str, *labels: str) -> Times:
        """One series of a histogram."""
        return self._times.get((name, labels)) or self._created_times(name, labels)

    def observe(self, name: str, seconds: float, *labels: str) -> None:
        """Add an observation to a histogram of the catalogue."""
        self.times(name, *labels).add(seconds)

    def set(self, name: str, value: float, *labels: str) -> None:
        """What a gauge of the catalogue is now."""
        self._gauges[name, labels] = value
        try:
            # Not before there is a value: other processes' least would be 0 until then.
            shown = self._shown.get((name, labels)) or self._child(name, labels)
        except OSError as error:
            self._refused(error)
            return
        assert isinstance(shown, Gauge)
        self._shown[name, labels] = shown
        shown.set(value)

    def request(self, route: str, space: str, status: int, took_s: float, sent: int) -> None:
        """One request is over, of whose answer `sent` bytes of body went out."""
        count, times, sizes = self._request_series(route, space, status)
        sizes.add(sent)
        times.add(took_s)
        # So that what a process has answered is known, even if it is killed now.
        count.add_now()

    def answer_writer(self, route: str, space: str, status: int) -> Callable[[float], None] | None:
        """Counts an answer for other processes at once, for any thread; None where none counts."""
        if not self._directory:
            return None
        count = self._request_series(route, space, status)[0]
        if count.writer is None:
            return None  # there is no room for it yet
        row, values = _ROWS["bff_requests"], [route, space, str(status)]
        key = mmap_key(row.name, _exposed(row), [*row.labels], values, row.meaning)
        # Not before: a process that is forked has other files than its parent.
        self._in_place = self._in_place or InPlace(self._file(Kind.COUNTER.value))
        with contextlib.suppress(Exception):  # of a damaged file: then it is written as all others
            adder = self._in_place.adder(key)
            with self._flushing:
                count.write_to(adder)
        return count.writer

    def requests(
        self, series: tuple[str, str, int], took_s: Sequence[float], sent: int, *, written: bool
    ) -> None:
        """Several are over that were answered alike, with `sent` bytes of body in all.

        `series`: route, space and status. `written`: each was counted by its `answer_writer`.
        """
        count, times, sizes = self._request_series(*series)
        (count.add_written if written else count.add)(len(took_s))
        sizes.add(sent)
        times.add_all(took_s)

    def flush(self) -> None:
        """Write what was counted; whoever is asked for metrics has it from then on."""
        with self._flushing:
            while self._due:
                self._due.popleft().write()

    def settle(self) -> None:
        """Room, if there is some by now, for those series that had none: now and then."""
        waiting = self._waiting
        # No more than one in vain: another one is the first next time.
        if waiting and all(self._placed(*waiting.popleft()) for _ in range(len(waiting))):
            self._is_refused = False

    def counted(self) -> Mapping[Series, float]:
        """What this process alone counted since it began, by the names of the catalogue.

        A histogram `name` is `name_bucket`, cumulative and with `le` as last label, `name_sum` and
        `name_count`.
        """
        self.settle_hot()
        found: dict[Series, float] = {series: each.value for series, each in self._counts.items()}
        for (name, labels), times in self._times.items():
            bucket, so_far = f"{name}_bucket", 0
            for le, so_far in zip(_LE, accumulate(times.counts), strict=True):
                found[bucket, (*labels, le)] = so_far
            found[f"{name}_sum", labels] = times.total
            found[f"{name}_count", labels] = so_far
        return found

    def measured(self) -> Mapping[Series, float]:
        """The gauges of this process alone, as they are now."""
        self.refresh()
        return dict(self._gauges)

    def render(self) -> bytes:
        """Prometheus text format: of all processes that count together. For any thread.

        Counters and gauges of others are as they last wrote them; of processes that are gone only
        the counters are.
        """
        self.flush()
        if not self._directory:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        together.register(Together(Path(self._directory)))
        return generate_latest(together)

    def _request_series(self, route: str, space: str, status: int) -> tuple[Count, Times, Count]:
        key = (route, space, status)
        found = self._requests.get(key)
        if found is None:
            found = self._requests[key] = (
                self.counter("bff_requests", route, space, str(status)),
                self.times("bff_request_seconds", route, space),
                self.counter("bff_response_bytes", route, space),
            )
        return found

    def _family(self, row: Row) -> Counter | Gauge | Totals:
        given = (row.name, row.meaning, row.labels)
        match row.kind:
            case Kind.COUNTER:
                return Counter(*given, registry=self._registry)
            case Kind.GAUGE:
                mode = _MODES[row.merge]
                return Gauge(*given, registry=self._registry, multiprocess_mode=mode)
            case Kind.HISTOGRAM:
                return Totals(*given, registry=self._registry, buckets=LATENCY_BUCKETS_S)

    def _created_count(self, name: str, labels: tuple[str, ...]) -> Count:
        self._placed(created := Count(self._due), name, labels)
        self._counts[name, labels] = created
        return created

    def _created_times(self, name: str, labels: tuple[str, ...]) -> Times:
        self._placed(created := Times(self._due), name, labels)
        self._times[name, labels] = created
        return created

    def _placed(self, series: Count | Times, name: str, labels: tuple[str, ...]) -> bool:
        """Whether it is written from now on; it waits if not."""
        try:
            child = self._child(name, labels)
        except OSError as error:
            self._refused(error)
            self._waiting.append((series, name, labels))
            return False
        with self._flushing:
            if isinstance(series, Times):
                assert isinstance(child, Totals)
                series.write_to(child)
            else:
                assert isinstance(child, Counter)
                series.write_to(child.inc)
        return True

    def _child(self, name: str, labels: tuple[str, ...]) -> Counter | Gauge | Totals:
        row = _ROWS[name]
        if self._directory:
            kind = f"gauge_{_MODES[row.merge]}" if row.kind is Kind.GAUGE else row.kind.value
            make_room(self._file(kind))
        family = self._families.get(name)
        if family is None:
            family = self._families[name] = self._family(row)
        return family.labels(*labels) if labels else family

    def _file(self, kind: str) -> Path:
        return Path(self._directory or "") / f"{kind}_{os.getpid()}.db"

    def _refused(self, error: OSError) -> None:
        if not self._is_refused:
            self._is_refused = True
            log.error("metrics_refused", reason=error.strerror or str(error))
