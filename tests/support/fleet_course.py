"""The faults that a fleet is put through, and for how long."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Final

from tests.support import fleet_faults as faults
from tests.support.fault_proxy import Line, Way
from tests.support.fleet import NEXUDUS, REDIS
from tests.support.fleet_faults import Happening, effects, network
from tests.support.fleet_weather import Trouble

SHORT_S: Final = 0.8
LEASE_S: Final = 2.3
"""Longer than a worker believes that it hears the others without hearing itself."""
LONG_S: Final = 5.0
"""Longer than anything is fresh or stale."""

_HUNG: Final = Way(hung=True)
_ERROR: Final = {"kind": "status", "status": 500, "body": '{"Message":"An error has occurred."}'}
_STORM: Final = {"kind": "status", "status": 409, "retry_after": 1}
_HALF: Final = {"kind": "truncate", "mode": "json"}


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happens for `seconds`; `kinds`: what is in trouble because of it."""

    name: str
    kinds: frozenset[Trouble]
    happening: Happening
    seconds: float = SHORT_S


def _nexudus(name: str, happening: Happening, seconds: float = SHORT_S) -> Event:
    return Event(f"Nexudus {name}", frozenset((Trouble.NEXUDUS,)), happening, seconds)


def _redis(name: str, happening: Happening, seconds: float = SHORT_S) -> Event:
    return Event(f"Redis {name}", frozenset((Trouble.REDIS,)), happening, seconds)


def _process(name: str, happening: Happening, seconds: float) -> Event:
    return Event(name, frozenset((Trouble.PROCESS,)), happening, seconds)


NEXUDUS_FAILS: Final = (
    _nexudus("slow by 300 ms and more", network(NEXUDUS, Line(down=Way(0.3, 0.2)))),
    _nexudus("resets", network(NEXUDUS, Line(reset_new=True), reset=True)),
    _nexudus("hangs", network(NEXUDUS, Line(_HUNG, _HUNG)), LEASE_S),
    _nexudus("hears, says nothing", network(NEXUDUS, Line(down=_HUNG))),
    _nexudus("cut after 900 bytes", network(NEXUDUS, Line(down=Way(cut_after=900)))),
    _nexudus("reset after 900 bytes", network(NEXUDUS, Line(down=Way(reset_after=900)))),
    _nexudus("at 10 kB/s", network(NEXUDUS, Line(down=Way(bytes_per_s=10_000)))),
    _nexudus("refuses", network(NEXUDUS, Line(refused=True), reset=True)),
    _nexudus("answers 500", effects(_ERROR)),
    _nexudus("answers HTML with 200", effects({"kind": "html200"})),
    _nexudus("truncates its JSON", effects(_HALF)),
    _nexudus("answers 409 to all", effects(_STORM)),
    _nexudus("gone for long", network(NEXUDUS, Line(refused=True), reset=True), LONG_S),
)
REDIS_FAILS: Final = (
    _redis("killed, then empty", faults.redis_killed),
    _redis("restarted, empty", faults.redis_restarted, 0.1),
    _redis("paused", faults.redis_paused, LEASE_S),
    _redis("full", faults.redis_limited("noeviction", "1")),
    _redis("evicts", faults.redis_limited("allkeys-lru", "1200kb")),
    _redis("is a read-only replica", faults.redis_follows),
    _redis("slow by 500 ms", network(REDIS, Line(down=Way(0.5)))),
    _redis("hangs", network(REDIS, Line(_HUNG, _HUNG)), LEASE_S),
    _redis("resets", network(REDIS, Line(reset_new=True), reset=True)),
    _redis("cut after 300 bytes", network(REDIS, Line(down=Way(cut_after=300)))),
)
WORKER_KILLED: Final = _process("a worker killed", faults.worker_killed, 1.5)
PROCESSES_END: Final = (
    *((WORKER_KILLED,) if sys.platform == "linux" else ()),
    _process("a gateway restarted", faults.gateway_restarted, 0.1),
)
BOTH_FAIL: Final = (
    Event(
        "Redis killed, Nexudus answers 500",
        frozenset((Trouble.REDIS, Trouble.NEXUDUS)),
        faults.both(faults.redis_killed, effects(_ERROR)),
    ),
)
