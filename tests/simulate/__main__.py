"""`make simulate`: plays every variant, prints the table, writes the page and its picture."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from tests.simulate.day import Scale, day_of, devices_of
from tests.simulate.drawing import Span, figure
from tests.simulate.page import Cast, page, table
from tests.simulate.rows import row_of
from tests.simulate.trace import OPENS_S, Plan
from tests.simulate.variants import VARIANTS

DOCS = Path(__file__).parents[2] / "docs"
STANDARD = Scale()


def scale_of(environ: Mapping[str, str]) -> Scale:
    """SIM_MEMBERS, SIM_SEED, and SIM_UNTIL (an hour of the day)."""
    until_s = float(environ.get("SIM_UNTIL") or STANDARD.plan.until_s / 3_600) * 3_600
    seed = int(environ.get("SIM_SEED") or STANDARD.plan.seed)
    members = int(environ.get("SIM_MEMBERS") or STANDARD.members)
    if members < 1 or until_s <= STANDARD.plan.nine_s:
        raise SystemExit("SIM_MEMBERS is at least 1, SIM_UNTIL past 9")
    return Scale(members, Plan(seed=seed, until_s=until_s))


def main(environ: Mapping[str, str]) -> None:
    """Only the standard Monday is written to `docs/`; others are printed."""
    scale, began = scale_of(environ), time.monotonic()
    minutes = round((scale.plan.until_s - OPENS_S) / 60)
    rows = []
    with ProcessPoolExecutor(
        int(environ.get("SIM_JOBS") or os.cpu_count() or 1), get_context("spawn")
    ) as pool:
        for outcome in pool.map(partial(day_of, scale), VARIANTS):
            rows.append(row_of(outcome, minutes))
            print(f"{time.monotonic() - began:5.0f} s  {rows[-1].name}", file=sys.stderr)
    print(table(rows))
    if scale == STANDARD:
        cast = Cast.of(scale.members, devices_of(scale))
        (DOCS / "monday.md").write_text(page(rows, scale, cast), encoding="utf-8")
        drawn = figure(rows, Span(round(OPENS_S / 60), minutes), scale.members)
        (DOCS / "monday.svg").write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    main(os.environ)
