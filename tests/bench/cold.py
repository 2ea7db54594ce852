"""What a cold bootstrap adds to the calls in it, many sessions at once."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from tests.bench import peers
from tests.bench.checks import Right, Wrong, check
from tests.bench.gateway import HOSTED_MS, PROFILE_LIST, RELATED_LIST, Member, World, listed
from tests.bench.load import Load, Run
from tests.bench.peers import PATH
from tests.bench.results import Cost
from tests.bench.rounds import Spread
from tests.bench.stage import Server

HERE: Final = Path(__file__).parent
AT_ONCE: Final = 50
WARMING_S: Final = 2
RUN_S: Final = 4
DIRECT_S: Final = 2
BURST_MS: Final = 1_000
WARMING: Final = 1_000
"""Members that warm it up; the others are measured, each once."""
KINDS: Final = {"cold bootstrap": "", "cold with a hint": "?coworkerId={active}"}
"""What is asked for, each with its query."""
FLOORS: Final = {"bare libraries": "client", "bare libraries, our connections": "transport"}
"""Callables of `peers/session.py` by what they are called in the table."""


def cold(world: World, at_once: int = AT_ONCE) -> Iterator[Cost]:
    """Without and with the right hint, by the gateway's own Server-Timing.

    That includes what waits for the gateway's one core: all that is not Nexudus' time. Aims are
    for the latency of a hosted Nexudus; a near one makes of so many at once more new sessions a
    second than a core can take, and what is added is then the queue.
    """
    hosted = (world.latency_ms, at_once) == (HOSTED_MS, AT_ONCE)
    about = f"{at_once} at once, {world.latency_ms} ms a call"
    for kind, query in KINDS.items():
        crowd = Crowd(at_once, world.latency_ms, together=bool(query))
        found, spent_ms = _measured(world, crowd, query, partial(_gateway, world))
        what = f"{kind}, {about}: added"
        yield Cost(f"{what}, median", Spread.around(found.added), " ms", 2.0 if hosted else None)
        yield Cost(f"{what}, p99", Spread.of([found.p99]), " ms", 5.0 if hosted else None)
        if hosted:
            outside = found.run.p50_ms - _direct(world, crowd)
            yield Cost(f"{what}, from outside", Spread.of([outside]), " ms")
            what = f"{kind}, {about}: processor time"
            yield Cost(f"{what} of a session", Spread.of([spent_ms]), " ms")
            step = replace(crowd, burst=True)
            burst, _ = _measured(world, step, query, partial(_gateway, world))
            what = f"{kind}, {at_once} begun at one moment, {world.latency_ms} ms a call: added"
            yield Cost(f"{what}, median", Spread.around(burst.added), " ms")
            yield Cost(f"{what}, p99", Spread.of([burst.p99]), " ms")


def floors(world: World) -> Iterator[Cost]:
    """What the gateway's libraries by themselves add to the same calls."""
    for kind, query in KINDS.items():
        crowd = Crowd(AT_ONCE, world.latency_ms, together=bool(query))
        what = f"{kind}, {AT_ONCE} at once, {world.latency_ms} ms a call"
        for name, target in FLOORS.items():
            found, spent_ms = _measured(world, crowd, query, partial(_floor, world, target, query))
            yield Cost(f"{what}: added, median — {name}", Spread.around(found.added), " ms")
            yield Cost(f"{what}: added, p99 — {name}", Spread.of([found.p99]), " ms")
            spent = f"{what}: processor time of a session — {name}"
            yield Cost(spent, Spread.of([spent_ms]), " ms")


@dataclass(frozen=True, slots=True)
class Crowd:
    """`at_once` sessions under way, on average. `together`: both calls of one are.

    They begin at moments of their own, as members do; in a `burst` all at the same one, once in
    BURST_MS.
    """

    at_once: int
    latency_ms: int
    together: bool
    burst: bool = False

    @property
    def answer_ms(self) -> int:
        """What a session takes at least."""
        return self.latency_ms * (1 if self.together else 2)

    @property
    def cycle_ms(self) -> int:
        """Between two sessions of one connection: an answer, and a pause of half a call or so."""
        return BURST_MS if self.burst else self.answer_ms + self.latency_ms // 2

    @property
    def connections(self) -> int:
        """As many as it takes, those that pause among them."""
        return self.at_once if self.burst else round(self.at_once * self.cycle_ms / self.answer_ms)

    def arguments(self, path: Path) -> tuple[str, ...]:
        """What wrk_tokens.lua is to do with the tokens of a file."""
        calls, begun = (
            "together" if self.together else "in turn",
            "burst" if self.burst else "apart",
        )
        numbers = (self.cycle_ms, self.latency_ms, self.connections)
        return (str(path), calls, begun, *map(str, numbers))


@dataclass(frozen=True, slots=True)
class Added:
    """What sessions of one run took beside their calls, in ms."""

    run: Run
    added: tuple[float, ...]

    @property
    def p99(self) -> float:
        """Of all of them."""
        return statistics.quantiles(self.added, n=100)[98]


@contextlib.contextmanager
def _gateway(world: World, prefix: str) -> Iterator[Server]:
    with world.gateway(BFF_REDIS_PREFIX=prefix) as server:
        yield server


@contextlib.contextmanager
def _floor(world: World, target: str, query: str, prefix: str) -> Iterator[Server]:
    """One that answers what is right. Raises Wrong."""
    names = f"floor:{target}:{prefix}:"
    with peers.session(target, world.sandbox.origin, world.redis.url, names) as server:
        member = world.members[0]
        url = server.origin + PATH + query.replace("{active}", str(member.active))
        check(url, Right(member.token, None, world.truth(member), per_token=True))
        yield server


def _measured(
    world: World, crowd: Crowd, query: str, start: Callable[[str], AbstractContextManager[Server]]
) -> tuple[Added, float]:
    """And the processor time for each session, in ms, of what `start(prefix)` starts.

    Raises Wrong.
    """
    prefix = f"cold-{crowd.latency_ms}-{crowd.at_once}-{crowd.together:d}-{crowd.burst:d}"
    with start(prefix) as server:
        asked = partial(_each_once, world, server.origin, crowd, target=PATH + query)
        asked(members=world.members[:WARMING], seconds=WARMING_S)
        before_s = server.cpu_s()
        run = asked(members=world.members[WARMING:], seconds=RUN_S)
        spent_s = server.cpu_s() - before_s
    added = tuple(float(each) for each in run.told["added"].split())
    if len(added) < 0.9 * run.requests or run.told["partial"] != "0":
        raise Wrong(
            f"{prefix}: of {run.requests} answers {len(added)} were cold and whole, "
            f"{run.told['partial']} partial"
        )
    return Added(run, added), 1000 * spent_s / run.requests


def _direct(world: World, crowd: Crowd) -> float:
    """What the calls take without a gateway, as many at once: one after the other, or the longer.

    Milliseconds, medians.
    """
    alone = replace(crowd, together=True)
    each = [
        _each_once(
            world, world.sandbox.origin, alone, world.members, target=path, seconds=DIRECT_S
        ).p50_ms
        for path in (PROFILE_LIST, RELATED_LIST)
    ]
    return max(each) if crowd.together else sum(each)


def _each_once(
    world: World, origin: str, crowd: Crowd, members: Sequence[Member], *, target: str, seconds: int
) -> Run:
    path = listed(world.folder / "once", members, target)
    return Load(
        origin, {"accept-encoding": "br"}, seconds, crowd.connections,
        HERE / "wrk_tokens.lua", lambda: crowd.arguments(path),
    ).run()  # fmt: skip
