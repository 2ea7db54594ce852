"""A metric that is not in the catalogue does not exist; one that nobody writes is not in it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from bff.observe.catalogue import CATALOGUE, Kind
from bff.observe.metrics import Metrics, render_catalogue
from tests.architecture.source import ROOT, sources

NAME = re.compile(r"bff_[a-z0-9_]+")
WRITERS = {"counter": 1, "count": 1, "times": 1, "observe": 2, "set": 2}
"""The methods that write a metric, and how many arguments come before its labels."""
KINDS = {"counter": Kind.COUNTER, "count": Kind.COUNTER, "set": Kind.GAUGE}


def uses() -> Iterator[tuple[str, str, str, int | None]]:
    """Each call that writes a metric: where, how, its name, and its labels if they are spelt out.

    That may be a method of `Metrics`, or a `partial` of one.
    """
    for source in sources():
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            written, given = node.func, node.args
            partial = ast.unparse(written) == "partial"
            if partial:
                written, *given = given
            if not given or not isinstance(written, ast.Attribute) or written.attr not in WRITERS:
                continue
            first = given[0]
            if isinstance(first, ast.Constant) and NAME.fullmatch(str(first.value)):
                spelt = not partial and not any(isinstance(each, ast.Starred) for each in given)
                labels = len(given) - WRITERS[written.attr] if spelt else None
                yield source.at(node), written.attr, str(first.value), labels


def test_the_page_is_the_catalogue() -> None:
    assert (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8") == render_catalogue()


def test_the_page_has_the_names_that_are_scraped() -> None:
    metrics = Metrics()
    for row in CATALOGUE:
        if row.kind is Kind.GAUGE:
            metrics.set(row.name, 1, *row.labels)
    scraped = metrics.render().decode()
    typed = re.findall(r"^# TYPE (bff_\w+) (\w+)$", scraped, re.MULTILINE)
    listed = re.findall(r"^\| `(bff_\w+)` \| (\w+) \|", render_catalogue(), re.MULTILINE)
    assert len(listed) == len(CATALOGUE)
    assert sorted(listed) == sorted(typed)


def test_every_metric_is_written_and_every_written_one_is_listed() -> None:
    assert {name for _, _, name, _ in uses()} == {row.name for row in CATALOGUE}


def test_every_metric_is_written_as_what_it_is_with_its_labels() -> None:
    rows = {row.name: row for row in CATALOGUE}
    wrong = [
        place
        for place, how, name, labels in uses()
        if KINDS.get(how, Kind.HISTOGRAM) is not rows[name].kind
        or labels not in (None, len(rows[name].labels))
    ]
    assert wrong == []
