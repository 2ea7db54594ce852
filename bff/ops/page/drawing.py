"""Parts of a picture as SVG: what every chart of the operators' page is drawn with.

A picture has no width of its own. Places on its x axis are percentages, so that it fills the page
and its text keeps its size; curves lie in a nested picture, which stretches.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar
from xml.etree import ElementTree as Tree

_T = TypeVar("_T")

MINUTES: Final = 60
STEP: Final = 10
"""Width of a minute in the nested picture."""
TALL: Final = 100
"""Height of the nested picture."""
TOP: Final = 16
PLOT: Final = 84
FOOT: Final = 18

_ILLEGAL: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML 1.0 document may hold, escaped or not (section 2.2)."""


def legal(text: str) -> str:
    """The text without what would make the whole picture unreadable."""
    return _ILLEGAL.sub("\ufffd", text)


def node(name: str, text: str = "", /, **attributes: str | float) -> Tree.Element:
    """An element; `_` in the name of an attribute stands for `-`, a last one for nothing."""
    made = Tree.Element(name)
    for key, value in attributes.items():
        written = legal(value) if isinstance(value, str) else number(value)
        made.set(key.rstrip("_").replace("_", "-"), written)
    if text:
        made.text = legal(text)
    return made


def number(value: float) -> str:
    """With at most two decimals: a picture is sent every other second."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def percent(part: float) -> str:
    """A place on the x axis, 0 to 1."""
    return f"{number(part * 100)}%"


def picture(name: str, title: str, description: str, height: float) -> Tree.Element:
    """An empty picture with what it says to those who do not see it."""
    drawn = node("svg", class_="chart", width="100%", height=height, role="img")
    drawn.set("xmlns", "http://www.w3.org/2000/svg")
    drawn.set("aria-labelledby", f"{name}-title {name}-desc")
    drawn.append(node("title", title, id=f"{name}-title"))
    drawn.append(node("desc", description, id=f"{name}-desc"))
    return drawn


def written(drawn: Tree.Element) -> str:
    """The document; everything in it is escaped."""
    return Tree.tostring(drawn, encoding="unicode")


@dataclass(frozen=True, slots=True)
class Scale:
    """The y axis: `ticks` are parts of its height and what stands there."""

    ticks: tuple[tuple[float, str], ...]
    ceiling: float
    floor: float = 0
    logarithmic: bool = False

    def height(self, value: float) -> float:
        """From 0 to 1; what does not fit lies on the edge."""
        if self.logarithmic:
            value = max(value, self.floor)
            part = math.log(value / self.floor) / math.log(self.ceiling / self.floor)
        else:
            part = (value - self.floor) / (self.ceiling - self.floor)
        return min(1.0, max(0.0, part))

    def y(self, value: float) -> float:
        """In the nested picture, whose origin is above."""
        return TALL * (1 - self.height(value))


def counting(most: float) -> Scale:
    """From 0 to the next round number, half of it marked too where that is whole."""
    power = 10 ** math.floor(math.log10(most)) if most >= 1 else 1
    ceiling = next(power * m for m in (1, 2, 4, 6, 10) if power * m >= most)
    halves = ((0.5, f"{ceiling // 2:,}"),) if ceiling % 2 == 0 else ()
    return Scale(((1.0, f"{ceiling:,}"), *halves), ceiling)


def timeline(
    name: str, titles: tuple[str, str], scale: Scale, *paths: Tree.Element
) -> Tree.Element:
    """The last hour: `titles` are a title and a description, `paths` what stretches with the page.

    Figures of the axis come last, over the curves.
    """
    drawn = picture(name, *titles, TOP + PLOT + FOOT)
    quarters(drawn, TOP, TOP + PLOT)
    levels = [(TOP + PLOT * (1 - part), text) for part, text in scale.ticks]
    for y, _ in levels:
        drawn.append(node("line", class_="rule", x1="0", x2="100%", y1=y, y2=y))
    inner = node("svg", class_="plot", x="0", y=TOP, width="100%", height=PLOT)
    inner.set("viewBox", f"0 0 {MINUTES * STEP} {TALL}")
    inner.set("preserveAspectRatio", "none")
    inner.extend(paths)
    drawn.append(inner)
    drawn.append(node("line", class_="base", x1="0", x2="100%", y1=TOP + PLOT, y2=TOP + PLOT))
    drawn.extend(node("text", text, class_="tick", x="0", y=y - 4) for y, text in levels)
    return drawn


def quarters(drawn: Tree.Element, top: float, bottom: float) -> None:
    """Every 15 minutes a line, and under it how long ago that was."""
    for ago in (45, 30, 15):
        x = percent(1 - ago / MINUTES)
        drawn.append(node("line", class_="quarter", x1=x, x2=x, y1=top, y2=bottom))
        drawn.append(node("text", f"−{ago} min", class_="tick middle", x=x, y=bottom + FOOT - 4))
    drawn.append(node("text", "now", class_="tick end", x="100%", y=bottom + FOOT - 4))
    drawn.append(node("text", "−1 h", class_="tick", x="0", y=bottom + FOOT - 4))


def bars(kind: str, spans: Iterable[tuple[int, float, float]]) -> Tree.Element:
    """One bar a minute: its index and the y of its two ends."""
    parts = (
        f"M{index * STEP + 1} {number(below)}V{number(above)}h{STEP - 2}V{number(below)}z"
        for index, below, above in spans
        if below != above
    )
    return node("path", class_=kind, d="".join(parts))


def line(kind: str, heights: Sequence[float | None]) -> Tree.Element:
    """A curve through the middle of each minute; where a minute has nothing, it breaks off."""
    parts: list[str] = []
    for run in _runs(heights):
        points = [f"{index * STEP + STEP // 2} {number(y)}" for index, y in run]
        # A minute between two empty ones is still a dot.
        parts.append(f"M{'L'.join(points)}" + ("h.1" if len(points) == 1 else ""))
    return node("path", class_=kind, d="".join(parts))


def band(kind: str, upper: Sequence[float | None], lower: Sequence[float | None]) -> Tree.Element:
    """The area between two curves, where both are."""
    both = [None if a is None or b is None else (a, b) for a, b in zip(upper, lower, strict=True)]
    parts: list[str] = []
    for run in _runs(both):
        there = [f"{index * STEP + STEP // 2} {number(ends[0])}" for index, ends in run]
        back = [f"{index * STEP + STEP // 2} {number(ends[1])}" for index, ends in reversed(run)]
        parts.append(f"M{'L'.join([*there, *back])}z")
    return node("path", class_=kind, d="".join(parts))


def _runs(values: Sequence[_T | None]) -> Iterator[list[tuple[int, _T]]]:
    """Stretches without a gap, each value with its index."""
    run: list[tuple[int, _T]] = []
    for index, value in enumerate(values):
        if value is not None:
            run.append((index, value))
        elif run:
            yield run
            run = []
    if run:
        yield run
