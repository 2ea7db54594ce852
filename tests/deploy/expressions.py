"""What PromQL expressions name, read as text: enough for the expressions of this repository."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bff.observe.catalogue import CATALOGUE, Kind

_SELECTOR: Final = re.compile(r"(?<![\w:\"])([a-zA-Z_][\w:]*)\{([^{}]*(?:\{id\}[^{}]*)*)\}")
_NAME: Final = re.compile(r"(?<![\w:\"~])((?:bff_|\w+:bff_)[\w:]*)")
_MATCHER: Final = re.compile(r'(\w+)(=~|!~|!=|=)"')
_GROUPED: Final = re.compile(r"\b(?:by|without)\s*\(([^)]*)\)")
_SUFFIXES: Final = {
    Kind.COUNTER: ("_total",),
    Kind.GAUGE: ("",),
    Kind.HISTOGRAM: ("_bucket", "_sum", "_count"),
}
FOREIGN: Final = frozenset({"instance", "job", "alertname", "alertstate", "le"})
"""Labels that Prometheus itself gives."""


@dataclass(frozen=True, slots=True)
class Exposed:
    """A name that is scraped, the metric that it belongs to, and its labels."""

    name: str
    metric: str
    labels: frozenset[str]


def exposed() -> dict[str, Exposed]:
    """Every name of the catalogue as it is scraped."""
    return {
        row.name + suffix: Exposed(row.name + suffix, row.name, frozenset(row.labels))
        for row in CATALOGUE
        for suffix in _SUFFIXES[row.kind]
    }


def selectors(expr: str) -> Iterator[str]:
    """Each `name{…}`, and each bare name of ours, without windows and offsets."""
    for name, inside in _SELECTOR.findall(expr):
        if name not in {"by", "without", "on", "ignoring"}:
            yield f"{name}{{{inside}}}"
    yield from _NAME.findall(_SELECTOR.sub("", expr))


def names(expr: str) -> set[str]:
    """The metrics and recorded series of ours that are named."""
    return set(_NAME.findall(expr))


def labels(expr: str) -> set[str]:
    """The labels that are matched or grouped by, Prometheus' own left out."""
    matched = {name for name, _ in _MATCHER.findall(expr)}
    grouped = {
        each.strip() for inside in _GROUPED.findall(expr) for each in inside.split(",")
    }  # fmt: skip
    return (matched | grouped) - FOREIGN - {""}
