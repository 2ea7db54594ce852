"""The dashboard's rows, each of which answers one question."""

from __future__ import annotations

from deploy.grafana.panels import RATE, SPACE, Panel, Query, Row, percentiles, quantile, rate, stat

BOOTSTRAP = f'{SPACE},route="/session/bootstrap"'

SERVED = Row(
    "Are members served?",
    (
        stat(
            "Failing",
            f"sum(space:bff_served_errors:rate5m{{{SPACE}}}) / "
            f"(sum(space:bff_served:rate5m{{{SPACE}}}) > 0)",
            "Sessions and cached lists answered 5xx, of all of them, over five minutes. "
            "0.1% is what a month allows.",
            "percentunit",
            ("green", None), ("orange", 0.001), ("red", 0.02),
        ),
        stat(
            "Bootstraps from the cache",
            f"sum(rate(bff_bootstraps_cached_total{{{SPACE}}}[5m])) / "
            f'(sum(rate(bff_requests_total{{{BOOTSTRAP},status=~"200|304"}}[5m])) > 0)',
            "Sessions started without a call to Nexudus.",
            "percentunit",
            ("red", None), ("orange", 0.5), ("green", 0.8),
        ),
        stat(
            "Calls saved",
            f"sum(space:bff_upstream_calls_saved:rate5m{{{SPACE}}}) / "
            f"(sum(space:bff_upstream_calls_saved:rate5m{{{SPACE}}}) + "
            f"(sum(space:bff_upstream_calls_made:rate5m{{{SPACE}}}) or vector(0)) > 0)",
            "Of the calls that apps would have made to Nexudus, those that were not made.",
            "percentunit",
            ("red", None), ("orange", 0.5), ("green", 0.8),
        ),
        stat(
            "Bootstrap, p99",
            f"histogram_quantile(0.99, sum by (le) "
            f"(rate(bff_request_seconds_bucket{{{BOOTSTRAP}}}[5m])))",
            "99 of 100 sessions start within this time.",
            "s",
            ("green", None), ("orange", 1), ("red", 5),
        ),
        stat(
            "Requests",
            f"sum(space_route:bff_requests:rate5m{{{SPACE}}})",
            "A second, over all routes.",
            "reqps",
        ),
        stat(
            "Gateways",
            'sum(up{job="bff"})',
            "That answer Prometheus.",
            "short",
            ("red", None), ("green", 1),
        ),
        Panel(
            "Alerts",
            (Query('ALERTS{alertstate="firing",alertname=~"Bff.*"} or vector(0)', instant=True),),
            "What is wrong now; docs/runbook.md has each by name. A row without a name: nothing.",
            kind="table",
            width=12,
        ),
        Panel(
            "Failing, by space",
            (Query(f"space:bff_served:error_ratio_rate5m{{{SPACE}}}", "{{space}}"),),
            "Sessions and cached lists answered 5xx, of all of them.",
            "percentunit",
            width=12,
        ),
    ),
)  # fmt: skip

TRAFFIC = Row(
    "What do members ask for?",
    (
        Panel(
            "Requests by route",
            (Query(rate("bff_requests_total", "route"), "{{route}}"),),
            "A second.", "reqps", stacked=True,
        ),
        Panel(
            "Requests by status",
            (Query(rate("bff_requests_total", "status"), "{{status}}"),),
            "A second; 0 is a caller that left before an answer.", "reqps", stacked=True,
        ),
        Panel(
            "Bootstrap",
            percentiles("bff_request_seconds", BOOTSTRAP),
            "Until the end of the answer, interpolated within buckets.", "s",
        ),
        Panel(
            "Problems",
            (
                Query(rate("bff_problems_total", "type", ""), "{{type}}"),
                Query(rate("bff_bootstraps_incomplete_total", "space"), "incomplete: {{space}}"),
            ),
            "The gateway's own problem documents, of all spaces, by type; and bootstraps "
            "without their related part.", "reqps",
        ),
        Panel(
            "Bytes sent and not sent",
            (
                Query(f"sum(rate(bff_response_bytes_total{{{SPACE}}}{RATE}))", "sent"),
                Query(rate("bff_bytes_saved_total", "how"), "saved by {{how}}"),
            ),
            "Left out by a shape, compressed away, or known to the app (304).", "Bps",
        ),
        Panel(
            "Answers without work",
            (
                Query(rate("bff_finished_hits_total", "route"), "finished: {{route}}"),
                Query(rate("bff_not_modified_total", "route"), "304: {{route}}"),
            ),
            "Finished bytes in process, and answers without a body.", "reqps",
        ),
    ),
)  # fmt: skip

