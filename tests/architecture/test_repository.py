"""The repository holds what belongs in it, and nothing of the machine that it was written on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.architecture.source import ROOT

TOP_LEVEL = {
    "CHANGELOG.md",
    "Makefile",
    "README.md",
    "bff",
    "deploy",
    "docs",
    "pyproject.toml",
    "tests",
}
"""And names that begin with a dot."""

# In pieces, so that this file is not its own finding.
_MACHINE = "|".join(("wo" + "rk", "ro" + "ot", "ho" + "me", "Us" + "ers"))
_REGISTRIES = "|".join(
    host.replace("!", "")
    for host in (
        r"py!pi\.org",
        r"python!hosted\.org",
        r"npm!js\.(?:org|com)",
        r"crates!\.io",
        r"proxy\.go!lang\.org",
        r"ruby!gems\.org",
        r"repo\.!maven\.apache\.org",
        r"conda\.!anaconda\.org",
    )
)
FOREIGN = re.compile(rf"(?<![\w.{{}}<>…-])/(?:{_MACHINE})/|\b(?:[\w-]+\.)*(?:{_REGISTRIES})\b")
"""A path of a machine, absolute; or the host of a package registry."""


def ignored() -> tuple[str, ...]:
    """The patterns of `.gitignore`, all of which are plain names."""
    lines = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    patterns = tuple(line.rstrip("/") for line in lines if line and not line.startswith("#"))
    assert not any("/" in pattern or "!" in pattern for pattern in patterns)
    return (*patterns, ".git")


def entries(folder: Path) -> Iterator[Path]:
    """What is in a folder and not ignored."""
    patterns = ignored()
    for entry in sorted(folder.iterdir()):
        if not any(fnmatch(entry.name, pattern) for pattern in patterns):
            yield entry


def files(folder: Path) -> Iterator[Path]:
    """Every file below a folder that is not ignored."""
    for entry in entries(folder):
        if entry.is_dir():
            yield from files(entry)
        else:
            yield entry


def foreign(path: Path) -> Iterator[str]:
    """The lines of a text file that name what they should not."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return
    for number, line in enumerate(text.splitlines(), 1):
        if FOREIGN.search(line):
            yield f"{path}:{number}: {line.strip()[:120]}"


def test_the_top_level_holds_what_belongs_there() -> None:
    found = {entry.name for entry in entries(ROOT)}
    assert {name for name in found if not name.startswith(".")} == TOP_LEVEL


def test_no_file_names_a_machine_or_a_registry() -> None:
    everything = list(files(ROOT))
    assert len(everything) > 200
    assert [line for path in everything for line in foreign(path)] == []


@pytest.mark.parametrize(
    "line",
    [
        "see /wo!rk/shared/notes.md",
        "PATH=/ro!ot/bin",
        "`/ho!me/jane/x`",
        "file:///Us!ers/jane/x",
        "index = https://py!pi.org/simple",
        "https://files.python!hosted.org/packages",
        "registry.npm!js.org",
    ],
)
def test_what_does_not_belong_is_noticed(line: str, tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(f"# Page\n{line.replace('!', '')}\n")
    assert len(list(foreign(path))) == 1


@pytest.mark.parametrize("line", ["GET /en/ho!me/page", "the wo!rk/life balance", "mypy!pi.org.uk"])
def test_what_only_looks_like_it_is_not(line: str, tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(line.replace("!", ""))
    assert list(foreign(path)) == []
