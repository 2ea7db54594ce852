"""Who may import whom: rooms are siblings, and the table below is all that they know of each other.

A function-level import and one under TYPE_CHECKING count like any other.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.architecture.source import ROOT, Source, parsed, sources

TABLE = {
    # ground that everybody stands on
    "version": "",
    "errors": "",
    "clock": "",
    "spaces": "errors",
    "limits": "",
    "noticed": "",
    # rooms that know nothing of each other: a fetch reaches the cache as a callable
    "observe": "errors clock",
    "shape": "errors noticed",
    "cache": "errors clock",
    "nexudus": "errors clock spaces limits version",
    "hooks": "errors clock",
    # what is cached, and the use case made of it
    "resources": "errors cache",
    "session": "errors clock spaces noticed shape cache nexudus resources",
    # the parts again, with a span around each
    "traced": "errors clock spaces observe cache nexudus edge",
    # towards the apps, towards the operators
    "edge": (
        "errors clock spaces noticed version observe shape cache nexudus hooks resources session"
    ),
    "ops": "errors clock spaces observe cache nexudus resources session edge",
    # configuration and wiring
    "settings": "errors spaces limits shape",
    "configured": "errors limits cache nexudus resources session edge ops settings",
    "observed": "clock observe cache nexudus session edge shape",
    "operated": "version spaces clock observe observed cache nexudus session edge ops",
    "app": (
        "errors clock spaces limits noticed version observe shape cache nexudus hooks resources"
        " session edge ops traced settings configured observed operated"
    ),
    # a world of its own, which only commands start
    "sandbox": "clock",
    # commands
    "terminal": "",
    "serve": "terminal observe app",
    "children": "terminal",
    "operating": "terminal",
    "purge": "terminal operating",
    "explain": "terminal operating",
    "top": "terminal operating",
    "doctor": "errors clock spaces version shape cache nexudus resources edge settings",
    "demo": "terminal app sandbox serve children",
    "cli": (
        "errors spaces version observe settings app sandbox terminal serve demo purge explain"
        " top doctor"
    ),
    "__main__": "cli",
}
"""Room -> the rooms that it may import besides itself."""

GROUND = {"version", "errors", "clock", "limits", "noticed"}
"""Of which nobody need be told who may know it."""

ROOM_OF = {
    "bff": "version",
    "bff.attended": "operated",
    "bff.cli_operators": "cli",
    "bff.serve_hosted": "serve",
    "bff.serve_hot": "serve",
    "bff.serve_imports": "serve",
    "bff.serve_metrics": "serve",
    "bff.settings_cached": "settings",
    "bff.settings_catalogue": "settings",
    "bff.settings_doc": "settings",
    "bff.settings_operators": "settings",
    "bff.settings_sources": "settings",
    "bff.settings_types": "settings",
    "bff.settings_values": "settings",
}
"""Modules that are not the room of their own name."""

WITHIN = {
    "ops": {
        "figures": "",
        "access": "",
        "health": "access",
        "exposition": "access",
        "fleet": "figures",
        "summary": "figures fleet",
        "page": "figures summary access",
        "explaining": "access",
        "acting": "access fleet explaining",
    },
}
"""Rooms of which each part, too, knows some of the others only."""

IMPORTS_BY_NAME = {"bff.serve"}
"""A worker imports the factory that it was told to serve."""


def room(module: str) -> str:
    """The room that a module is in: `bff.cache.keys` is in `cache`."""
    return ROOM_OF.get(module) or module.split(".")[1]


def imports(source: Source, modules: frozenset[str]) -> Iterator[tuple[ast.stmt, str]]:
    """Every statement that imports something of ours, and the module that it reaches."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [_origin(source, node)]
            names += [f"{names[0]}.{alias.name}" for alias in node.names]
            # `from bff import resources` reaches the module, `from bff import __version__` bff.
            submodules = [name for name in names[1:] if name in modules]
            names = submodules if len(submodules) == len(node.names) else [names[0], *submodules]
        else:
            continue
        for name in names:
            if name == "bff" or name.startswith("bff."):
                assert isinstance(node, ast.stmt)
                yield node, name


def _origin(source: Source, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = source.package.split(".")
    return ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])


def trespasses(read: Iterable[Source], modules: frozenset[str]) -> list[str]:
    """Every import that the table does not allow, by the line that makes it."""
    found = []
    for source in read:
        own = room(source.name)
        allowed = {own, *TABLE[own].split()}
        for node, reached in imports(source, modules):
            if room(reached) not in allowed:
                found.append(f"{source.at(node)}  ({own} may not import {room(reached)})")
    return found