CACHE = Row(
    "What does the cache save?",
    (
        Panel(
            "Hit ratio",
            (
                Query(
                    f"space_resource:bff_cache_reads:hit_ratio_rate5m{{{SPACE}}}",
                    "{{resource}} of {{space}}",
                ),
            ),
            "Reads that waited for no call, of all reads.", "percentunit",
        ),
        Panel(
            "Reads by outcome",
            (Query(rate("bff_cache_reads_total", "outcome"), "{{outcome}}"),),
            "A second.", "ops", stacked=True,
        ),
        Panel(
            "Reads by tier",
            (Query(rate("bff_cache_reads_total", "tier"), "{{tier}}"),),
            "l1 is in process, l2 Redis.", "ops", stacked=True,
        ),
        Panel(
            "Calls to Nexudus, made and saved",
            (
                Query(f"sum(space:bff_upstream_calls_made:rate5m{{{SPACE}}})", "made"),
                Query(f"sum(space:bff_upstream_calls_saved:rate5m{{{SPACE}}})", "saved"),
            ),
            "For cached lists, a second; what is passed through is not among them.", "ops",
        ),
        Panel(
            "Tier in process",
            (
                Query("sum by (instance) (bff_l1_bytes)", "{{instance}}"),
                Query("sum by (instance) (bff_l1_limit_bytes)", "limit of {{instance}}"),
            ),
            "Bytes, of all workers of a gateway.", "bytes",
        ),
        Panel(
            "Items, and those thrown away",
            (
                Query("sum by (instance) (bff_l1_items)", "{{instance}}"),
                Query(
                    "sum by (instance) (increase(bff_l1_evictions_total[10m]))",
                    "dropped in 10 min: {{instance}}",
                ),
            ),
            "More dropped within ten minutes than there are: BFF_L1_BYTES is too small.",
        ),
        Panel(
            "Fetches under way",
            (
                Query("sum(bff_flights)", "fetches"),
                Query("sum(bff_flight_waiters)", "callers that wait"),
                Query("sum(bff_refreshing)", "refreshes behind stale answers"),
                Query("max(bff_refreshes_paused)", "1: refreshes are paused"),
            ),
            "Of all spaces.",
        ),
        Panel(
            "Invalidations",
            (Query(rate("bff_invalidations_total", "cause, reach"), "{{cause}}: {{reach}}"),),
            "pending: Redis could not take it yet.", "ops",
        ),
        Panel(
            "Until every process has dropped",
            percentiles("bff_invalidation_seconds"),
            "A member who has changed something waits for so long.", "s",
        ),
        Panel(
            "Shared lists, compared",
            (
                Query(rate("bff_comparisons_total", "outcome"), "{{outcome}}"),
                Query(f"max by (space) (bff_related_per_token{{{SPACE}}})", "per token: {{space}}"),
            ),
            "A comparison that differs is an incident: see BffRelatedListsDiffer.",
        ),
    ),
)  # fmt: skip

