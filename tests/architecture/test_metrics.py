"""A metric that is not in the catalogue does not exist; one that nobody writes is not in it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from bff.observe.metrics import CATALOGUE, Metrics, render_catalogue
from tests.architecture.source import ROOT, sources

NAME = re.compile(r"bff_[a-z0-9_]+")


def uses() -> Iterator[tuple[str, ast.Call]]:
    """Each call with the name of a metric as its first argument, but for the catalogue's rows."""
    for source in sources():
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call) and node.args and ast.unparse(node.func) != "Row":
                first = node.args[0]
                if isinstance(first, ast.Constant) and NAME.fullmatch(str(first.value)):
                    yield source.at(node), node


def test_the_page_is_the_catalogue() -> None:
    assert (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8") == render_catalogue()


def test_the_page_has_the_names_that_are_scraped() -> None:
    scraped = Metrics().render().decode()
    typed = re.findall(r"^# TYPE (bff_\w+) (\w+)$", scraped, re.MULTILINE)
    listed = re.findall(r"^\| `(bff_\w+)` \| (\w+) \|", render_catalogue(), re.MULTILINE)
    assert len(listed) == len(CATALOGUE)
    assert listed == [(name, kind) for name, kind in typed if not name.endswith("_created")]


def test_every_metric_is_written_and_every_written_one_is_listed() -> None:
    written = {node.args[0].value for _, node in uses() if isinstance(node.args[0], ast.Constant)}
    indirect = {
        node.slice.value
        for source in sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Subscript)
        and isinstance(node.slice, ast.Constant)
        and NAME.fullmatch(str(node.slice.value))
    }
    assert written | indirect == {row.name for row in CATALOGUE}


def test_every_count_has_the_labels_of_its_metric() -> None:
    labels = {row.name: len(row.labels) for row in CATALOGUE}
    wrong = [
        place
        for place, call in uses()
        if ast.unparse(call.func).endswith("count")
        and isinstance(call.args[0], ast.Constant)
        and not any(isinstance(argument, ast.Starred) for argument in call.args)
        and len(call.args) - 1 != labels.get(str(call.args[0].value))
    ]
    assert wrong == []
