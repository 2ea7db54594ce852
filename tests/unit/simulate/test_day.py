"""A small Monday through the real gateway: repeatable, and worth what it should be."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from tests.simulate.__main__ import variants_of
from tests.simulate.day import Outcome, Scale, day_of, devices_of
from tests.simulate.drawing import WIDTH, Span, figure
from tests.simulate.page import COLUMNS, Cast, page, table
from tests.simulate.rows import Row, row_of
from tests.simulate.trace import OPENS_S, Plan
from tests.simulate.variants import VARIANTS, WHOLE, WITHOUT

SMALL = Scale(
    15, Plan(nine_s=OPENS_S + 60, burst_s=20, until_s=OPENS_S + 240, returns=2 * 9 * 3_600 / 180)
)
MINUTES = 10
_SVG = "{http://www.w3.org/2000/svg}"


def rows_of(*outcomes: Outcome) -> list[Row]:
    return [row_of(outcome, MINUTES) for outcome in outcomes]


def test_the_gateway_spares_calls_and_refusals_and_every_day_is_repeatable() -> None:
    without, whole = rows_of(day_of(SMALL, WITHOUT), day_of(SMALL, WHOLE))
    assert rows_of(day_of(SMALL, WITHOUT), day_of(SMALL, WHOLE)) == [without, whole]
    devices = devices_of(SMALL)
    assert without.starts >= sum(len(device.visits) for device in devices)
    assert Cast.of(SMALL.members, devices).devices == len(devices)
    assert without.given_up == whole.given_up == whole.refused == 0
    assert without.refused > 0
    assert whole.calls < without.calls
    assert whole.saved > 0 > without.saved
    assert sum(whole.by_minute) == whole.calls


def test_rows_are_chosen_by_name_and_all_of_them_played_without_a_choice() -> None:
    chosen = variants_of({"SIM_ROWS": " gateway ;without Redis, told of two;"})
    assert [variant.name for variant in chosen] == ["gateway", "without Redis, told of two"]
    assert variants_of({}) is VARIANTS
    with pytest.raises(SystemExit, match="there are no gateway; gateway; "):
        variants_of({"SIM_ROWS": "gatewy"})


def made(name: str, calls: int, wait_s: float = 1.0) -> Row:
    by_minute = tuple([calls // MINUTES] * MINUTES)
    return Row(
        name,
        calls,
        calls // 3,
        0.5,
        9,
        8,
        1,
        1,
        20,
        7,
        2,
        wait_s,
        float("inf"),
        3,
        4,
        5,
        6,
        by_minute,
        by_minute,
    )


def test_the_page_and_its_picture_say_what_was_counted() -> None:
    rows = [made(variant.name, 1_000 * n) for n, variant in enumerate(VARIANTS, 1)]
    text = page(rows, SMALL, Cast(12, 15, 40, 20, 1, 9))
    assert all(f"| {row.name}" in text and f"{row.calls:,}" in text for row in rows)
    assert max(len(line) for line in text.splitlines() if not line.startswith(("|", "!"))) <= 100
    assert {line.count("|") for line in table(rows).splitlines()} == {len(COLUMNS) + 1}
    root = ElementTree.fromstring(figure(rows, Span(510, MINUTES), 12))
    texts = list(root.iter(f"{_SVG}text"))
    assert {row.name for row in rows} <= {text.text for text in texts}
    assert root.findtext(f"{_SVG}title")
    assert root.findtext(f"{_SVG}desc")
    assert [text.text for text in texts if not _fits(text)] == []


def _fits(text: ElementTree.Element) -> bool:
    """Roughly: a character of 13 px is some 6.6 px wide."""
    width = 6.6 * len(text.text or "")
    x = float(text.attrib["x"])
    left = {"start": x, "middle": x - width / 2, "end": x - width}[text.attrib["text-anchor"]]
    return left >= 0 and left + width <= WIDTH
