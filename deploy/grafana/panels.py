"""What a dashboard is made of: rows of panels, panels of queries; and PromQL that many need."""

from __future__ import annotations

from dataclasses import dataclass, field

SPACE = 'space=~"$space"'
RATE = "[$__rate_interval]"

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Query:
    """One expression; `legend` as Grafana fills it in, `{{label}}`."""

    expr: str
    legend: str = ""
    instant: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. `steps`: where its colour turns, as (colour, from value), the first from below."""

    title: str
    queries: tuple[Query, ...]
    about: str
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    height: int = 7
    steps: tuple[tuple[str, float | None], ...] = (("green", None),)
    stacked: bool = False
    options: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """Panels that answer one question."""

    title: str
    panels: tuple[Panel, ...]


def rate(metric: str, by: str, labels: str = SPACE) -> str:
    """Events a second, summed over everything but `by`."""
    return f"sum by ({by}) (rate({metric}{{{labels}}}{RATE}))"


def quantile(q: float, metric: str, by: str = "", labels: str = "") -> str:
    """A quantile of a histogram, in seconds."""
    kept = f"{by}, le" if by else "le"
    return f"histogram_quantile({q}, sum by ({kept}) (rate({metric}_bucket{{{labels}}}{RATE})))"


def percentiles(metric: str, labels: str = "") -> tuple[Query, ...]:
    """Median, 95th and 99th percentile."""
    return tuple(
        Query(quantile(q, metric, labels=labels), name)
        for q, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
    )


def stat(title: str, expr: str, about: str, unit: str, *steps: tuple[str, float | None]) -> Panel:
    """One number of now, with the last hours behind it."""
    return Panel(title, (Query(expr),), about, unit, "stat", 4, 4, steps or (("blue", None),))
