"""`make simulate`: plays every variant, prints the table, writes the page and its picture."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from tests.simulate.day import Scale, day_of, devices_of
from tests.simulate.drawing import Span, figure
from tests.simulate.page import Cast, page, table
from tests.simulate.rows import row_of
from tests.simulate.trace import OPENS_S, Plan
from tests.simulate.variants import VARIANTS, Variant

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


def variants_of(environ: Mapping[str, str]) -> Sequence[Variant]:
    """SIM_ROWS: names of rows, separated by semicolons; all of them without it."""
    names = [name.strip() for name in environ.get("SIM_ROWS", "").split(";") if name.strip()]
    by_name = {variant.name: variant for variant in VARIANTS}
    if unknown := [name for name in names if name not in by_name]:
        raise SystemExit(f"no rows in SIM_ROWS: {unknown}; there are {'; '.join(by_name)}")
    return [by_name[name] for name in names] or VARIANTS


def main(environ: Mapping[str, str]) -> None:
    """Only the standard Monday is written to `docs/`, and only whole; else rows are printed."""
    scale, variants, began = scale_of(environ), variants_of(environ), time.monotonic()
    minutes = round((scale.plan.until_s - OPENS_S) / 60)
    rows = []
    with ProcessPoolExecutor(
        int(environ.get("SIM_JOBS") or os.cpu_count() or 1), get_context("spawn")
    ) as pool:
        for outcome in pool.map(partial(day_of, scale), variants):
            rows.append(row_of(outcome, minutes))
            print(f"{time.monotonic() - began:5.0f} s  {rows[-1].name}", file=sys.stderr)
    print(table(rows))
    if scale == STANDARD and variants is VARIANTS:
        cast = Cast.of(scale.members, devices_of(scale))
        (DOCS / "monday.md").write_text(page(rows, scale, cast), encoding="utf-8")
        drawn = figure(rows, Span(round(OPENS_S / 60), minutes), scale.members)
        (DOCS / "monday.svg").write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    main(os.environ)
