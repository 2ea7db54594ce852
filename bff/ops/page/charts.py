"""The pictures of the operators' page, each a pure function of a Snapshot.

Classes only: the page's own style gives them their colours, in light and in dark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final
from xml.etree import ElementTree as Tree

from bff.ops.figures import Happening, Minute, ResourceFigures, Snapshot, Window
from bff.ops.page import drawing
from bff.ops.page.drawing import MINUTES, Scale, bars, counting, line, node, percent, timeline
from bff.ops.summary.verdict import COUNTED_FROM, NEARLY_SPENT

NEAR: Final = 0.7
"""From this part on, a window of the budget is drawn so that one looks; NEARLY_SPENT is red."""
MOST_WINDOWS: Final = 8
LANES: Final = (
    ("Nexudus", ("throttled", "breaker")),
    ("Redis", ("store", "bus")),
    ("fleet", ("process", "sharing")),
    ("operators", ("operator",)),
)
"""Where an event is marked, by its kind; kinds that nobody has named yet go with the fleet."""
MARKS: Final = 120
"""Places for marks in a lane: what happened within half a minute shares one."""
TIERS: Final = (("l1", "in process"), ("l2", "Redis"), ("upstream", "Nexudus"))

_FASTEST_MS: Final = 0.5
_LEVELS_MS: Final = ((1, "1 ms"), (10, "10 ms"), (100, "100 ms"), (1_000, "1 s"), (10_000, "10 s"))
_RATIO: Final = Scale(((1.0, "100%"), (0.5, "50%")), 1)
_LEAST_SHOWN: Final = 3.0
"""Height of the shortest bar that says that something failed: one of thousands is no pixel."""


def charts(snapshot: Snapshot) -> Mapping[str, str]:
    """SVG documents by name, all of the same hour on the same axis."""
    hour = last_hour(snapshot)
    drawn = {
        "traffic": traffic(hour),
        "latency": latency(hour),
        "calls": calls(hour),
        "cached": cached(hour),
        "events": events(snapshot),
        "reads": reads(snapshot.resources),
        "budget": budget(snapshot.budget),
    }
    return MappingProxyType({name: drawing.written(each) for name, each in drawn.items()})


def last_hour(snapshot: Snapshot) -> tuple[Minute | None, ...]:
    """The last 60 minutes, the one under way last; None where nothing is known of one."""
    known = {int(minute.at // 60): minute for minute in snapshot.minutes}
    newest = _newest(snapshot)
    return tuple(known.get(each) for each in range(newest - MINUTES + 1, newest + 1))


def traffic(hour: Sequence[Minute | None]) -> Tree.Element:
    """Requests in each minute, those that failed at the foot of each bar."""
    total, failed = _sum(hour, lambda m: m.requests), _sum(hour, lambda m: m.failed)
    most = _most(hour, lambda m: m.requests)
    scale = counting(most)
    described = (
        f"{total:,} requests in the last hour, at most {most:,} in a minute; {failed:,} failed."
    )
    return timeline(
        "traffic",
        ("Requests and failures a minute", described),
        scale,
        *_bars("requests", _stack(hour, scale, lambda m: (0, m.requests))),
        bars("failed", _shown(_stack(hour, scale, lambda m: (0, m.failed)))),
    )


def latency(hour: Sequence[Minute | None]) -> Tree.Element:
    """Median and 99th percentile, logarithmic."""
    p50 = [None if m is None else m.latency.p50_ms for m in hour]
    p99 = [None if m is None else m.latency.p99_ms for m in hour]
    worst = max((ms for ms in p99 if ms is not None), default=None)
    described = (
        "No request in the last hour."
        if worst is None
        else f"The worst minute's 99th percentile was {milliseconds(worst)}."
    )
    scale = _logarithmic(worst or 0)
    upper, lower = _heights(p99, scale), _heights(p50, scale)
    return timeline(
        "latency",
        ("Time to answer, median to 99th percentile", described),
        scale,
        drawing.band("spread", upper, lower),
        line("p99", upper),
        line("p50", lower),
    )


def calls(hour: Sequence[Minute | None]) -> Tree.Element:
    """Calls to Nexudus made in each minute, and on top of them those that the cache saved."""
    made, saved = _sum(hour, lambda m: m.calls), _sum(hour, lambda m: m.calls_saved)
    throttled = _sum(hour, lambda m: m.throttled)
    scale = counting(_most(hour, lambda m: m.calls + m.calls_saved))
    described = (
        f"{made:,} calls made and {saved:,} saved in the last hour; Nexudus refused {throttled:,}."
    )
    return timeline(
        "calls",
        ("Calls to Nexudus, made and saved, a minute", described),
        scale,
        *_bars("saved", _stack(hour, scale, lambda m: (m.calls, m.calls + m.calls_saved))),
        *_bars("made", _stack(hour, scale, lambda m: (0, m.calls))),
        bars("throttled", _shown(_stack(hour, scale, lambda m: (0, m.throttled)))),
    )


def cached(hour: Sequence[Minute | None]) -> Tree.Element:
    """The part of each minute's bootstraps that needed no call to Nexudus."""
    total, hits = _sum(hour, lambda m: m.bootstraps), _sum(hour, lambda m: m.bootstraps_cached)
    ratios = [m.bootstraps_cached / m.bootstraps if m and m.bootstraps else None for m in hour]
    described = f"{hits:,} of {total:,} bootstraps in the last hour came from the cache."
    heights = _heights(ratios, _RATIO)
    floor = [None if each is None else float(drawing.TALL) for each in heights]
    return timeline(
        "cached",
        ("Bootstraps from the cache", described),
        _RATIO,
        drawing.band("share", heights, floor),
        line("ratio", heights),
    )


