"""The rules that explanations cite are those of the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bff.cache.decide import Freshness, Verdict, judge
from bff.session.examine import RULES, Rule, Windows

PAGE = Path(__file__).parents[3] / "docs" / "architecture.md"
FRESHNESS = Freshness(60, 300, 3_600)


@pytest.mark.parametrize("rule", [rule for rule in Rule if rule])
def test_each_rule_begins_as_on_the_page(rule: Rule) -> None:
    section = PAGE.read_text().partition("## Cache rules\n")[2].partition("\n## ")[0]
    items = re.split(r"\n(?=[0-9]+\. )", section)
    [item] = [each for each in items if each.startswith(f"{rule.value}. ")]
    assert " ".join(item.split()).startswith(f"{rule.value}. {RULES[rule]}")


def test_every_rule_has_its_words() -> None:
    assert RULES.keys() == set(Rule)


@pytest.mark.parametrize("age_s", [0, 59, 60, 61, 359, 360, 3_659, 3_660, 10_000])
def test_what_is_left_of_the_windows_agrees_with_the_verdict(age_s: float) -> None:
    windows = Windows.of(1_000, 1_000 + age_s, FRESHNESS)
    left = (windows.fresh.left_s, windows.stale.left_s, windows.error.left_s, 1)
    first = next(verdict for verdict, seconds in zip(Verdict, left, strict=True) if seconds > 0)
    assert first is judge(1_000, 1_000 + age_s, FRESHNESS, None)
