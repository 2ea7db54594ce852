"""From what processes said to what operators are shown. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from bff.ops.figures import (
    Happening,
    Minute,
    Problem,
    ProcessFigures,
    Redis,
    ResourceFigures,
    RouteFigures,
    Shape,
    Snapshot,
    SpaceState,
)
from bff.ops.fleet.minutes import (
    MINUTE_S,
    SHAPES,
    Counts,
    by_label,
    by_labels,
    of_space,
    parts,
    total,
)
from bff.ops.fleet.record import is_failed, is_members
from bff.ops.fleet.shared import Controls
from bff.ops.summary.hour import MINUTES, answered, latency, members_seconds, seconds
from bff.ops.summary.processes import (
    Seen,
    budget,
    figures,
    is_shown,
    lately,
    open_s,
    spaces,
    speaking,
    states,
)
from bff.ops.summary.verdict import Signs, verdict

COPIES: Final = frozenset(("hit", "negative", "stale", "stale_error", "stand_in"))
"""Outcomes of a read that was answered from a copy."""
MOST_SHAPES: Final = 20
MOST_EVENTS: Final = 200
MOST_PROBLEMS: Final = 100
"""Shown: more than anybody reads, and little enough to be sent every other second."""
T = TypeVar("T", Happening, Problem)


@dataclass(frozen=True, slots=True)
class Material:
    """All that a snapshot is made of, of every space.

    `counts`: of the last hour; `whole`: of the last minute that has ended. `rows`: the time line of
    the asked space, the running minute last.
    """

    at: float
    fleet: bool
    counts: Counts
    whole: Counts
    rows: tuple[Minute, ...]
    seen: Sequence[Seen]
    events: Sequence[Happening]
    problems: Sequence[Problem]
    controls: Controls


def snapshot(given: Material, space: str) -> Snapshot:
    """Of one space, or of all with an empty name. Events and problems come newest first."""
    if space:
        given = _narrowed(given, space)
    counts = given.counts
    requests, failed, bootstraps = answered(counts)
    cached = total(counts, "bff_bootstraps_cached")
    return Snapshot(
        at=given.at,
        space=space,
        spaces=spaces(given.seen),
        fleet=given.fleet,
        verdict=verdict(_signs(given, space, _ratio(cached, bootstraps))),
        requests=requests,
        failed=failed,
        incomplete=total(counts, "bff_bootstraps_incomplete"),
        latency=latency(members_seconds(counts)),
        bootstrap_hit_ratio=_ratio(cached, bootstraps),
        routes=_routes(given),
        resources=_resources(counts),
        minutes=given.rows,
        calls=total(counts, "bff_upstream_calls"),
        calls_saved=total(counts, "bff_upstream_calls_saved"),
        calls_by_reason=_ranked(by_label(counts, "bff_upstream_calls", "reason")),
        calls_by_outcome=_ranked(by_label(counts, "bff_upstream_calls", "outcome")),
        bytes_sent=_bytes_sent(counts),
        bytes_saved=_ranked(by_label(counts, "bff_bytes_saved", "how")),
        budget=budget(given.seen, space),
        states=states(given.seen, space),
        redis=_redis(given),
        shapes=_shapes(counts),
        events=_latest(given.events, given.at, MOST_EVENTS),
        problems=_latest(given.problems, given.at, MOST_PROBLEMS),
        processes=_processes(given),
        refreshes_paused=given.controls.refreshes_paused,
        log_level=given.controls.log_level,
    )


def _narrowed(given: Material, space: str) -> Material:
    """Without other spaces. What concerns none in particular stays, as events of the store do."""
    return replace(
        given,
        counts=of_space(given.counts, space),
        whole=of_space(given.whole, space),
        events=[each for each in given.events if each.space in ("", space)],
        problems=[each for each in given.problems if each.space in ("", space)],
    )


def _signs(given: Material, space: str, ratio: float | None) -> Signs:
    troubled = [each for each in states(given.seen, space) if _is_troubled(each)]
    return Signs(
        fleet=given.fleet,
        bootstrap_hit_ratio=ratio,
        lately=lately(given.seen, space),
        minutes=given.rows,
        states=troubled,
        open_s=open_s(given.seen),
        budget=budget(given.seen, space),
        unanswered=sum(each.record.unanswered for each in speaking(given.seen)),
        processes=[figures(each) for each in given.seen],
        at=given.at,
        refreshes_paused=_paused_by(given.controls),
        refused=any(each.record.refused for each in speaking(given.seen)),
        whole=not space or spaces(given.seen) == (space,),
    )


def _paused_by(controls: Controls) -> str:
    return (controls.paused_by or "nobody knows who") if controls.refreshes_paused else ""


def _is_troubled(state: SpaceState) -> bool:
    return state.breaker != "closed" or state.paused_s > 0


def _processes(given: Material) -> tuple[ProcessFigures, ...]:
    shown = [figures(each) for each in given.seen if is_shown(each)]
    return tuple(sorted(shown, key=lambda each: (each.host, each.started_at, each.pid)))


def _redis(given: Material) -> Redis:
    here = [each for each in given.seen if not each.record.stopping]
    fresh = speaking(here)
    return Redis(
        used=sum(each.record.details.store for each in fresh),
        processes=len(here),
        heard=sum(each.record.details.bus for each in fresh),
        latency=seconds(given.counts, "bff_store_seconds"),
        errors=total(given.counts, "bff_store_errors"),
    )


def _bytes_sent(counts: Counts) -> int:
    """To members."""
    sent = by_label(counts, "bff_response_bytes", "route")
    return sum(count for route, count in sent.items() if is_members(route))


def _routes(given: Material) -> tuple[RouteFigures, ...]:
    """Members', as the requests that are counted; the busiest first."""
    requests: dict[str, int] = {}
    failed: dict[str, int] = {}
    for (route, status), count in by_labels(
        given.counts, "bff_requests", "route", "status"
    ).items():
        if not is_members(route):
            continue
        requests[route] = requests.get(route, 0) + count
        failed[route] = failed.get(route, 0) + (count if is_failed(status) else 0)
    buckets: dict[str, dict[str, int]] = {}
    for (route, le), count in by_labels(given.counts, "bff_request_seconds", "route", "le").items():
        buckets.setdefault(route, {})[le] = count
    last = by_label(given.whole, "bff_requests", "route")
    return tuple(
        RouteFigures(
            route=route,
            requests=number,
            per_second=round(last.get(route, 0) / MINUTE_S, 3),
            failed=failed[route],
            latency=latency(buckets.get(route, {})),
        )
        for route, number in _ranked(requests)
    )


