"""Instructions of the processor that each part takes, counted by valgrind: no clock, no noise.

Two runs of the same code differ by a thousandth or so, whatever else the machine does.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from tests.bench.micro.subjects import subjects

WARMING: Final = 30
"""Python's interpreter adapts itself to what it ran some times."""
TIMES: Final = 100
_MARK: Final = "getppid"
"""A function of the C library that nothing else calls: the counts are written when it is."""
_TOTAL: Final = re.compile(r"^(?:totals|summary): (\d+)", re.MULTILINE)


def run() -> None:
    """All subjects, a mark before and after each. To be run under valgrind."""
    for subject in subjects().values():
        for _ in range(WARMING):
            subject()
        os.getppid()
        for _ in range(TIMES):
            subject()
        os.getppid()


def counted() -> Mapping[str, int]:
    """By subject. Raises RuntimeError where valgrind does not do what is asked of it."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            "valgrind", "--tool=callgrind", f"--dump-before={_MARK}", "--dump-line=no",
            f"--callgrind-out-file={folder}/out", sys.executable, "-m", __spec__.name, "run",
        ]  # fmt: skip
        env = {**os.environ, "PYTHONHASHSEED": "0"}
        subprocess.run(command, check=True, env=env, capture_output=True)
        totals = list(_totals(Path(folder)))
    names = list(subjects())
    if len(totals) < 2 * len(names):
        raise RuntimeError(f"{len(totals)} counts for {len(names)} subjects")
    # Counts are of what came since the last mark: every second one is of a subject, warm.
    return {name: totals[2 * i + 1] // TIMES for i, name in enumerate(names)}


def _totals(folder: Path) -> Iterator[int]:
    for path in sorted(folder.glob("out.*"), key=lambda path: int(path.suffix[1:])):
        found = _TOTAL.search(path.read_text("latin-1"))
        if found is not None:
            yield int(found[1])


def main() -> None:
    """Print them, or say why not."""
    if sys.argv[1:] == ["run"]:
        run()
        return
    if shutil.which("valgrind") is None:
        print("instructions are not counted: valgrind is not installed")
        return
    try:
        counts = counted()
    except (subprocess.CalledProcessError, RuntimeError) as error:
        print(f"instructions are not counted: valgrind gave up ({error})")
        return
    print("\ninstructions of the processor, each time")
    for name, count in counts.items():
        print(f"{name:32} {count:10,}")


if __name__ == "__main__":
    main()
