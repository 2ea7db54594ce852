"""The day as one SVG: calls by variant, calls by minute, and how long members waited."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

from tests.simulate.rows import Row, seconds
from tests.simulate.tally import NEVER

WIDTH: Final = 960
LEFT: Final = 210
RIGHT: Final = 870
BAR: Final = 26
LIMIT_A_MINUTE: Final = 120
_SHORTEST_S: Final = 0.05
_STYLE: Final = """\
:root { color-scheme: light dark; }
.paper { fill: #ffffff; } .ink { fill: #1c2330; } .faint { fill: #5a6474; }
text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; }
.head { font-size: 16px; font-weight: 600; } .small { font-size: 12px; }
.without { fill: #b5522a; } .with { fill: #1b62b8; } .refused { fill: #dfa58c; }
.line { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.line.without { fill: none; stroke: #b5522a; } .line.with { fill: none; stroke: #1b62b8; }
.rule { stroke: #c9cfd8; stroke-width: 1; } .limit { stroke: #1c2330; stroke-width: 1.2;
  stroke-dasharray: 5 4; }
@media (prefers-color-scheme: dark) {
  .paper { fill: #12161d; } .ink { fill: #e8ecf2; } .faint { fill: #9aa5b5; }
  .without { fill: #f08a5d; } .with { fill: #6fb1ff; } .refused { fill: #7d4a35; }
  .line.without { stroke: #f08a5d; } .line.with { stroke: #6fb1ff; }
  .rule { stroke: #333c49; } .limit { stroke: #e8ecf2; }
}"""


@dataclass(frozen=True, slots=True)
class Span:
    """Where the shown minutes lie: `opens_min` and `minutes`, from midnight and from there."""

    opens_min: int
    minutes: int


def figure(rows: Sequence[Row], span: Span, members: int) -> str:
    """A whole SVG document. The first row is the day without, the second the one with a gateway."""
    without, with_gateway = rows[0], rows[1]
    bars_y, line_y = 78, 78 + BAR * len(rows) + 74
    waits_y = line_y + 230 + 84
    height = waits_y + BAR * len(rows) + 58
    summary = (
        f"Without the gateway Nexudus gets {without.calls:,} calls and refuses "
        f"{without.refused:,}; with it {with_gateway.calls:,}, of which it refuses "
        f"{with_gateway.refused:,}. A first session takes {seconds(without.p50_s)} (median) and "
        f"{seconds(without.p99_s)} (99th percentile) without, {seconds(with_gateway.p50_s)} and "
        f"{seconds(with_gateway.p99_s)} with it."
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" aria-labelledby="title summary">',
        f'<title id="title">Monday morning of {members:,} members</title>',
        f'<desc id="summary">{escape(summary)}</desc>',
        f"<style>{_STYLE}</style>",
        _rect(0, 0, WIDTH, height, "paper"),
        *_bars(rows, bars_y),
        *_timeline(without, with_gateway, span, line_y),
        *_waits(rows, waits_y),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _bars(rows: Sequence[Row], top: float) -> Iterable[str]:
    yield _text(24, top - 44, "Calls to Nexudus", "ink head")
    yield from _key(top - 22, (("answered", "with"), ("refused with 409", "refused")))
    scale = (RIGHT - LEFT) / max(row.calls for row in rows)
    for number, row in enumerate(rows):
        y = top + BAR * number
        answered = (row.calls - row.refused) * scale
        yield _text(LEFT - 10, y + 14, row.name, "ink", "end")
        yield _rect(LEFT, y + 2, answered, BAR - 9, "without" if number == 0 else "with")
        yield _rect(LEFT + answered, y + 2, row.refused * scale, BAR - 9, "refused")
        yield _text(LEFT + row.calls * scale + 7, y + 14, f"{row.calls:,}", "ink small")


def _timeline(without: Row, with_gateway: Row, span: Span, top: float) -> Iterable[str]:
    height = 220.0
    most = max(*without.by_minute, *with_gateway.by_minute, LIMIT_A_MINUTE)
    step = _step(most)
    ceiling = math.ceil(most / step) * step

    def x(minute: float) -> float:
        return LEFT + (RIGHT - LEFT) * minute / span.minutes

    def y(calls: float) -> float:
        return top + height * (1 - calls / ceiling)

    yield _text(24, top - 40, "Calls to Nexudus in each minute", "ink head")
    yield from _key(top - 18, (("no gateway", "without"), ("gateway", "with")))
    for calls in range(0, ceiling + 1, step):
        yield _line(LEFT, y(calls), RIGHT, y(calls), "rule")
        yield _text(LEFT - 10, y(calls) + 4, f"{calls:,}", "faint small", "end")
    for minute in range(0, span.minutes + 1, 30):
        hour, rest = divmod(span.opens_min + minute, 60)
        yield _text(x(minute), top + height + 18, f"{hour}:{rest:02}", "faint small", "middle")
    for row, kind in ((without, "without"), (with_gateway, "with")):
        points = " ".join(f"{x(m + 0.5):.1f},{y(n):.1f}" for m, n in enumerate(row.by_minute))
        yield f'<polyline class="line {kind}" points="{points}"/>'
    limit = y(LIMIT_A_MINUTE)
    yield _line(LEFT, limit, RIGHT, limit, "limit")
    yield _text(RIGHT + 6, limit + 4, f"{LIMIT_A_MINUTE} allowed", "ink small")


def _waits(rows: Sequence[Row], top: float) -> Iterable[str]:
    yield _text(24, top - 44, "Time to a device's first session", "ink head")
    yield _text(24, top - 22, "from the median to the 99th percentile; logarithmic", "faint small")
    longest = max((v for row in rows for v in (row.p50_s, row.p99_s) if v != NEVER), default=1.0)
    x = _logarithmic(max(longest, 10.0))
    bottom = top + BAR * len(rows)
    ticks = [tick for tick in (0.1, 1.0, 10.0, 60.0, 600.0, 3_600.0) if tick <= max(longest, 10.0)]
    for tick in ticks:
        yield _line(x(tick), top, x(tick), bottom, "rule")
        yield _text(x(tick), bottom + 18, _tick(tick), "faint small", "middle")
    yield _line(x(NEVER), top, x(NEVER), bottom, "rule")
    yield _text(x(NEVER), bottom + 18, "never", "faint small", "middle")
    for number, row in enumerate(rows):
        y = top + BAR * number + 10
        kind = "without" if number == 0 else "with"
        left, right = x(row.p50_s), x(row.p99_s)
        yield _text(LEFT - 10, y + 4, row.name, "ink", "end")
        yield _rect(left, y - 2, max(right - left, 0), 4, kind)
        yield f'<circle class="{kind}" cx="{left:.1f}" cy="{y:.1f}" r="5"/>'
        yield f'<circle class="{kind}" cx="{right:.1f}" cy="{y:.1f}" r="5"/>'
        label = f"{seconds(row.p50_s)} – {seconds(row.p99_s)}"
        yield _text(RIGHT + 84, y + 4, label, "ink small", "end")


def _logarithmic(longest_s: float) -> Callable[[float], float]:
    """From seconds to x; NEVER is at the right end."""
    low, high = math.log(_SHORTEST_S), math.log(longest_s)
    width = (RIGHT - LEFT) * 0.78

    def x(value_s: float) -> float:
        if value_s == NEVER:
            return LEFT + width * 1.1
        return LEFT + width * (math.log(max(value_s, _SHORTEST_S)) - low) / (high - low)

    return x


def _tick(value_s: float) -> str:
    return f"{value_s / 60:.0f} min" if value_s >= 60 else f"{value_s:g} s"


def _step(most: float) -> int:
    """A round distance between rules, of which some five fit."""
    rough = most / 5
    power = 10 ** math.floor(math.log10(rough))
    return int(next(power * m for m in (1, 2, 5, 10) if power * m >= rough))


def _key(y: float, entries: Iterable[tuple[str, str]]) -> Iterable[str]:
    x = 24.0
    for name, kind in entries:
        yield _rect(x, y - 9, 10, 10, kind)
        yield _text(x + 16, y, name, "faint small")
        x += 16 + 7 * len(name) + 18


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )


def _rect(x: float, y: float, width: float, height: float, kind: str) -> str:
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
