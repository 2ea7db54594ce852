"""The code of the gateway, read as text and syntax trees, never imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "bff"

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Source:
    """One module. `name` is dotted, without `__init__`; `path` is relative to the repository."""

    name: str
    path: Path
    text: str
    tree: ast.Module

    @property
    def package(self) -> str:
        """What relative imports start from."""
        is_package = self.path.name == "__init__.py"
        return self.name if is_package else self.name.rpartition(".")[0]

    def functions(self) -> Iterator[Function]:
        """Every function, methods and nested ones included."""
        for node in ast.walk(self.tree):
            if isinstance(node, Function):
                yield node

    def at(self, node: ast.expr | ast.stmt) -> str:
        """`path:line: text`, to be clicked on."""
        line = self.text.splitlines()[node.lineno - 1].strip()
        return f"{self.path}:{node.lineno}: {line}"


@cache
def sources() -> tuple[Source, ...]:
    """Every module under `bff/`."""
    found = tuple(parsed(path, ROOT) for path in sorted(PACKAGE.rglob("*.py")))
    assert len(found) > 50
    return found


def parsed(path: Path, root: Path) -> Source:
    """The module in a file below `root`."""
    relative = path.relative_to(root)
    name = ".".join(relative.with_suffix("").parts).removesuffix(".__init__")
    text = path.read_text(encoding="utf-8")
    return Source(name, relative, text, ast.parse(text))