NEXUDUS = Row(
    "How is Nexudus?",
    (
        Panel(
            "Calls by reason",
            (Query(rate("bff_upstream_calls_total", "reason"), "{{reason}}"),),
            "A second.", "ops", stacked=True,
        ),
        Panel(
            "Calls by outcome",
            (Query(rate("bff_upstream_calls_total", "outcome"), "{{outcome}}"),),
            "A second; the name of an error where there was no answer.", "ops", stacked=True,
        ),
        Panel(
            "Time that it takes, p95",
            (Query(quantile(0.95, "bff_upstream_seconds", "route"), "{{route}}"),),
            "Body included.", "s",
        ),
        Panel(
            "Budget used",
            (
                Query(
                    f"space_window:bff_budget:use_ratio{{{SPACE}}}", "{{space}} {{window}}", True
                ),
            ),
            "Of what Nexudus allows, by window. A window of one call is full in the moment of it.",
            "percentunit",
            "bargauge",
            steps=(("green", None), ("orange", 0.75), ("red", 0.9)),
            options={"orientation": "horizontal", "displayMode": "basic"},
        ),
        Panel(
            "Throttled and paused",
            (
                Query(rate("bff_throttled_total", "space"), "refused a second: {{space}}"),
                Query(f"max by (space) (bff_paused_seconds{{{SPACE}}})", "s to wait: {{space}}"),
            ),
            "Calls that Nexudus refused as too many, and how long a space is not called for it.",
        ),
        Panel(
            "Breaker",
            (
                Query(f"max by (space) (bff_breaker_state{{{SPACE}}})", "{{space}}"),
                Query(rate("bff_breaker_changes_total", "space, state"), "{{space}} to {{state}}"),
            ),
            "0 closed, 1 being tried, 2 open: not called. And changes a second.",
        ),
        Panel(
            "Calls not made",
            (Query(rate("bff_upstream_refused_total", "reason, route"), "{{reason}}: {{route}}"),),
            "For want of budget, or because the breaker is open.", "ops",
        ),
        Panel(
            "Calls made again",
            (Query(rate("bff_upstream_retries_total", "cause, route"), "{{cause}}: {{route}}"),),
            "A second.", "ops",
        ),
        Panel(
            "Waiting for the budget, p95",
            (Query(quantile(0.95, "bff_budget_wait_seconds", "priority"), "{{priority}}"),),
            "How long calls are held back, by who waits.", "s",
        ),
    ),
)  # fmt: skip

PROCESSES = Row(
    "Redis and the processes",
    (
        Panel(
            "Redis used, others heard",
            (
                Query("min by (instance) (bff_store_available)", "used by {{instance}}"),
                Query("min by (instance) (bff_bus_trusted)", "heard by {{instance}}"),
            ),
            "1 yes, 0 no.",
        ),
        Panel(
            "Time that Redis takes, p99",
            (Query(quantile(0.99, "bff_store_seconds", "operation"), "{{operation}}"),),
            "A request waits BFF_REDIS_TIMEOUT_MS at most, all operations together.", "s",
        ),
        Panel(
            "Operations that failed or were late",
            (Query(rate("bff_store_errors_total", "operation", ""), "{{operation}}"),),
            "A second.", "ops",
        ),
        Panel(
            "Event loop late by",
            (Query("max by (instance) (bff_loop_lag_seconds)", "{{instance}}"),),
            "Every answer of that worker is as late.", "s",
        ),
        Panel(
            "Memory",
            (Query("sum by (instance) (bff_resident_bytes)", "{{instance}}"),),
            "Of all workers of a gateway.", "bytes",
        ),
        Panel(
            "Workers and versions",
            (
                Query("sum by (instance) (bff_workers)", "workers of {{instance}}"),
                Query("instance:bff_workers_replaced:count", "replaced at {{instance}}"),
                Query("count by (version) (bff_build_info)", "gateways of {{version}}"),
            ),
            "Two versions for longer than a deployment takes: it has not come to its end.",
        ),
    ),
)  # fmt: skip

ROWS = (SERVED, TRAFFIC, CACHE, NEXUDUS, PROCESSES)
