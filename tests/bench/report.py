"""`docs/performance.md`: what a run found, as Markdown between two marks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import fill
from typing import Final

from tests.bench.results import OURS, Compared, Cost, Report, Verdict
from tests.bench.rounds import Spread

BEGIN: Final = "<!-- what follows is written by `make bench` -->"
END: Final = "<!-- to here -->"


def replaced(page: str, block: str) -> str:
    """The page with another block between its marks. Raises ValueError if it has not both once."""
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise ValueError(f"the page wants {BEGIN} and, after it, {END}")
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{block.strip()}\n\n{END}{rest.split(END)[1]}"


def block(report: Report) -> str:
    """All that a run found."""
    parts = [
        _opening(report),
        "![Ratios of the gateway to its peers and costs beside their aims](performance.svg)",
        table(("path", "beside", "bff", "peer", "bff ÷ peer", "aim", ""), _rows(report.compared)),
        table(("cost", "measured", "aim", ""), map(_cost, report.costs)),
        _absent("Not measured", report.missing),
        _absent("Failed", report.failed),
        table(("body of a bootstrap, user with three profiles", "bytes"), _sizes(report)),
    ]
    return "\n\n".join(part for part in parts if part)


def told(report: Report) -> str:
    """The same for a terminal."""
    return block(report).replace("**", "")


def table(head: Sequence[str], rows: Iterator[tuple[str, ...]]) -> str:
    """A Markdown table, its columns aligned for a terminal too; empty without rows."""
    lines = [tuple(head), *(tuple(cell.replace("|", "\\|") for cell in row) for row in rows)]
    if len(lines) == 1:
        return ""
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(head))]
    rule = ["-" * width for width in widths]
    return "\n".join(
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |"
        for line in (lines[0], rule, *lines[1:])
    )


def figure(value: float) -> str:
    """Three digits that matter, thousands apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def round_figure(value: float) -> str:
    """The same without digits that say nothing."""
    text = figure(value)
    return text.rstrip("0").rstrip(".") if "." in text else text


def spread(found: Spread, unit: str) -> str:
    """A median and what it lies between, unless there was but one value."""
    if found.least == found.greatest:
        return figure(found.median) + unit
    return f"{figure(found.median)}{unit} ({figure(found.least)} to {figure(found.greatest)})"


def _opening(report: Report) -> str:
    verdicts = report.verdicts
    reached = sum(each is Verdict.REACHED for each in verdicts)
    versions = ", ".join(f"{name} {version}" for name, version in report.machine.versions.items())
    cores = f"{report.machine.cores} core{'s' * (report.machine.cores != 1)}"
    text = (
        f"{reached} of {len(verdicts)} aims reached. {report.day.isoformat()}, {cores}, "
        f"{report.plan.rounds} rounds of {report.plan.seconds} s in turn, "
        f"{report.took_s / 60:.1f} minutes in all. {versions}."
    )
    return fill(text, 100, break_long_words=False, break_on_hyphens=False)


def _rows(compared: Sequence[Compared]) -> Iterator[tuple[str, ...]]:
    for each in compared:
        ours = each.outcome.spread(OURS).median
        for number, peer in enumerate(each.peers):
            theirs = each.outcome.spread(peer).median
            aim = each.aims.get(peer)
            yield (
                each.path if number == 0 else "",
                peer,
                figure(ours) + each.unit + _spent(each, OURS),
                figure(theirs) + each.unit + _spent(each, peer),
                spread(each.ratio(peer), " x"),
                "" if aim is None else f"≥ {aim:g} x",
                _said(each.verdict(peer)),
            )
        for missing in each.missing:
            name, _, reason = missing.partition(": ")
            yield ("", name, "", "", "not measured", "", reason)


def _spent(compared: Compared, name: str) -> str:
    """Processor time for each request, where it is known."""
    found = compared.spent_us.get(name)
    return "" if found is None else f", {figure(found)} µs"


def _cost(cost: Cost) -> tuple[str, ...]:
    sign = "≥" if cost.at_least else "≤"
    aim = "" if cost.aim is None else f"{sign} {round_figure(cost.aim)}{cost.unit}"
    return (cost.what, spread(cost.found, cost.unit), aim, _said(cost.verdict))


def _sizes(report: Report) -> Iterator[tuple[str, ...]]:
    return ((what, f"{count:,}") for what, count in report.sizes)


def _said(verdict: Verdict) -> str:
    match verdict:
        case Verdict.REACHED:
            return "reached"
        case Verdict.NOT_REACHED:
            return "**not reached**"
        case Verdict.NO_AIM:
            return ""


def _absent(word: str, items: Sequence[str]) -> str:
    return "\n".join(f"- {word}: {item}" for item in items)