def _resources(counts: Counts) -> tuple[ResourceFigures, ...]:
    outcomes: dict[str, dict[str, int]] = {}
    tiers: dict[str, dict[str, int]] = {}
    reads = by_labels(counts, "bff_cache_reads", "resource", "tier", "outcome")
    for (resource, tier, outcome), count in reads.items():
        of, by = outcomes.setdefault(resource, {}), tiers.setdefault(resource, {})
        of[outcome] = of.get(outcome, 0) + count
        by[tier] = by.get(tier, 0) + count
    return tuple(
        ResourceFigures(
            resource=resource,
            reads=sum(of.values()),
            hit_ratio=_ratio(sum(of.get(copy, 0) for copy in COPIES), sum(of.values())),
            by_outcome=_ranked(of),
            by_tier=_ranked(tiers[resource]),
        )
        for resource, of in sorted(outcomes.items())
    )


def _shapes(counts: Counts) -> tuple[Shape, ...]:
    uses, sizes, saved = (counts.get(name, {}) for name in SHAPES)
    top = heapq.nlargest(MOST_SHAPES, uses, key=lambda key: (uses[key], key))
    found = []
    for key in top:
        space, shape = parts(SHAPES[0], key)
        found.append(Shape(space, shape, uses[key], sizes.get(key, 0), saved.get(key, 0)))
    return tuple(found)


def _latest(seen: Iterable[T], at: float, most: int) -> tuple[T, ...]:
    """Of the last hour, the newest first."""
    here = [each for each in seen if each.at > at - MINUTES * MINUTE_S]
    return tuple(sorted(here, key=lambda each: each.at, reverse=True)[:most])


def _ranked(counts: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """The greatest first."""
    return tuple(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def _ratio(part: int, whole: int) -> float | None:
    """Never above 1, whatever was counted a moment before the other."""
    return min(1.0, part / whole) if whole else None
