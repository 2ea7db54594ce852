"""The metrics, one catalogue; `docs/metrics.md` is generated from it and a test compares.

Labels are bounded: route templates, space names, resource names, enumerations. Never a raw path,
an id or a token.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


@dataclass(frozen=True, slots=True)
class Row:
    """One metric of the catalogue."""

    name: str
    kind: type[Counter] | type[Gauge] | type[Histogram]
    labels: tuple[str, ...]
    meaning: str


CATALOGUE = (
    Row("bff_requests", Counter, ("route", "space", "status"), "Requests answered."),
    Row(
        "bff_request_seconds",
        Histogram,
        ("route",),
        "Time from a request's headers to the end of its answer.",
    ),
    Row(
        "bff_cache_reads",
        Counter,
        ("space", "resource", "tier", "outcome"),
        "Reads of cached resources: tier l1, l2 or upstream; outcome hit, stale, stale_error, "
        "miss or coalesced.",
    ),
    Row(
        "bff_finished_hits",
        Counter,
        ("space", "route"),
        "Answers served from finished bytes in process.",
    ),
    Row("bff_not_modified", Counter, ("space", "route"), "Answers 304."),
    Row(
        "bff_upstream_calls",
        Counter,
        ("space", "kind", "outcome"),
        "Calls made to Nexudus, repetitions among them: kind cached or forwarded; outcome a status "
        "class, the name of the error that there was instead, cut for an answer that broke off, or "
        "abandoned where nobody waited for it any more.",
    ),
    Row(
        "bff_upstream_refused",
        Counter,
        ("space", "kind", "reason"),
        "Calls to Nexudus that were not made: reason budget or breaker.",
    ),
    Row(
        "bff_upstream_retries",
        Counter,
        ("space", "kind", "cause"),
        "Calls made again: cause no_answer, unavailable or throttled.",
    ),
    Row(
        "bff_breaker_changes",
        Counter,
        ("space", "state"),
        "Times that a space's breaker became closed, open or half_open.",
    ),
    Row("bff_invalidations", Counter, ("space", "cause", "reach"), "Invalidations, by cause."),
    Row("bff_comparisons", Counter, ("space", "outcome"), "Shared hits compared with own fetches."),
    Row("bff_l1_bytes", Gauge, (), "Bytes in the in-process tier."),
    Row("bff_l1_items", Gauge, (), "Items in the in-process tier."),
    Row("bff_store_available", Gauge, (), "1 while the shared store is used."),
    Row("bff_bus_trusted", Gauge, (), "1 while others' invalidations are heard."),
    Row("bff_flights", Gauge, (), "Upstream fetches under way."),
    Row("bff_refreshing", Gauge, (), "Refreshes behind stale answers under way."),
    Row("bff_flight_waiters", Gauge, (), "Callers that wait for an upstream fetch."),
)


_INTRODUCTION = """\
# Metrics

`GET /metrics` answers with them in the Prometheus text format, to
`Authorization: Bearer $BFF_OPS_TOKEN`. They are those of one worker process. Labels are bounded:
route templates, names of spaces and resources, enumerations; never a path, an id or a token. A
histogram's buckets are in seconds.

This page is generated from `bff/observe/metrics.py`.

| name | type | labels | meaning |
| --- | --- | --- | --- |"""


def render_catalogue() -> str:
    """The text of `docs/metrics.md`."""
    rows = [
        f"| `{_exposed(row)}` | {row.kind.__name__.lower()} | {_labels(row)} | {row.meaning} |"
        for row in CATALOGUE
    ]
    return "\n".join([_INTRODUCTION, *rows, ""])


def _exposed(row: Row) -> str:
    """The name under which a metric is scraped (OpenMetrics: counters end in `_total`)."""
    return f"{row.name}_total" if row.kind is Counter else row.name


def _labels(row: Row) -> str:
    return ", ".join(f"`{label}`" for label in row.labels) or "–"


class Metrics:
    """The catalogue's metrics in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._by_name: dict[str, Counter | Gauge | Histogram] = {}
        for row in CATALOGUE:
            if row.kind is Histogram:
                metric: Counter | Gauge | Histogram = Histogram(
                    row.name, row.meaning, row.labels,
                    registry=self.registry, buckets=LATENCY_BUCKETS_S,
                )  # fmt: skip
            else:
                metric = row.kind(row.name, row.meaning, row.labels, registry=self.registry)
            self._by_name[row.name] = metric

    def count(self, name: str, *labels: str) -> None:
        """Add one to a counter of the catalogue."""
        metric = self._by_name[name]
        assert isinstance(metric, Counter)
        metric.labels(*labels).inc()

    def request(self, route: str, space: str, status: int, took_s: float) -> None:
        """One request is over; status 0 means its caller left before an answer."""
        self.count("bff_requests", route, space, str(status))
        histogram = self._by_name["bff_request_seconds"]
        assert isinstance(histogram, Histogram)
        histogram.labels(route).observe(took_s)

    def gauge(self, name: str, read: Callable[[], float]) -> None:
        """Let a gauge of the catalogue be read when it is scraped."""
        metric = self._by_name[name]
        assert isinstance(metric, Gauge)
        metric.set_function(read)

    def render(self) -> bytes:
        """Prometheus text format."""
        return generate_latest(self.registry)
