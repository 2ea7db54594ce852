"""`make bench`: the gateway beside its peers, on loopback, within ten minutes."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.bench import costs
from tests.bench.gateway import world
from tests.bench.paths import Compared, Plan, forwarded, shaped, stored, warm


def told(each: Compared) -> Iterable[str]:
    """In words."""
    yield f"\n{each.path}"
    for name in each.outcome.rounds:
        spread = each.outcome.spread(name)
        ratio = each.ratio(name)
        aim = f"  (aim {each.aims[name]:g})" if name in each.aims else ""
        yield (
            f"  {name:24} {spread.median:10.0f}/s   ours is {ratio.median:.2f} x "
            f"({ratio.least:.2f} to {ratio.greatest:.2f}){aim}"
        )
    yield from (f"  not measured: {each}" for each in each.missing)


def main() -> None:
    """Measure and print."""
    plan = Plan(rounds=int(sys.argv[1]) if len(sys.argv) > 1 else 5)
    with tempfile.TemporaryDirectory() as folder, world(Path(folder)) as stage:
        compared = (
            *warm(stage, plan), stored(stage, plan), shaped(stage, plan), *forwarded(stage, plan),
        )  # fmt: skip
        for each in compared:
            print("\n".join(told(each)), flush=True)
        half = len(stage.tokens) // 2
        for cost in (
            costs.cold(stage, stage.tokens[1:half], "a cold bootstrap"),
            costs.workers(stage, plan.seconds, plan.rounds),
            *costs.memory(stage),
            costs.start(stage, plan.rounds),
        ):
            print(f"{cost.what}: {cost.figure}  (aim {cost.aim})", flush=True)


if __name__ == "__main__":
    main()
