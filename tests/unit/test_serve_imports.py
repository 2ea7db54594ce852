"""What `bff serve` imports for its workers, and what it leaves out."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from bff.serve_imports import OPTIONAL, YOUNG, shared_imports
from tests.e2e.commands import environment, free_port

ROOT = Path(__file__).parents[2]
LEFT_OUT = {*OPTIONAL, "attr", "fakeredis", "psutil", "typer.rich_utils"}
"""Of other packages; some come with those that are left out."""
ONLY_OF_COMMANDS = ("bff.sandbox", "bff.doctor", "bff.demo", "bff.top", "bff.explain", "bff.purge")
ONLY_FOR_OPERATORS = (
    "bff.attended",
    "bff.ops.page.charts",
    "bff.ops.explaining.explain",
    "bff.session.examine",
)

# `bff serve` as it is, up to where it forks: there it tells, instead, what a worker would.
SERVE = """
import json, os, sys
from bff.cli import main

def fork():
    forked = sorted(sys.modules)
    sys.modules["bff.app"].create_app()
    made = sorted(sys.modules)
    import opentelemetry.trace, rich.table  # what was left out is there
    print(json.dumps([forked, made]), flush=True)
    os._exit(0)

os.fork = fork
sys.argv = ["bff", *sys.argv[1:]]
main()
"""


@dataclass(frozen=True, slots=True)
class Imported:
    """Modules: when workers are forked, and once one has made its application."""

    forked: frozenset[str]
    made: frozenset[str]


def imported(**variables: str) -> Imported:
    """By `bff serve` with these variables set."""
    command = [sys.executable, "-c", SERVE, "serve", "--port", str(free_port())]
    settings = {
        "BFF_UPSTREAM": "acme",
        "BFF_REDIS_URL": "redis://127.0.0.1:1/0",
        "BFF_SECRET": "0123456789" * 4,
    }
    env = environment({**settings, **variables})
    done = subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    forked, made = json.loads(done.stdout)
    return Imported(frozenset(forked), frozenset(made))


def ours(modules: frozenset[str]) -> set[str]:
    return {each for each in modules if each.split(".")[0] == "bff"}


def test_a_worker_has_nothing_that_it_has_no_use_for() -> None:
    found = imported().made
    assert found & LEFT_OUT == set()
    assert [each for each in ours(found) if each.startswith(ONLY_OF_COMMANDS)] == []
    assert found & {*ONLY_FOR_OPERATORS} == set()


def test_what_workers_need_is_imported_once_for_all_of_them() -> None:
    found = imported(BFF_OPS_TOKEN="0123456789" * 4, BFF_REDIS_URL="embedded://")
    assert found.forked >= {"bff.app", "fakeredis", *ONLY_FOR_OPERATORS}
    assert ours(found.made) == ours(found.forked)


def test_packages_are_back_afterwards_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OPTIONAL:
        monkeypatch.delitem(sys.modules, name, raising=False)
    try:
        with pytest.raises(ImportError), shared_imports():
            assert not gc.isenabled()
            import rich  # noqa: F401, PLC0415
        assert gc.isenabled()
        assert gc.get_freeze_count() > 0
        assert gc.get_threshold()[0] == YOUNG
        assert sys.modules.keys().isdisjoint(OPTIONAL)
    finally:
        gc.unfreeze()


def test_what_is_imported_already_is_not_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    there = ModuleType("rich")
    monkeypatch.setitem(sys.modules, "rich", there)
    try:
        with shared_imports():
            assert sys.modules["rich"] is there
        assert sys.modules["rich"] is there
    finally:
        gc.unfreeze()
