"""What is written of a run: each figure, each aim and whether it is reached, nothing hidden."""

from __future__ import annotations

import datetime
import re
from xml.etree import ElementTree

import pytest

from tests.bench.chart import chart
from tests.bench.report import BEGIN, END, block, figure, replaced, round_figure, spread, table
from tests.bench.results import Compared, Cost, Machine, Plan, Report, Verdict
from tests.bench.rounds import Outcome, Spread, in_turn

OUTCOME = Outcome(
    {"bff": (90.0, 110.0, 100.0), "slow & <old>": (50.0, 50.0, 50.0), "quick": (200.0,) * 3}
)
REPORT = Report(
    day=datetime.date(2026, 11, 22),
    machine=Machine(2, {"Python": "3.11.7", "granian": "2.8.7"}),
    plan=Plan(3, 2),
    took_s=432,
    compared=(
        Compared(
            "warm | finished",
            OUTCOME,
            {"slow & <old>": 2.0, "quick": 0.85},
            ("Varnish: varnishd is not installed (Debian: varnish)",),
            spent_us={"bff": 9.5, "slow & <old>": 21.04},
        ),
        Compared("no aim", OUTCOME, {}),
    ),
    costs=(
        Cost("idle memory", Spread.of([59.0]), " MiB", 60),
        Cost("two workers", Spread.of([1.5, 1.7, 1.9]), " x", 1.8, at_least=True),
        Cost("from outside", Spread.of([3.0]), " ms"),
    ),
    sizes=(("whole, br", 3886),),
    failed=("scale: OSError",),
)


def test_rounds_are_taken_in_turn_after_one_to_warm_up() -> None:
    asked: list[str] = []

    def measure(name: str) -> float:
        asked.append(name)
        return float(len(asked))

    outcome = in_turn({"a": lambda: measure("a"), "b": lambda: measure("b")}, 2)
    assert asked == ["a", "b", "a", "b", "b", "a"]
    assert outcome.rounds == {"a": (3.0, 6.0), "b": (4.0, 5.0)}


def test_a_ratio_is_of_the_same_round() -> None:
    ratio = OUTCOME.ratio("bff", "slow & <old>")
    assert (ratio.least, ratio.median, ratio.greatest) == (1.8, 2.0, 2.2)


def test_a_verdict_is_of_the_median() -> None:
    compared, (idle, two, outside) = REPORT.compared[0], REPORT.costs
    assert compared.verdict("slow & <old>") is Verdict.REACHED
    assert compared.verdict("quick") is Verdict.NOT_REACHED
    assert REPORT.compared[1].verdict("quick") is Verdict.NO_AIM
    assert [idle.verdict, two.verdict, outside.verdict] == [
        Verdict.REACHED, Verdict.NOT_REACHED, Verdict.NO_AIM,
    ]  # fmt: skip
    assert (idle.part, outside.part) == (59 / 60, None)
    assert two.part == pytest.approx(1.8 / 1.7)
    assert len(REPORT.verdicts) == 4


def test_the_block_says_it_all() -> None:
    text = block(REPORT)
    assert text.startswith("2 of 4 aims reached. 2026-11-22, 2 cores, 3 rounds of 2 s in turn, 7.2")
    assert "Python 3.11.7, granian 2.8.7." in text.replace("\n", " ")
    rows = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in text.split("\n")
    ]
    assert [
        "warm \\| finished", "slow & <old>", "100/s, 9.50 µs", "50.0/s, 21.0 µs",
        "2.00 x (1.80 to 2.20)", "≥ 2 x", "reached",
    ] in rows  # fmt: skip
    assert [
        "",
        "quick",
        "100/s, 9.50 µs",
        "200/s",
        "0.50 x (0.45 to 0.55)",
        "≥ 0.85 x",
        "**not reached**",
    ] in rows
    assert ["idle memory", "59.0 MiB", "≤ 60 MiB", "reached"] in rows
    assert ["two workers", "1.70 x (1.50 to 1.90)", "≥ 1.8 x", "**not reached**"] in rows
    assert "- Not measured: Varnish: varnishd is not installed (Debian: varnish)" in text
    assert "- Failed: scale: OSError" in text
    assert "3,886" in text


def test_only_what_stands_between_the_marks_is_replaced() -> None:
    page = f"# Page\n\nby hand\n\n{BEGIN}\nold\n{END}\n\nby hand too\n"
    once = replaced(page, "new")
    assert once == f"# Page\n\nby hand\n\n{BEGIN}\n\nnew\n\n{END}\n\nby hand too\n"
    assert replaced(once, "new") == once


@pytest.mark.parametrize(
    "page", ["", BEGIN, f"{END}{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}", f"{BEGIN}{END}{END}"]
)
def test_a_page_without_both_marks_is_left_alone(page: str) -> None:
    with pytest.raises(ValueError, match="wants"):
        replaced(page, "new")


@pytest.mark.parametrize(
    ("value", "text"), [(1234.5, "1,234"), (99.94, "99.9"), (1.005, "1.00"), (0.123, "0.12")]
)
def test_figures_have_the_digits_that_matter(value: float, text: str) -> None:
    assert figure(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(1500.0, "1,500"), (100.0, "100"), (60.0, "60"), (1.3, "1.3"), (1.0, "1")]
)
def test_aims_are_round(value: float, text: str) -> None:
    assert round_figure(value) == text


def test_one_value_has_no_spread() -> None:
    assert spread(Spread.of([2.0]), " s") == "2.00 s"
    assert table(("a",), iter(())) == ""


def test_the_chart_is_well_formed_and_says_it_all() -> None:
    root = ElementTree.fromstring(chart(REPORT))
    texts = ["".join(each.itertext()) for each in root.iter("{http://www.w3.org/2000/svg}text")]
    for wanted in (
        "warm | finished",
        "slow & <old>",
        "2.00 x, aim 2",
        "0.50 x, aim 0.85",
        "two workers",
        "1.70 x, aim 1.8",
        "not measured: Varnish: varnishd is not installed (Debian: varnish)",
        "not measured: scale: OSError",
    ):
        assert wanted in texts
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for element in root.iter():
        for name in ("x", "x1", "x2", "cx"):
            assert 0 <= float(element.get(name, 0)) <= width
        for name in ("y", "y1", "y2", "cy"):
            assert 0 <= float(element.get(name, 0)) <= height


def _luminance(colour: str) -> float:
    """Of `#rrggbb`, as WCAG 2.2 defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_chart_is_legible_on_light_and_on_dark(scheme: str) -> None:
    style = chart(REPORT).split("<style>")[1].split("</style>")[0]
    light, dark = style.split("@media")
    rules = dict(re.findall(r"\.(\w+) \{ (?:fill|stroke): (#\w{6})", light))
    strokes = dict(re.findall(r"\.(\w+) \{[^}]*stroke: (#\w{6})", light))
    if scheme == "dark":
        rules |= dict(re.findall(r"\.(\w+) \{ (?:fill|stroke): (#\w{6})", dark))
        strokes |= dict(re.findall(r"\.(\w+) \{[^}]*stroke: (#\w{6})", dark))
    paper = _luminance(rules["paper"])
    for name, wanted in (("ink", 7), ("faint", 4.5)):
        pair = sorted((paper, _luminance(rules[name])))
        assert (pair[1] + 0.05) / (pair[0] + 0.05) >= wanted, name
    for name in ("reached", "not", "none", "aim"):
        pair = sorted((paper, _luminance(strokes[name])))
        assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 3, name
