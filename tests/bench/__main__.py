"""`make bench`: the gateway beside its peers and its costs beside their aims, into `docs/`."""

from __future__ import annotations

import argparse
import datetime
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.bench import cold, costs, paths, report
from tests.bench.chart import chart
from tests.bench.checks import Wrong
from tests.bench.gateway import HOSTED_MS, World, world
from tests.bench.machine import machine
from tests.bench.results import Compared, Cost, Plan, Report
from tests.bench.rounds import Spread
from tests.bench.scale import scale
from tests.bench.sizes import sizes

DOCS: Final = Path(__file__).parents[2] / "docs"
Size = tuple[str, int]
Found = Compared | Cost | Size
Part = Callable[[World, Plan], Iterator[Found]]


def _streamed(stage: World, plan: Plan) -> Iterator[Found]:
    compared, grown = paths.streamed(stage, plan)
    yield compared
    yield Cost("memory that streams take at most", Spread.of([grown / 2**20]), " MiB", 16)


def _hosted(measure: Callable[[World], Iterator[Cost]]) -> Part:
    """Beside a Nexudus that answers as late as a hosted one."""

    def part(_stage: World, _plan: Plan) -> Iterator[Found]:
        with tempfile.TemporaryDirectory() as folder, world(Path(folder), HOSTED_MS) as far:
            yield from measure(far)

    return part


PARTS: Final[Mapping[str, Part]] = {
    "warm": paths.warm,
    "stored": paths.stored,
    "shaped": lambda stage, plan: iter([paths.shaped(stage, plan)]),
    "forwarded": lambda stage, plan: iter([paths.forwarded(stage, plan)]),
    "streamed": _streamed,
    "cold": _hosted(cold.cold),
    "floors": _hosted(cold.floors),
    "near": lambda stage, _: cold.cold(stage),
    "one": lambda stage, _: cold.cold(stage, at_once=1),
    "workers": lambda stage, plan: iter([costs.workers(stage, plan)]),
    "memory": lambda stage, _: costs.memory(stage),
    "scale": scale,
    "start": lambda stage, _: iter([costs.start(stage)]),
    "sizes": lambda stage, _: sizes(stage),
}


@dataclass(slots=True)
class Findings:
    """What parts found so far."""

    compared: list[Compared] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)
    sizes: list[Size] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def add(self, found: Found) -> None:
        match found:
            case Compared():
                self.compared.append(found)
            case Cost():
                self.costs.append(found)
            case _:
                self.sizes.append(found)


def measured(plan: Plan, names: Sequence[str]) -> Report:
    """Run the parts. One that fails is told and does not keep the others from being measured."""
    began, found = time.monotonic(), Findings()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stage = stack.enter_context(world(Path(folder)))
        for name in names:
            print(f"{time.monotonic() - began:4.0f} s  {name}", file=sys.stderr, flush=True)
            try:
                for each in PARTS[name](stage, plan):
                    found.add(each)
            except Exception as error:
                traceback.print_exc()
                reason = str(error) if isinstance(error, Wrong) else type(error).__name__
                found.failed.append(f"{name}: {reason}")
    return Report(
        day=datetime.datetime.now(datetime.UTC).date(),
        machine=machine(),
        plan=plan,
        took_s=time.monotonic() - began,
        compared=tuple(found.compared),
        costs=tuple(found.costs),
        sizes=tuple(found.sizes),
        failed=tuple(found.failed),
    )


def write(found: Report) -> None:
    """Into the page and its picture."""
    page = DOCS / "performance.md"
    page.write_text(report.replaced(page.read_text("utf-8"), report.block(found)), "utf-8")
    (DOCS / "performance.svg").write_text(chart(found), "utf-8")


def main() -> int:
    """Measure, print and, unless only parts were asked for, write; 1 if a part failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--only", action="append", choices=PARTS, help="print, and write nothing")
    given = parser.parse_args()
    if shutil.which("wrk") is None:
        parser.exit(2, "wrk is not installed: nothing can be measured without it\n")
    found = measured(Plan(given.rounds, given.seconds), given.only or list(PARTS))
    print(report.told(found))
    if not given.only:
        write(found)
    return 1 if found.failed else 0


if __name__ == "__main__":
    sys.exit(main())