def events(snapshot: Snapshot) -> Tree.Element:
    """What happened, in four lanes under the other pictures' axis."""
    lane_height, top = 22.0, 4.0
    bottom = top + lane_height * len(LANES)
    began = (_newest(snapshot) - MINUTES + 1) * 60
    recent = [each for each in snapshot.events if began <= each.at < began + MINUTES * 60]
    described = f"{len(recent):,} events in the last hour; the table below has their words."
    drawn = drawing.picture("events", "Events", described, bottom + drawing.FOOT)
    drawing.quarters(drawn, top, bottom)
    for number, (name, _) in enumerate(LANES):
        y = top + lane_height * (number + 1)
        drawn.append(node("line", class_="rule", x1="0", x2="100%", y1=y, y2=y))
        drawn.append(node("text", name, class_="tick", x="0", y=y - 7))
    for (number, place), there in _gathered(recent, began).items():
        mark = node(
            "rect",
            class_=f"happened lane-{number}",
            x=percent(place / MARKS),
            y=top + lane_height * number + 4,
            width=percent(0.7 / MARKS),
            height=lane_height - 8,
        )
        mark.append(node("title", _told(there)))
        drawn.append(mark)
    return drawn


def reads(resources: Sequence[ResourceFigures]) -> Tree.Element:
    """Who answered the reads of each cached resource: the process, Redis or Nexudus."""
    row = 46.0
    told = "; ".join(
        f"{each.resource}: {_ratio(each.hit_ratio)} without waiting for Nexudus"
        for each in resources
    )
    height = row * max(1, len(resources))
    drawn = drawing.picture("reads", "Reads by who answered", told or "No reads.", height)
    if not resources:
        drawn.append(node("text", "Nothing was read in the last hour.", class_="tick", x="0", y=18))
    for number, each in enumerate(resources):
        y, x = row * number, 0.0
        drawn.append(node("text", each.resource, class_="label", x="0", y=y + 14))
        note = f"{_ratio(each.hit_ratio)} of {each.reads:,}"
        drawn.append(node("text", note, class_="label end", x="100%", y=y + 14))
        drawn.append(_track(y + 21))
        counts = dict(each.by_tier)
        total = sum(counts.values())
        for tier, words in TIERS:
            part = counts.get(tier, 0) / total if total else 0.0
            if part:
                bar = _bar(f"tier-{tier}", x, part, y + 21)
                bar.append(node("title", f"{words}: {counts[tier]:,} ({_ratio(part)})"))
                drawn.append(bar)
            x += part
    return drawn


