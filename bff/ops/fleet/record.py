"""What a process says of itself every other second, as bytes and back."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import orjson
from pydantic import TypeAdapter, ValidationError

from bff.ops.figures import Happening, Problem, Window
from bff.ops.fleet.minutes import Counts, Reading, UnreadableRecord, by_labels, total, unpack
from bff.ops.fleet.tally import Lately

T = TypeVar("T")

NOT_MEMBERS: Final = frozenset(
    ("/metrics", "/healthz", "/readyz", "/openapi.json", "/ops", "/hooks/nexudus", "unmatched")
)
"""Routes of operators, probes, Nexudus' webhooks and scanners; so is everything below `/ops/`. They
are answered whatever becomes of Nexudus, and would hide that members are not."""
FAILURES: Final = frozenset(("5xx", "cut", "UpstreamDown", "UpstreamTimeout", "UnusableAnswer"))
"""Outcomes of a call that speak against Nexudus; a refusal (4xx, throttled) does not."""


@dataclass(frozen=True, slots=True)
class SpaceSeen:
    """One space as a process knows it. `breaker_s`: for how long the breaker has not been closed.

    `state` in the words of `/readyz`; `paused_s` until calls go on; `windows`: of its budget.
    """

    space: str
    state: str
    breaker: str
    breaker_s: float = 0.0
    paused_s: float = 0.0
    per_token: bool = False
    windows: tuple[Window, ...] = ()


@dataclass(frozen=True, slots=True)
class Details:
    """What a process knows of itself and of the spaces that it serves, now.

    `store`: whether the shared store is used; `bus`: whether others' invalidations are heard.
    """

    host: str
    pid: int
    version: str
    started_at: float
    store: bool
    bus: bool
    spaces: tuple[SpaceSeen, ...] = ()


@dataclass(frozen=True, slots=True)
class Gauges:
    """Of the process alone, as the metrics of these names."""

    resident_bytes: int = 0
    l1_bytes: int = 0
    flights: int = 0
    waiters: int = 0
    loop_lag_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Recent:
    """What was counted of one space in the seconds before the record was made.

    `failed`: of members' requests, with a 5xx; `calls_failed`: as they speak against Nexudus;
    `refused`: calls that the budget did not allow in time.
    """

    space: str
    requests: int = 0
    failed: int = 0
    calls: int = 0
    calls_failed: int = 0
    throttled: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """`at`: when it was made (UTC seconds, of that process). `unanswered`: operations that the
    shared store did not answer in the seconds before. `refused`: it answers, but took nothing when
    it was told last.
    """

    process: str
    at: float
    details: Details
    gauges: Gauges
    recent: tuple[Recent, ...]
    stopping: bool = False
    unanswered: int = 0
    refused: bool = False


def is_members(route: str) -> bool:
    """Whether requests of a route are members'."""
    return route not in NOT_MEMBERS and not route.startswith("/ops/")


def is_failed(status: str) -> bool:
    """Whether an answer with this status is the gateway's or Nexudus' failure."""
    return len(status) == 3 and status.startswith("5")


def recent(lately: Iterable[Lately]) -> tuple[Recent, ...]:
    """By space, what was counted lately."""
    sums: dict[str, dict[str, int]] = {}
    for each in lately:
        for space, name, count in _counted(each.counts):
            of = sums.setdefault(space, {})
            of[name] = of.get(name, 0) + count
    return tuple(Recent(space, **of) for space, of in sorted(sums.items()))


def unanswered(lately: Iterable[Lately]) -> int:
    """How often the shared store did not answer lately."""
    return sum(total(each.counts, "bff_store_errors") for each in lately)


def _counted(counts: Counts) -> Iterable[tuple[str, str, int]]:
    requests = by_labels(counts, "bff_requests", "space", "route", "status")
    for (space, route, status), count in requests.items():
        if is_members(route):
            yield space, "requests", count
            if is_failed(status):
                yield space, "failed", count
    for (space, outcome), count in by_labels(
        counts, "bff_upstream_calls", "space", "outcome"
    ).items():
        yield space, "calls", count
        if outcome in FAILURES:
            yield space, "calls_failed", count
    for (space, reason), count in by_labels(
        counts, "bff_upstream_refused", "space", "reason"
    ).items():
        if reason == "budget":
            yield space, "refused", count
    for (space,), count in by_labels(counts, "bff_throttled", "space").items():
        yield space, "throttled", count


def gauges(measured: Reading) -> Gauges:
    """From the gauges of the catalogue that have no labels."""

    def of(name: str) -> float:
        return measured.get((name, ()), 0.0)

    return Gauges(
        resident_bytes=int(of("bff_resident_bytes")),
        l1_bytes=int(of("bff_l1_bytes")),
        flights=int(of("bff_flights")),
        waiters=int(of("bff_flight_waiters")),
        loop_lag_ms=round(of("bff_loop_lag_seconds") * 1000, 1),
    )


def pack(record: ProcessRecord) -> bytes:
    """As it is stored."""
    return zlib.compress(orjson.dumps(record), 1)


def read(stored: bytes) -> ProcessRecord:
    """What was packed, by this version of the gateway or one that says more. UnreadableRecord."""
    return _valid(ProcessRecord, unpack(stored))


def read_event(text: bytes) -> Happening:
    """From its JSON. Raises UnreadableRecord."""
    return _valid(Happening, _json(text))


def read_problem(text: bytes) -> Problem:
    """From its JSON. Raises UnreadableRecord."""
    return _valid(Problem, _json(text))


def _json(text: bytes) -> object:
    try:
        value: object = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise UnreadableRecord("no JSON") from None
    return value


def _valid(form: type[T], value: object) -> T:
    adapter: TypeAdapter[T] = _adapters()[form]
    try:
        return adapter.validate_python(value)
    except ValidationError:
        raise UnreadableRecord("not of this form") from None


@functools.cache
def _adapters() -> dict[type, TypeAdapter[Any]]:
    return {form: TypeAdapter(form) for form in (ProcessRecord, Happening, Problem)}
