"""What `/metrics` says, read as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

Key = tuple[str, frozenset[tuple[str, str]]]
"""The name of a sample and its labels."""

COUNTERS = ("_total", "_bucket", "_sum", "_count")


def samples(text: str) -> dict[Key, float]:
    """Every sample of a scrape."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def by_label(scraped: Mapping[Key, float], name: str, label: str, **given: str) -> dict[str, float]:
    """The sums of a metric by the values of one label, of the series that have all of `given`."""
    found: dict[str, float] = {}
    for (sample, labels), value in scraped.items():
        if sample == name and given.items() <= labels:
            key = dict(labels).get(label, "")
            found[key] = found.get(key, 0) + value
    return found


def total(scraped: Mapping[Key, float], name: str, **given: str) -> float:
    """The sum of a metric over the series that have all of `given`."""
    return sum(by_label(scraped, name, "", **given).values())


def steps_back(before: Mapping[Key, float], after: Mapping[Key, float]) -> list[Key]:
    """Counters that were more, or were there at all, before."""
    return [
        key
        for key, value in before.items()
        if key[0].endswith(COUNTERS) and after.get(key, -1) < value
    ]
