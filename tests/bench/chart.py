"""`docs/performance.svg`: every ratio and every cost beside its aim, on logarithmic scales."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

from tests.bench.report import figure, round_figure
from tests.bench.results import Compared, Cost, Report, Verdict

WIDTH: Final = 1020
LEFT: Final = 440
RIGHT: Final = 800
ROW: Final = 24
_STYLE: Final = """\
:root { color-scheme: light dark; }
.paper { fill: #ffffff; } .ink { fill: #1c2330; } .faint { fill: #5a6474; }
text { font: 12.5px system-ui, -apple-system, "Segoe UI", sans-serif; }
.head { font-size: 16px; font-weight: 600; } .path { font-weight: 600; }
.reached { fill: #1b62b8; stroke: #1b62b8; } .not { fill: #ffffff; stroke: #b5522a; }
.none { fill: #5a6474; stroke: #5a6474; }
.range { stroke-width: 3; opacity: 0.45; } .mark { stroke-width: 2; }
.aim { stroke: #1c2330; stroke-width: 2; } .rule { stroke: #d5dae1; stroke-width: 1; }
.one { stroke: #5a6474; stroke-width: 1; stroke-dasharray: 4 3; }
@media (prefers-color-scheme: dark) {
  .paper { fill: #12161d; } .ink { fill: #e8ecf2; } .faint { fill: #9aa5b5; }
  .reached { fill: #6fb1ff; stroke: #6fb1ff; } .not { fill: #12161d; stroke: #f08a5d; }
  .none { fill: #9aa5b5; stroke: #9aa5b5; }
  .aim { stroke: #e8ecf2; } .rule { stroke: #2c3440; } .one { stroke: #9aa5b5; }
}"""
_CLASSES: Final = {
    Verdict.REACHED: "reached",
    Verdict.NOT_REACHED: "not",
    Verdict.NO_AIM: "none",
}


@dataclass(frozen=True, slots=True)
class _Scale:
    """From a ratio to x."""

    least: float
    greatest: float

    def x(self, value: float) -> float:
        width = math.log(self.greatest / self.least)
        part = math.log(max(value, self.least) / self.least) / width
        return LEFT + (RIGHT - LEFT) * min(part, 1.0)

    @property
    def ticks(self) -> tuple[float, ...]:
        every = [m * 10.0**p for p in range(-3, 5) for m in (1, 2, 5)]
        return tuple(each for each in every if self.least <= each <= self.greatest)


def chart(report: Report) -> str:
    """A whole SVG document; legible on light and dark, and without telling colours apart."""
    costs = tuple(cost for cost in report.costs if cost.part is not None)
    below = 84 + ROW * sum(_rows(each) for each in report.compared)
    absent = (*report.missing, *report.failed)
    last = below + (84 + ROW * len(costs) if costs else 0)
    height = last + 24 + ROW * len(absent)
    reached = sum(each is Verdict.REACHED for each in report.verdicts)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" aria-labelledby="title summary">',
        '<title id="title">bff beside its peers, and its costs beside their aims</title>',
        f'<desc id="summary">{reached} of {len(report.verdicts)} aims reached on '
        f"{report.day.isoformat()}.</desc>",
        f"<style>{_STYLE}</style>",
        f'<rect class="paper" x="0" y="0" width="{WIDTH}" height="{height}"/>',
        *_compared(report.compared, 30),
        *(_costs(costs, below + 30) if costs else ()),
        *(
            _text(24, last + 18 + ROW * number, f"not measured: {each}", "faint")
            for number, each in enumerate(absent)
        ),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _rows(compared: Compared) -> int:
    return 1 + len(compared.peers)


def _compared(compared: Sequence[Compared], top: float) -> Iterator[str]:
    ratios = [each.ratio(peer) for each in compared for peer in each.peers]
    aims = [aim for each in compared for aim in each.aims.values()]
    scale = _scale([r.least for r in ratios], [*aims, *(r.greatest for r in ratios)])
    yield _text(24, top, "bff ÷ peer: more is better", "ink head")
    yield _legend(top)
    y = top + 30.0
    yield from _grid(scale, y - 8, y + ROW * sum(map(_rows, compared)) - 6)
    for each in compared:
        yield _text(24, y + 5, each.path, "ink path")
        y += ROW
        for peer in each.peers:
            ratio, verdict = each.ratio(peer), each.verdict(peer)
            yield _text(LEFT - 14, y + 5, peer, "ink", "end")
            yield from _marks(scale, (ratio.least, ratio.median, ratio.greatest), verdict, y)
            aim = each.aims.get(peer)
            if aim is not None:
                yield _aim(scale.x(aim), y)
            said = "" if aim is None else f", aim {aim:g}"
            yield _text(RIGHT + 14, y + 5, f"{figure(ratio.median)} x{said}", "ink")
            y += ROW


def _costs(costs: Sequence[Cost], top: float) -> Iterator[str]:
    parts = [cost.part for cost in costs if cost.part is not None]
    scale = _scale(parts, [2.0, *parts])
    yield _text(24, top, "costs ÷ aim: less is better", "ink head")
    y = top + 30.0
    yield from _grid(scale, y - 8, y + ROW * len(costs) - 6)
    for cost, part in zip(costs, parts, strict=True):
        yield _text(24, y + 5, _shortened(cost.what.replace("`", "")), "ink")
        yield from _marks(scale, (part, part, part), cost.verdict, y)
        yield _aim(scale.x(1), y)
        aim = f", aim {round_figure(cost.aim or 0)}"
        yield _text(RIGHT + 14, y + 5, figure(cost.found.median) + cost.unit + aim, "ink")
        y += ROW


def _shortened(text: str, most: int = 64) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _scale(low: Sequence[float], high: Sequence[float]) -> _Scale:
    """That shows all, and 1."""
    least, greatest = min([0.5, *low]), max([2.0, *high])
    return _Scale(max(least * 0.85, 0.001), greatest * 1.15)


def _grid(scale: _Scale, top: float, bottom: float) -> Iterator[str]:
    for tick in scale.ticks:
        x, kind = scale.x(tick), "one" if tick == 1 else "rule"
        yield _line(x, top, x, bottom, kind)
        yield _text(x, bottom + 14, f"{tick:g}", "faint", "middle")


def _marks(
    scale: _Scale, values: tuple[float, float, float], verdict: Verdict, y: float
) -> Iterator[str]:
    """A line from the least to the greatest round, and the median on it: a disc where the aim is
    reached, a ring where it is not, a small disc without an aim."""
    least, median, greatest = map(scale.x, values)
    kind = _CLASSES[verdict]
    yield _line(least, y, greatest, y, f"{kind} range")
    radius = 3.5 if verdict is Verdict.NO_AIM else 5.5
    yield f'<circle class="{kind} mark" cx="{median:.1f}" cy="{y:.1f}" r="{radius}"/>'


def _aim(x: float, y: float) -> str:
    return _line(x, y - 9, x, y + 9, "aim")


def _legend(y: float) -> str:
    parts = [_line(LEFT, y - 13, LEFT, y + 3, "aim"), _text(LEFT + 8, y, "aim", "faint")]
    x = LEFT + 56.0
    for verdict in Verdict:
        radius = 3.5 if verdict is Verdict.NO_AIM else 5.5
        kind = _CLASSES[verdict]
        parts.append(f'<circle class="{kind} mark" cx="{x:.1f}" cy="{y - 4:.1f}" r="{radius}"/>')
        parts.append(_text(x + 11, y, verdict.value, "faint"))
        x += 34 + 7 * len(verdict.value)
    return "\n".join(parts)


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
