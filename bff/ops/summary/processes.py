"""What the processes of a fleet say, put together: states, budgets, the last seconds. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from bff.ops.figures import ProcessFigures, SpaceState, Window
from bff.ops.fleet.record import ProcessRecord, Recent
from bff.ops.fleet.tally import LATELY_S
from bff.ops.summary.verdict import SILENT_S

GONE_S: Final = 10.0
"""A process that said that it stops is shown for so long."""
_BREAKERS: Final = ("closed", "half_open", "open")


@dataclass(frozen=True, slots=True)
class Seen:
    """A process' record, and how many seconds ago it was made."""

    record: ProcessRecord
    seen_s: float


def lately(seen: Iterable[Seen], space: str) -> list[Recent]:
    """Of processes that ended a moment ago too: what they answered, members met."""
    sums: dict[str, Recent] = {}
    for each in seen:
        if each.seen_s >= LATELY_S:
            continue
        for of in each.record.recent:
            if space in ("", of.space):
                sums[of.space] = _added(sums.get(of.space, Recent(of.space)), of)
    return list(sums.values())


def _added(one: Recent, other: Recent) -> Recent:
    return Recent(
        one.space,
        one.requests + other.requests,
        one.failed + other.failed,
        one.calls + other.calls,
        one.calls_failed + other.calls_failed,
        one.throttled + other.throttled,
        one.refused + other.refused,
    )


def open_s(seen: Iterable[Seen]) -> dict[str, float]:
    found: dict[str, float] = {}
    for each in speaking(seen):
        for of in each.record.details.spaces:
            if of.breaker != "closed":
                longest = max(found.get(of.space, 0.0), of.breaker_s + each.seen_s)
                found[of.space] = longest
    return found


def speaking(seen: Iterable[Seen]) -> list[Seen]:
    """Those whose word counts for what is now."""
    return [each for each in seen if each.seen_s < SILENT_S and not each.record.stopping]


def spaces(seen: Iterable[Seen]) -> tuple[str, ...]:
    return tuple(sorted({of.space for each in seen for of in each.record.details.spaces}))


def states(seen: Iterable[Seen], space: str) -> tuple[SpaceState, ...]:
    """The worst that any process says of each space."""
    worst: dict[str, SpaceState] = {}
    for each in speaking(seen):
        for of in each.record.details.spaces:
            if space not in ("", of.space):
                continue
            paused_s = max(0.0, of.paused_s - each.seen_s)
            state = SpaceState(of.space, of.state, of.breaker, paused_s, of.per_token)
            known = worst.get(of.space)
            worst[of.space] = state if known is None else _worse(known, state)
    return tuple(worst[name] for name in sorted(worst))


def _worse(one: SpaceState, other: SpaceState) -> SpaceState:
    graver = max(one, other, key=lambda each: (_gravity(each.breaker), each.paused_s))
    return replace(
        graver,
        paused_s=max(one.paused_s, other.paused_s),
        per_token=one.per_token or other.per_token,
    )


def _gravity(breaker: str) -> int:
    return _BREAKERS.index(breaker) if breaker in _BREAKERS else 0


def budget(seen: Iterable[Seen], space: str) -> tuple[Window, ...]:
    """Each process knows what all used, some later than others: the highest is the newest."""
    found: dict[tuple[str, str], Window] = {}
    for each in speaking(seen):
        for of in each.record.details.spaces:
            for window in of.windows if space in ("", of.space) else ():
                key = (window.space, window.window)
                found[key] = max(found.get(key, window), window, key=lambda w: (w.used, w.limit))
    return tuple(sorted(found.values(), key=lambda window: window.space))


def is_shown(seen: Seen) -> bool:
    return not seen.record.stopping or seen.seen_s < GONE_S


def figures(seen: Seen) -> ProcessFigures:
    record = seen.record
    details, gauges = record.details, record.gauges
    return ProcessFigures(
        process=record.process,
        host=details.host,
        pid=details.pid,
        version=details.version,
        started_at=details.started_at,
        seen_s=seen.seen_s,
        resident_bytes=gauges.resident_bytes,
        l1_bytes=gauges.l1_bytes,
        flights=gauges.flights,
        waiters=gauges.waiters,
        loop_lag_ms=gauges.loop_lag_ms,
        store=details.store,
        bus=details.bus,
        stopping=record.stopping,
    )
