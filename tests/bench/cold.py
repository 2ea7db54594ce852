"""What a cold bootstrap adds to the calls in it, many sessions at once."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from tests.bench.checks import Wrong
from tests.bench.gateway import HOSTED_MS, PROFILE_LIST, RELATED_LIST, Member, World, listed
from tests.bench.load import Load, Run
from tests.bench.peers import PATH
from tests.bench.results import Cost
from tests.bench.rounds import Spread

HERE: Final = Path(__file__).parent
AT_ONCE: Final = 50
WARMING_S: Final = 2
RUN_S: Final = 4
DIRECT_S: Final = 2
WARMING: Final = 1_000
"""Members that warm it up; the others are measured, each once."""
HINT: Final = "?coworkerId={active}"


def cold(world: World, at_once: int = AT_ONCE) -> Iterator[Cost]:
    """Without and with the right hint, by the gateway's own Server-Timing.

    That includes what waits for the gateway's one core: all that is not Nexudus' time. Aims are
    for the latency of a hosted Nexudus; a near one makes of so many at once more new sessions a
    second than a core can take, and what is added is then the queue.
    """
    aims = (2.0, 5.0) if (world.latency_ms, at_once) == (HOSTED_MS, AT_ONCE) else (None, None)
    about = f"{at_once} at once, {world.latency_ms} ms a call"
    for kind, query in (("cold bootstrap", ""), ("cold with a hint", HINT)):
        run = _gateway(world, at_once, query)
        added = [float(each) for each in run.told["added"].split()]
        if len(added) < 0.9 * run.requests or run.told["partial"] != "0":
            raise Wrong(
                f"{kind}: of {run.requests} answers {len(added)} were cold and whole, "
                f"{run.told['partial']} partial"
            )
        p99 = statistics.quantiles(added, n=100)[98]
        what = f"{kind}, {about}: added"
        yield Cost(f"{what}, median", Spread.around(added), " ms", aims[0])
        yield Cost(f"{what}, p99", Spread.of([p99]), " ms", aims[1])
        if world.latency_ms == HOSTED_MS:
            outside = run.p50_ms - _direct(world, at_once, together=bool(query))
            yield Cost(f"{what}, from outside", Spread.of([outside]), " ms")


def _gateway(world: World, at_once: int, query: str) -> Run:
    prefix = f"cold-{world.latency_ms}-{at_once}-{bool(query):d}"
    with world.gateway(BFF_REDIS_PREFIX=prefix) as gateway:
        asked = partial(_each_once, world, gateway.origin, at_once=at_once, target=PATH + query)
        asked(members=world.members[:WARMING], seconds=WARMING_S)
        return asked(members=world.members[WARMING:], seconds=RUN_S)


def _direct(world: World, at_once: int, *, together: bool) -> float:
    """What the calls take without a gateway, as many at once: one after the other, or the longer.

    Milliseconds, medians.
    """
    each = [
        _each_once(
            world, world.sandbox.origin, world.members, at_once=at_once, target=path,
            seconds=DIRECT_S,
        ).p50_ms
        for path in (PROFILE_LIST, RELATED_LIST)
    ]  # fmt: skip
    return max(each) if together else sum(each)


def _each_once(
    world: World,
    origin: str,
    members: Sequence[Member],
    *,
    at_once: int,
    target: str,
    seconds: int,
) -> Run:
    path = listed(world.folder / "once", members, target)
    mode = "together" if HINT in target else "in turn"
    arguments = (str(path), mode, str(world.latency_ms))
    # As many connections as it takes for so many requests at once, pauses between them counted.
    answer_ms = world.latency_ms * (2 if target == PATH else 1)
    connections = round(at_once * (answer_ms + world.latency_ms / 2) / answer_ms)
    return Load(
        origin, {"accept-encoding": "br"}, seconds, connections,
        HERE / "wrk_tokens.lua", lambda: arguments,
    ).run()  # fmt: skip
