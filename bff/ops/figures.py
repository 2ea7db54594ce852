"""What operators are shown: the figures of a fleet over the last hour, of all spaces or of one.

Counts are sums over all processes, ratios are 0 to 1 and None where nothing was counted, times are
seconds unless a name says ms, moments are UTC seconds. As JSON, names are the same.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final


class Level(enum.Enum):
    """How urgently somebody should look."""

    WELL = "well"
    IMPAIRED = "impaired"
    FAILING = "failing"
    QUIET = "quiet"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line that says whether members are served, and the causes behind it."""

    level: Level
    headline: str
    causes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles in ms, interpolated within histogram buckets as PromQL does."""

    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


UNTIMED: Final = Latency(None, None, None)
"""Where nothing was timed."""


@dataclass(frozen=True, slots=True)
class RouteFigures:
    """One route that members ask. `per_second`: over the last whole minute."""

    route: str
    requests: int
    per_second: float
    failed: int
    latency: Latency


@dataclass(frozen=True, slots=True)
class ResourceFigures:
    """Reads of one cached resource by how they were answered; `hit_ratio` counts those that waited
    for no call to Nexudus."""

    resource: str
    reads: int
    hit_ratio: float | None
    by_outcome: tuple[tuple[str, int], ...]
    by_tier: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Minute:
    """One minute of the time line. `at`: its begin; `bootstraps_cached`: without a call.

    `upstream`: how long Nexudus took for the cached lists, of all spaces.
    """

    at: float
    requests: int
    failed: int
    bootstraps: int
    bootstraps_cached: int
    calls: int
    calls_saved: int
    throttled: int
    latency: Latency
    upstream: Latency = UNTIMED


@dataclass(frozen=True, slots=True)
class Window:
    """One window of one space's budget."""

    space: str
    window: str
    used: int
    limit: int


@dataclass(frozen=True, slots=True)
class SpaceState:
    """Nexudus, as known for one space: `breaker` closed, half_open or open."""

    space: str
    state: str
    breaker: str
    paused_s: float
    per_token: bool


@dataclass(frozen=True, slots=True)
class Redis:
    """The shared store, over all processes."""

    used: int
    processes: int
    heard: int
    latency: Latency
    errors: int


@dataclass(frozen=True, slots=True)
class Shape:
    """One shape by use."""

    space: str
    shape: str
    uses: int
    bytes: int
    saved: int


@dataclass(frozen=True, slots=True)
class Happening:
    """An event on the time line; `process` is where it was seen."""

    at: float
    space: str
    kind: str
    text: str
    process: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A recent answer that was a problem."""

    at: float
    space: str
    route: str
    status: int
    type: str
    request_id: str


@dataclass(frozen=True, slots=True)
class ProcessFigures:
    """One process of the fleet as it last said; `seen_s`: how long ago that was."""

    process: str
    host: str
    pid: int
    version: str
    started_at: float
    seen_s: float
    resident_bytes: int
    l1_bytes: int
    flights: int
    waiters: int
    loop_lag_ms: float
    store: bool
    bus: bool
    stopping: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that the page and `bff top` show. `space` is empty for all of them.

    `fleet`: False where Redis is away or takes nothing: then these are of the answering process.
    """

    at: float
    space: str
    spaces: tuple[str, ...]
    fleet: bool
    verdict: Verdict
    requests: int
    failed: int
    incomplete: int
    latency: Latency
    bootstrap_hit_ratio: float | None
    routes: tuple[RouteFigures, ...]
    resources: tuple[ResourceFigures, ...]
    minutes: tuple[Minute, ...]
    calls: int
    calls_saved: int
    calls_by_reason: tuple[tuple[str, int], ...]
    calls_by_outcome: tuple[tuple[str, int], ...]
    bytes_sent: int
    bytes_saved: tuple[tuple[str, int], ...]
    budget: tuple[Window, ...]
    states: tuple[SpaceState, ...]
    redis: Redis
    shapes: tuple[Shape, ...]
    events: tuple[Happening, ...]
    problems: tuple[Problem, ...]
    processes: tuple[ProcessFigures, ...]
    refreshes_paused: bool
    log_level: str
