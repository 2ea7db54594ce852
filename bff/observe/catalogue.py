"""Every metric there is; `docs/metrics.md` is generated from this, and a test compares.

Labels are bounded: route templates, names of spaces and resources, enumerations. Never a raw path,
an id or a token.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

LATENCY_BUCKETS_S: Final = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
)  # fmt: skip


class Kind(enum.Enum):
    """What a metric is."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Merge(enum.Enum):
    """How the values of several worker processes are one; of those that live, for a gauge."""

    SUM = "sum"
    LEAST = "min"
    GREATEST = "max"


@dataclass(frozen=True, slots=True)
class Row:
    """One metric of the catalogue. `merge` is for gauges: counters and histograms are summed."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    meaning: str
    merge: Merge = Merge.SUM


_C, _G, _H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM

CATALOGUE: Final = (
    # what members meet
    Row(
        "bff_requests", _C, ("route", "space", "status"),
        "Requests answered; status 0 for callers that left before an answer.",
    ),
    Row(
        "bff_request_seconds", _H, ("route", "space"),
        "Time from a request's headers to the end of its answer.",
    ),
    Row("bff_response_bytes", _C, ("route", "space"), "Bytes of bodies sent."),
    Row(
        "bff_bootstraps_incomplete", _C, ("space",),
        "Bootstraps answered without their related part.",
    ),
    Row(
        "bff_bootstraps_cached", _C, ("space",),
        "Bootstraps (200 or 304) answered without a call to Nexudus, made or joined: every part "
        "was had from a copy.",
    ),
    Row("bff_problems", _C, ("type",), "The gateway's own problem documents, by type."),
    # what the cache does
    Row(
        "bff_cache_reads", _C, ("space", "resource", "tier", "outcome"),
        "Reads of cached resources: tier l1, l2 or upstream; outcome hit, negative (a hit that is "
        "a 404), stale, stale_error, stand_in, miss, coalesced, bypass (asked with what the cache "
        "does not understand, so forwarded) or error.",
    ),
    Row(
        "bff_finished_hits", _C, ("space", "route"),
        "Answers served from finished bytes in process.",
    ),
    Row("bff_not_modified", _C, ("space", "route"), "Answers 304."),
    Row(
        "bff_upstream_calls_saved", _C, ("space", "resource"),
        "Reads answered without a call to Nexudus of their own.",
    ),
    Row(
        "bff_bytes_saved", _C, ("space", "how"),
        "Bytes of bodies not sent: how is shape (left out by a shape), encoding (compressed) or "
        "not_modified.",
    ),
    Row("bff_l1_bytes", _G, (), "Bytes in the in-process tier."),
    Row("bff_l1_limit_bytes", _G, (), "Bytes that the in-process tier may take."),
    Row("bff_l1_items", _G, (), "Items in the in-process tier."),
    Row("bff_l1_evictions", _C, (), "Items dropped from the in-process tier for want of room."),
    Row("bff_flights", _G, (), "Upstream fetches under way."),
    Row("bff_flight_waiters", _G, (), "Callers that wait for an upstream fetch."),
    Row("bff_refreshing", _G, (), "Refreshes behind stale answers under way."),
    Row("bff_refreshes_paused", _G, (), "1 while operators have paused refreshes.", Merge.GREATEST),
    Row(
        "bff_invalidations", _C, ("space", "cause", "reach"),
        "Invalidations, by cause; reach everywhere, stored or pending.",
    ),
    Row(
        "bff_invalidation_seconds", _H, (),
        "Time until every process had dropped what an invalidation names.",
    ),
    Row(
        "bff_comparisons", _C, ("space", "outcome"),
        "Shared hits compared with own fetches.",
    ),
    Row(
        "bff_related_per_token", _G, ("space",),
        "1 while a space's related lists are kept for each token.", Merge.GREATEST,
    ),
    # Nexudus
    Row(
        "bff_upstream_calls", _C, ("space", "route", "outcome", "reason"),
        "Calls made to Nexudus, repetitions among them: route profiles, related or forwarded; "
        "outcome a status class, throttled, the name of the error that there was instead, cut for "
        "an answer that broke off, or abandoned where nobody waited for it any more; reason "
        "interactive, refresh, prefetch (a hint), proof (of a token), sentinel (a comparison), "
        "listing (whose lists a write changes) or forwarded.",
    ),
    Row("bff_upstream_seconds", _H, ("route",), "Time that Nexudus took, body included."),
    Row(
        "bff_upstream_refused", _C, ("space", "route", "reason"),
        "Calls to Nexudus that were not made: reason budget, pause (Nexudus asked for one) or "
        "breaker.",
    ),
    Row(
        "bff_upstream_retries", _C, ("space", "route", "cause"),
        "Calls made again: cause no_answer, unavailable or throttled.",
    ),
    Row("bff_throttled", _C, ("space",), "Calls that Nexudus refused as too many (409, 429)."),
    Row(
        "bff_breaker_changes", _C, ("space", "state"),
        "Times that a space's breaker became closed, open or half_open.",
    ),
    Row(
        "bff_breaker_state", _G, ("space",),
        "0 closed, 1 half open, 2 open: the worst of the processes.", Merge.GREATEST,
    ),
    Row(
        "bff_budget_used", _G, ("space", "window"),
        "Calls that count in a window of the budget; window as in BFF_BUDGET_CALLS, writes with "
        "`writes ` before.", Merge.GREATEST,
    ),
    Row(
        "bff_budget_limit", _G, ("space", "window"),
        "Calls that a window of the budget allows.", Merge.GREATEST,
    ),
    Row(
        "bff_paused_seconds", _G, ("space",),
        "Seconds until a space is called again after Nexudus refused; 0 while it is.",
        Merge.GREATEST,
    ),
    Row("bff_budget_wait_seconds", _H, ("priority",), "Time that calls waited for the budget."),
    # Redis and the process
    Row(
        "bff_store_seconds", _H, ("operation",),
        "Time that Redis took for an operation; what several requests load at once is one.",
    ),
    Row(
        "bff_store_errors", _C, ("operation",),
        "Operations of Redis that failed or were not answered in time.",
    ),
    Row("bff_store_available", _G, (), "1 while the shared store is used.", Merge.LEAST),
    Row("bff_bus_trusted", _G, (), "1 while others' invalidations are heard.", Merge.LEAST),
    Row(
        "bff_loop_lag_seconds", _G, (),
        "By how much a worker's event loop was late, at most, lately.", Merge.GREATEST,
    ),
    Row("bff_resident_bytes", _G, (), "Memory of the worker processes."),
    Row("bff_workers", _G, (), "Worker processes that serve."),
    Row(
        "bff_worker_starts", _C, (),
        "Worker processes that began to serve: more than there are, if some were replaced.",
    ),
    Row("bff_build_info", _G, ("version", "python"), "1; what is running.", Merge.GREATEST),
)  # fmt: skip
