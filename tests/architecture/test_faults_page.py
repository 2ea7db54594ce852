"""The page of faults names tests that exist."""

from __future__ import annotations

import ast
import re

import pytest

from tests.architecture.source import ROOT

PAGE = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
CITED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::([\w:]+))?`", PAGE)))


def test_the_page_cites_tests() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and "---" not in line]
    heads = [row for row in rows if row.endswith("| proof |")]
    assert len(heads) == 3
    assert all("`tests/" in row for row in rows if row not in heads)


@pytest.mark.parametrize(("path", "names"), CITED)
def test_every_test_that_is_cited_exists(path: str, names: str) -> None:
    tree: ast.AST = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    for name in names.split("::") if names else ():
        found = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and node.name == name
        ]
        assert found, f"{path} has no {name}"
        tree = found[0]
