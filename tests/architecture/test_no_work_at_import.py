"""Importing a module of the gateway opens, writes, starts and asks nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.architecture import import_probe
from tests.architecture.source import ROOT, sources

OF_LIBRARIES = {
    "PYDANTIC_DISABLE_PLUGINS": "pydantic looks it up whenever a model is defined",
}
"""Variables that a library reads for itself when one of our modules defines something by it."""


def deeds(folder: Path, modules: Iterable[str]) -> list[tuple[str, str, str]]:
    """What the modules did while they were imported, in a process of their own."""
    # Without bytecode files, and without what the environment says about imports.
    command = [sys.executable, "-I", "-B", import_probe.__file__, str(folder), *modules]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return [(module, deed, what) for module, deed, what in json.loads(done.stdout)]


def test_no_module_does_anything_when_it_is_imported() -> None:
    # `python -m bff` is not imported: it is the command.
    modules = [source.name for source in sources() if source.name != "bff.__main__"]
    found = [deed for deed in deeds(ROOT, modules) if deed[2] not in OF_LIBRARIES]
    assert found == []


@pytest.mark.parametrize(
    ("code", "deed"),
    [
        ("import socket; socket.socket()", "socket.__new__"),
        ("import asyncio; asyncio.new_event_loop().close()", "socket.__new__"),
        ("open(__file__ + '.out', 'w').close()", "writes a file"),
        ("import os; os.close(os.open(__file__, os.O_RDWR))", "writes a file"),
        ("from pathlib import Path; Path(__file__ + '.out').touch()", "writes a file"),
        ("import threading; threading.Thread(target=int).start()", "starts a thread"),
        ("import subprocess; subprocess.run(['true'])", "subprocess.Popen"),
        ("import os; os.environ.get('HOME')", "reads the environment"),
        ("import os; X = os.getenv('HOME')", "reads the environment"),
        ("import os; dict(os.environ)", "reads the environment"),
        ("import os\nclass A:\n    x = os.environ['PATH']", "reads the environment"),
        ("from offender_parts import f; f()", "reads the environment"),
    ],
)
def test_the_probe_notices(code: str, deed: str, tmp_path: Path) -> None:
    (tmp_path / "offender.py").write_text(code)
    (tmp_path / "offender_parts.py").write_text("import os\ndef f():\n    os.getenv('HOME')")
    found = deeds(tmp_path, ["offender", "offender_parts"])
    assert ("offender", deed) in {(module, each) for module, each, _ in found}


def test_the_probe_is_silent_about_what_is_only_defined(tmp_path: Path) -> None:
    code = "import os, socket\ndef f():\n    os.getenv('X'); socket.socket(); open('y', 'w')\n"
    (tmp_path / "innocent.py").write_text(code)
    (tmp_path / "library.py").write_text("import os\nos.getenv('X')\n")
    (tmp_path / "importer.py").write_text("import library\nopen(__file__).close()\n")
    assert deeds(tmp_path, ["innocent", "importer"]) == []
