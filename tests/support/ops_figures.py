"""Snapshots as a fleet has them: two spaces, two processes, an hour of members; well or not."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from bff.ops.figures import (
    Happening,
    Latency,
    Level,
    Minute,
    Problem,
    ProcessFigures,
    Redis,
    ResourceFigures,
    RouteFigures,
    Shape,
    Snapshot,
    SpaceState,
    Verdict,
    Window,
)

NOW: Final = 1_800_000_012.0
SPACES: Final = ("acme", "beta")
HOSTILE: Final = "</script><script>alert(1)</script>\"'&\x00\n\n<img src=x onerror=alert(2)>"


def minute(at: float, requests: int, failed: int = 0) -> Minute:
    """One minute in which most bootstraps came from the cache."""
    wave = abs(math.sin(at / 97))
    bootstraps = requests * 3 // 4
    missed = round(bootstraps * (0.015 + wave / 40))
    return Minute(
        at=at,
        requests=requests,
        failed=failed,
        bootstraps=bootstraps,
        bootstraps_cached=bootstraps - missed,
        calls=missed * 2 + 9,
        calls_saved=bootstraps * 2 - missed,
        throttled=2 if at // 60 % 23 == 0 else 0,
        latency=Latency(1.6 + wave, 11.0, 40.0 + 130 * wave),
        upstream=Latency(38.0 + 20 * wave, 90.0, 180.0),
    )


def an_hour(now: float = NOW, minutes: int = 60) -> tuple[Minute, ...]:
    """A morning: more and more members, and a minute that has just begun."""
    begin = now // 60 * 60
    members = [
        round(260 + 3 * (60 - ago) + 50 * math.sin(ago / 7) + 24 * math.sin(ago * 2.7))
        for ago in range(minutes)
    ]
    members[0] //= 4
    return tuple(minute(begin - 60 * ago, members[ago]) for ago in reversed(range(minutes)))


def healthy(now: float = NOW) -> Snapshot:
    """Members are served."""
    return Snapshot(
        at=now,
        space="",
        spaces=SPACES,
        fleet=True,
        verdict=Verdict(Level.WELL, "Members are served; 97.4% of bootstraps from cache", ()),
        requests=21_604,
        failed=3,
        incomplete=1,
        latency=Latency(2.4, 11.2, 61.0),
        bootstrap_hit_ratio=0.974,
        routes=(
            RouteFigures("/session/bootstrap", 16_180, 5.2, 1, Latency(2.0, 9.0, 44.0)),
            RouteFigures("forwarded", 4_930, 1.6, 2, Latency(38.0, 90.0, 210.0)),
            RouteFigures(
                "/api/public/coworkers/profiles", 482, 0.1, 0, Latency(1.4, 8.8, 39.0)
            ),
            RouteFigures("/readyz", 720, 0.2, 0, Latency(0.3, 0.4, 0.5)),
        ),
        resources=(
            ResourceFigures(
                "profiles",
                16_662,
                0.981,
                (("hit", 15_410), ("stale", 935), ("miss", 317)),
                (("l1", 14_802), ("l2", 1_543), ("upstream", 317)),
            ),
            ResourceFigures(
                "related",
                16_180,
                0.967,
                (("hit", 15_020), ("negative", 626), ("miss", 534)),
                (("l1", 13_707), ("l2", 1_939), ("upstream", 534)),
            ),
        ),
        minutes=an_hour(now),
        calls=1_786,
        calls_saved=31_991,
        calls_by_reason=(("interactive", 851), ("refresh", 785), ("proof", 150)),
        calls_by_outcome=(("2xx", 1_782), ("throttled", 4)),
        bytes_sent=48_000_000,
        bytes_saved=(("shape", 310_000_000), ("encoding", 120_000_000), ("not_modified", 9_000)),
        budget=(
            Window("acme", "1/100ms", 1, 1),
            Window("acme", "120/m", 47, 120),
            Window("acme", "5000/h", 1_412, 5_000),
            Window("acme", "writes 60/m", 3, 60),
            Window("beta", "120/m", 12, 120),
            Window("beta", "5000/h", 374, 5_000),
        ),
        states=tuple(SpaceState(space, "reachable", "closed", 0.0, False) for space in SPACES),
        redis=Redis(4, 4, 4, Latency(0.3, 0.9, 1.8), 0),
        shapes=(
            Shape("acme", "@mobile", 9_812, 19_600_000, 402_000_000),
            Shape("acme", "@portal", 3_120, 21_400_000, 71_000_000),
            Shape("beta", "Profiles.FullName,Profiles.Id,User.FullName", 941, 900_000, 20_000_000),
        ),
        events=(
            Happening(now - 95, "acme", "throttled", "Nexudus throttles: a pause of 2 s", "a-1"),
            Happening(now - 1_475, "acme", "throttled", "Nexudus throttles: a pause of 1 s", "a-2"),
            Happening(now - 1_800, "", "operator", "jane: purge user 7001", "a-2"),
            Happening(now - 2_950, "", "process", "a process began", "b-2"),
        ),
        problems=(
            Problem(now - 40, "beta", "forwarded", 502, "unusable-answer", "5f2c19d0a1b24e7c"),
            Problem(now - 1_312, "acme", "forwarded", 500, "", "09be3a7714ee42d6"),
            Problem(now - 2_020, "acme", "/session/bootstrap", 503, "overloaded", "c81d22f0e6a9"),
        ),
        processes=tuple(
            ProcessFigures(
                f"{host}-{n}", f"node-{host}", 4_000 + n, "0.1.0", now - 8_000 - 60 * n, 0.6,
                96_000_000 + 700_000 * n, 41_000_000, n % 2, 0, 1.2, True, True, False,
            )
            for host in ("a", "b")
            for n in (1, 2)
        ),
        refreshes_paused=False,
        log_level="info",
    )  # fmt: skip


def outage(now: float = NOW) -> Snapshot:
    """Nexudus does not answer for acme, and Redis is away for one process."""
    well = healthy(now)
    minutes = tuple(_failing(each) if now - each.at < 300 else each for each in well.minutes)
    happened = tuple(
        Happening(now - 290 + 9 * n, space, kind, text, "a-1")
        for n, (space, kind, text) in enumerate(
            (
                ("", "store", "Redis is away: no answer in 50 ms"),
                ("", "bus", "invalidations of other processes are not heard: no answer"),
                ("acme", "breaker", "Nexudus keeps failing: it is not asked for the moment"),
            )
        )
    )
    failed = tuple(
        Problem(now - 2 - 3 * n, "acme", route, 503, "upstream-down", f"{n:x}7ad41c0be53f286")
        for n, route in enumerate(("/session/bootstrap", "forwarded", "/session/bootstrap"))
    )
    return replace(
        well,
        verdict=Verdict(
            Level.FAILING,
            "Many members are not served: 31% of requests fail",
            (
                "Nexudus fails (acme): breaker open for 4 min; stale answers are served",
                "Redis is away for 1 of 4 processes: it uses its own cache",
            ),
        ),
        failed=412,
        bootstrap_hit_ratio=0.958,
        minutes=minutes,
        states=(SpaceState("acme", "failing", "open", 0.0, False), well.states[1]),
        budget=(well.budget[0], Window("acme", "120/m", 118, 120), *well.budget[2:]),
        redis=replace(well.redis, used=3, heard=3, errors=31),
        events=happened + well.events,
        problems=failed + well.problems,
        processes=(replace(well.processes[0], store=False, bus=False), *well.processes[1:]),
    )


def _failing(well: Minute) -> Minute:
    """The same, with Nexudus away."""
    cached = well.bootstraps_cached * 2 // 3
    return replace(
        well,
        failed=well.requests * 31 // 100,
        bootstraps_cached=cached,
        calls=well.calls * 2,
        calls_saved=cached * 2,
        throttled=3,
        latency=Latency(2.2, 900.0, 4_200.0),
    )


def hostile(now: float = NOW) -> Snapshot:
    """What members may bring into the figures."""
    well = healthy(now)
    return replace(
        well,
        routes=(replace(well.routes[0], route=HOSTILE),),
        resources=(replace(well.resources[0], resource=HOSTILE),),
        shapes=(replace(well.shapes[0], space=HOSTILE, shape=HOSTILE),),
        events=(replace(well.events[0], space=HOSTILE, text=HOSTILE),),
        problems=(replace(well.problems[0], route=HOSTILE, request_id=HOSTILE),),
        budget=(replace(well.budget[0], space=HOSTILE, window=HOSTILE),),
    )
