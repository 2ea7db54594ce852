"""A Dockerfile read as instructions, and carried out in a plain folder as far as that goes.

What a container engine adds (users, mounts, a root of its own) is left out: `/opt/bff` and `/src`
are folders below the one that stands for the root, and the base image is the Python of the tests.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

_MADE: Final = ("/opt/bff", "/src")
"""Folders of the image that are made below the root, wherever an instruction names them."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """`word`: RUN, COPY, …; `rest`: what follows, continued lines joined."""

    word: str
    rest: str

    @property
    def words(self) -> list[str]:
        """The exec form as a list; anything else split as a shell would."""
        found = json.loads(self.rest) if self.rest.startswith("[") else shlex.split(self.rest)
        return [str(each) for each in found]


@dataclass(slots=True)
class Stage:
    """One FROM and what follows it."""

    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, word: str) -> list[Instruction]:
        return [each for each in self.instructions if each.word == word]

    def only(self, word: str) -> Instruction:
        (found,) = self.all(word)
        return found

    @property
    def environment(self) -> dict[str, str]:
        """What ENV sets, `$…` not filled in."""
        pairs = [word.partition("=") for each in self.all("ENV") for word in shlex.split(each.rest)]
        return {name: value for name, _, value in pairs}


def read(path: Path) -> list[Stage]:
    """The stages, in order; what stands before the first FROM is left out.

    Arguments of a stage are filled in where files are copied, with their defaults.
    """
    stages: list[Stage] = []
    for each in _instructions(path.read_text(encoding="utf-8")):
        if each.word == "FROM":
            base, *named = each.rest.split()
            stages.append(Stage(base, named[1] if named else ""))
        elif stages:
            defaults = dict(arg.rest.split("=", 1) for arg in stages[-1].all("ARG"))
            if each.word == "COPY":
                rest = re.sub(
                    r"\$\{(\w+)\}",
                    lambda named: defaults.get(named[1], named[0]),  # noqa: B023 - used at once
                    each.rest,
                )
                each = Instruction(each.word, rest)  # noqa: PLW2901
            stages[-1].instructions.append(each)
    return stages


def _instructions(text: str) -> Iterator[Instruction]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        word, _, rest = line.strip().partition(" ")
        if word:
            yield Instruction(word, rest.strip())


@dataclass(frozen=True, slots=True)
class Context:
    """What may be copied: the folder, and what `.dockerignore` leaves of it."""

    folder: Path

    def sources(self, instruction: Instruction) -> list[str]:
        """The paths that a COPY names, without where they go."""
        return [word for word in instruction.words[:-1] if not word.startswith("--")]

    def sent(self, path: str) -> bool:
        """Whether the engine gets to see that file. The last pattern that matches decides."""
        sent = True
        for line in (self.folder / ".dockerignore").read_text(encoding="utf-8").splitlines():
            if not line or line.startswith("#"):
                continue
            pattern, wanted = line.removeprefix("!"), line.startswith("!")
            if _matches(pattern, path):
                sent = wanted
        return sent

    def copy(self, instruction: Instruction, target: Path) -> None:
        """Carry a COPY out, as an engine would."""
        into = target / instruction.words[-1]
        for source in self.sources(instruction):
            origin = self.folder / source
            if origin.is_dir():
                shutil.copytree(origin, into, ignore=self._unsent, dirs_exist_ok=True)
            else:
                place = into / origin.name if instruction.rest.endswith("/") else into
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(origin, place)

    def _unsent(self, folder: str, names: list[str]) -> list[str]:
        below = Path(folder).relative_to(self.folder)
        return [name for name in names if not self.sent(str(below / name))]


def _matches(pattern: str, path: str) -> bool:
    """As Docker does, for patterns such as `*`, `bff` and `**/x`: a folder stands for all in it."""
    parents = [path, *map(str, Path(path).parents)]
    if pattern.startswith("**/"):
        return any(fnmatch(Path(each).name, pattern[3:]) for each in parents)
    return any(each.count("/") == pattern.count("/") and fnmatch(each, pattern) for each in parents)


def below(root: Path, word: str) -> str:
    """A word of a command, with the image's folders put below `root`."""
    return re.sub(rf"(?<![\w/])({'|'.join(_MADE)})\b", rf"{root}\1", word)


def carry_out(instruction: Instruction, root: Path, workdir: str) -> None:
    """Run a RUN below `root`. Raises CalledProcessError, its output in the message."""
    words = [below(root, word) for word in instruction.words]
    command = [sys.executable if words[0] == "python" else words[0], *words[1:]]
    ours = ("PYTHONPATH", "COVERAGE")
    environment = {name: text for name, text in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        command,
        cwd=below(root, workdir),
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)
