"""`make soak`: the fleet of the fault run, one random fault after the other.

`SOAK_S` seconds (600), `SOAK_SEED` (drawn, and printed), `SOAK_BUDGET` (on, off). Exits with 1 if
anything was not as expected. Nothing leaves this machine.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import tempfile
from pathlib import Path
from time import monotonic
from typing import Final

from tests.support.fleet import Fleet, Terms, fleet
from tests.support.fleet_course import BOTH_FAIL, NEXUDUS_FAILS, PROCESSES_END, REDIS_FAILS
from tests.support.fleet_expected import summary, unmet
from tests.support.fleet_load import loaded
from tests.support.fleet_processes import processes
from tests.support.fleet_run import Run
from tests.support.redis_server import RedisServer

EVENTS: Final = (*NEXUDUS_FAILS, *REDIS_FAILS, *PROCESSES_END, *BOTH_FAIL)
PAUSE_S: Final = (0.5, 6.0)
CALM_S: Final = 5.0
SPOKEN_S: Final = 60.0


async def soak(terms: Terms, seconds: float, seed: int, folder: Path) -> list[str]:
    """Everything that was not as expected."""
    draw = random.Random(seed)
    with RedisServer() as server:
        async with fleet(terms, server, folder) as opened, loaded(opened, seed) as load:
            run = Run(load)
            await run.calm("at first", CALM_S)
            before = processes(opened)
            try:
                await _happen(run, draw, monotonic() + seconds)
                await run.calm("at last", CALM_S)
                await load.stop()
                left = await _left(opened)
            finally:
                print(run.text(), summary(run), sep="\n", flush=True)
            print("at first", *before, "at last", *processes(opened), sep="\n")
            return unmet(run) + left


async def _happen(run: Run, draw: random.Random, until: float) -> None:
    spoken = monotonic()
    while monotonic() < until:
        await run.meet(draw.choice(EVENTS))
        await run.calm("  afterwards", draw.uniform(*PAUSE_S))
        if monotonic() - spoken > SPOKEN_S:
            spoken = monotonic()
            figures = run.load.figures
            print(f"{until - spoken:4.0f} s to go, {figures.requests} requests", flush=True)
            print(figures.faults(), flush=True)


async def _left(opened: Fleet) -> list[str]:
    """What is still under way once nobody asks any more."""
    await asyncio.sleep(CALM_S)
    names = ("bff_flights", "bff_flight_waiters")
    told = {name: await opened.metric(name) for name in names}
    return [f"{name}: {number:g} at last" for name, number in told.items() if number]


def main() -> int:
    """The exit code."""
    seconds = float(os.environ.get("SOAK_S", "600"))
    seed = int(os.environ.get("SOAK_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
    terms = Terms(budget=os.environ.get("SOAK_BUDGET", "on") != "off")
    print(f"{seconds:.0f} s, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="bff-soak-") as folder:
        wrong = asyncio.run(soak(terms, seconds, seed, Path(folder)))
    print(*wrong or ["All as expected."], sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