def inner_trespasses(read: Iterable[Source], modules: frozenset[str]) -> list[str]:
    """Every import between parts of one room that WITHIN does not allow."""
    found = []
    for source in read:
        _, own_room, own = f"{source.name}..".split(".")[:3]
        parts = WITHIN.get(own_room, {})
        for node, reached in imports(source, modules) if own in parts else ():
            other_room, other = f"{reached}.".split(".")[1:3]
            if other_room == own_room and other in parts.keys() - {own, *parts[own].split()}:
                found.append(f"{source.at(node)}  ({own} may not import {other})")
    return found


def test_every_module_is_in_a_room_of_the_table() -> None:
    rooms = {room(source.name) for source in sources()}
    assert rooms == TABLE.keys()


def test_the_page_of_the_architecture_says_the_same_of_each_folder() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)/` \|.*\| ([^|;]+)(?:;[^|]*)? \|$", page, re.MULTILINE)
    told = {name: set(known.split(", ")) - {"nothing"} for name, known in rows}
    assert told == {name: set(TABLE[name].split()) - GROUND for name in told}
    folders = {each.name for each in (ROOT / "bff").iterdir() if (each / "__init__.py").exists()}
    assert told.keys() == folders - {"doctor", "traced"}


def test_the_table_has_no_cycle_and_no_unknown_room() -> None:
    graph = {name: allowed.split() for name, allowed in TABLE.items()}
    order = tuple(TopologicalSorter(graph).static_order())
    assert set(order) == TABLE.keys()


@pytest.mark.parametrize("name", WITHIN)
def test_the_parts_of_a_room_are_those_of_its_table_and_have_no_cycle(name: str) -> None:
    parts = {known: allowed.split() for known, allowed in WITHIN[name].items()}
    found = {each.name.split(".")[2] for each in sources() if each.name.startswith(f"bff.{name}.")}
    assert found == parts.keys()
    assert set(TopologicalSorter(parts).static_order()) == parts.keys()


def test_no_part_of_a_room_imports_another_that_it_may_not() -> None:
    modules = frozenset(source.name for source in sources())
    assert inner_trespasses(sources(), modules) == []


def test_no_room_imports_another_that_it_may_not() -> None:
    assert trespasses(sources(), frozenset(source.name for source in sources())) == []


def test_nothing_is_imported_by_a_name_that_is_text() -> None:
    found = [
        source.at(node)
        for source in sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).rpartition(".")[2] in ("import_module", "__import__")
        and source.name not in IMPORTS_BY_NAME
    ]
    assert found == []


def test_no_module_imports_the_tests() -> None:
    found = [
        source.at(node)
        for source in sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        and ast.unparse(node).removeprefix("from ").removeprefix("import ").startswith("tests")
    ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "import bff.nexudus.client",
        "import bff.nexudus.client as c",
        "from bff.nexudus import client",
        "from bff import nexudus",
        "from bff import errors, nexudus",
        "from .. import nexudus",
        "from ..nexudus.client import NexudusClient",
        "def f():\n    from bff.nexudus.client import NexudusClient",
        "if TYPE_CHECKING:\n    from bff.session.reads import Reads",
        "from bff import __version__",
    ],
)
def test_a_trespass_is_noticed_however_it_is_written(line: str, tmp_path: Path) -> None:
    (tmp_path / "bff" / "cache").mkdir(parents=True)
    intruder = tmp_path / "bff" / "cache" / "intruder.py"
    intruder.write_text(f"from bff.cache.keys import Scope\nfrom bff import errors\n{line}\n")
    modules = frozenset(source.name for source in sources())
    [found] = trespasses([parsed(intruder, tmp_path)], modules)
    assert "cache may not import" in found


def test_a_trespass_within_a_room_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "bff" / "ops" / "fleet").mkdir(parents=True)
    intruder = tmp_path / "bff" / "ops" / "fleet" / "intruder.py"
    intruder.write_text(
        "from bff.ops.figures import Window\nfrom bff.ops.summary.verdict import SILENT_S\n"
    )
    modules = frozenset(source.name for source in sources())
    [found] = inner_trespasses([parsed(intruder, tmp_path)], modules)
    assert "fleet may not import summary" in found


def test_the_sources_are_those_of_this_repository() -> None:
    assert (ROOT / "pyproject.toml").is_file()
    assert {"bff.app", "bff.cache.keys", "bff.cli"} <= {source.name for source in sources()}