def budget(windows: Sequence[Window]) -> Tree.Element:
    """The windows of the budget that are fullest, one row each; not those that only space calls."""
    row = 40.0
    counted = [each for each in windows if each.limit >= COUNTED_FROM]
    fullest = sorted(counted, key=used_part, reverse=True)[:MOST_WINDOWS]
    told = "; ".join(f"{w.space} {w.window}: {w.used:,} of {w.limit:,}" for w in fullest)
    height = row * max(1, len(fullest))
    drawn = drawing.picture("budget", "Budget, fullest first", told or "No budget is kept.", height)
    if not fullest:
        drawn.append(node("text", "No budget is kept.", class_="tick", x="0", y=18))
    for number, each in enumerate(fullest):
        y, part = row * number, min(1.0, used_part(each))
        kind = "spent" if part >= NEARLY_SPENT else "near" if part >= NEAR else "roomy"
        drawn.append(node("text", f"{each.space} · {each.window}", class_="label", x="0", y=y + 14))
        note = f"{each.used:,} of {each.limit:,}"
        drawn.append(node("text", note, class_="label end", x="100%", y=y + 14))
        drawn.append(_track(y + 21, 8))
        if part:
            drawn.append(_bar(kind, 0, part, y + 21, 8))
    return drawn


def used_part(window: Window) -> float:
    """How full a window is."""
    return window.used / window.limit


def milliseconds(ms: float) -> str:
    """`0.42 ms`, `38 ms`, `1.2 s`: two digits say enough."""
    if ms >= 1_000:
        return f"{ms / 1_000:.1f} s"
    return f"{ms:.0f} ms" if ms >= 10 else f"{ms:.2g} ms"


def _newest(snapshot: Snapshot) -> int:
    """The last minute of the axis: this one, or the next where another process's clock is ahead."""
    now = int(snapshot.at // 60)
    return max((now, *(m for each in snapshot.minutes if (m := int(each.at // 60)) <= now + 1)))


def _logarithmic(worst_ms: float) -> Scale:
    """From half a millisecond to the next power of ten; at least to 100 ms."""
    ceiling = next((ms for ms, _ in _LEVELS_MS[2:] if ms >= worst_ms), _LEVELS_MS[-1][0])
    plain = Scale((), ceiling, _FASTEST_MS, logarithmic=True)
    shown = tuple((plain.height(ms), text) for ms, text in _LEVELS_MS if ms <= ceiling)
    return replace(plain, ticks=shown)


def _gathered(recent: Iterable[Happening], began: float) -> dict[tuple[int, int], list[Happening]]:
    lanes = {kind: number for number, (_, kinds) in enumerate(LANES) for kind in kinds}
    there: dict[tuple[int, int], list[Happening]] = {}
    for each in recent:
        place = int((each.at - began) / (MINUTES * 60) * MARKS)
        there.setdefault((lanes.get(each.kind, 2), place), []).append(each)
    return there


def _told(there: Sequence[Happening]) -> str:
    lines = [f"{each.space}: {each.text}" if each.space else each.text for each in there[:3]]
    more = len(there) - len(lines)
    return "\n".join([*lines, *([f"and {more:,} more"] if more else [])])


def _track(y: float, height: float = 14) -> Tree.Element:
    return node("rect", class_="track", x="0", y=y, width="100%", height=height, rx=3)


def _bar(kind: str, x: float, part: float, y: float, height: float = 14) -> Tree.Element:
    return node("rect", class_=kind, x=percent(x), y=y, width=percent(part), height=height, rx=3)


def _stack(
    hour: Sequence[Minute | None], scale: Scale, ends: Callable[[Minute], tuple[int, int]]
) -> Iterable[tuple[int, float, float]]:
    for index, minute in enumerate(hour):
        if minute is not None:
            below, above = ends(minute)
            yield index, scale.y(below), scale.y(above)


def _bars(kind: str, spans: Iterable[tuple[int, float, float]]) -> Iterable[Tree.Element]:
    """Those of whole minutes, and apart the one that has only begun, and would seem a drop."""
    there = list(spans)
    yield bars(kind, [each for each in there if each[0] < MINUTES - 1])
    yield bars(f"{kind} running", [each for each in there if each[0] == MINUTES - 1])


def _shown(spans: Iterable[tuple[int, float, float]]) -> Iterable[tuple[int, float, float]]:
    for index, below, above in spans:
        yield index, below, min(above, below - _LEAST_SHOWN) if above != below else above


def _heights(values: Iterable[float | None], scale: Scale) -> list[float | None]:
    return [None if value is None else scale.y(value) for value in values]


def _sum(hour: Iterable[Minute | None], of: Callable[[Minute], int]) -> int:
    return sum(of(minute) for minute in hour if minute is not None)


def _most(hour: Iterable[Minute | None], of: Callable[[Minute], int]) -> int:
    return max((of(minute) for minute in hour if minute is not None), default=0)


def _ratio(part: float | None) -> str:
    return "–" if part is None else f"{part:.1%}"
