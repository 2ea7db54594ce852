"""The runbook and the alerts are one; what the pages tell one to type exists."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperGroup

from bff.cli import app
from bff.cli_operators import DOCTOR_TOKEN
from bff.settings import Settings
from bff.settings_sources import CONFIG
from tests.deploy.expressions import exposed, names
from tests.deploy.places import ROOT, alerts, rules
from tests.support.gateway import BOOTSTRAP, PROFILES, related, stage

DOCS = ROOT / "docs"
RUNBOOK = (DOCS / "runbook.md").read_text(encoding="utf-8")
PAGES = {name: (DOCS / name).read_text(encoding="utf-8") for name in ("runbook.md", "deploy.md")}
ALERTS, PROCEDURES = RUNBOOK.split("\n## Alerts\n")[1].split("\n## Procedures\n")
LEADS = ("**Members**", "**Confirm**", "**Do**", "**Escalate**")


def sections(text: str) -> dict[str, str]:
    """What stands below each heading of the third level."""
    parts = re.split(r"^### (.+)$", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def code(text: str) -> Iterator[str]:
    """Every piece of code, in a line or in a block, continued lines joined."""
    blocks = re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
    for block in blocks:
        yield from re.sub(r"\\\n\s*", "", block).splitlines()
    outside = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    yield from (re.sub(r"\s+", " ", each) for each in re.findall(r"`([^`]+)`", outside))


def anchors(page: Path) -> set[str]:
    """What GitHub makes of headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def test_every_alert_has_its_section_and_every_section_its_alert() -> None:
    assert sections(ALERTS).keys() == alerts().keys()


@pytest.mark.parametrize("name", alerts())
def test_a_section_says_who_notices_how_to_make_sure_and_what_to_do(name: str) -> None:
    section = sections(ALERTS)[name]
    places = [section.find(lead) for lead in LEADS]
    assert places == sorted(places)
    assert places[0] > 0, "every lead is there"
    severity = alerts()[name]["labels"]["severity"]
    assert section.strip().startswith(f"*{severity}.*")


def causes() -> Iterator[str]:
    """Every cause that the verdict may name, `…` for what varies."""
    tree = ast.parse((ROOT / "bff" / "ops" / "summary" / "verdict.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Yield):
            match node.value:
                case ast.Constant(value=str(text)):
                    yield text
                case ast.JoinedStr(values=parts):
                    yield "".join(
                        str(p.value) if isinstance(p, ast.Constant) else "…" for p in parts
                    )
                case other:
                    pytest.fail(f"no cause that could be read: {other}")


def test_every_cause_of_the_verdict_leads_to_a_part_and_no_other_line_does() -> None:
    table = dict(re.findall(r"^\| \*(.+)\* \| (\[.+\)) \|$", RUNBOOK, re.MULTILINE))
    named = {
        cause: [row for row in table if re.fullmatch(re.escape(cause).replace("…", ".+"), row)]
        for cause in causes()
    }
    assert len(named) > 15
    assert sorted(row for rows in named.values() for row in rows) == sorted(table)
    assert [cause for cause, rows in named.items() if len(rows) != 1] == []
    titles = {title.lower().replace(" ", "-") for title in sections(RUNBOOK)}
    for links in table.values():
        assert set(re.findall(r"\(#(.+?)\)", links)) <= titles


def test_what_has_to_be_known_by_heart_is_there() -> None:
    wanted = ("deploy", "roll back", "rotate", "drain", "redis", "leaked", "someone else's data")
    titles = " ".join(sections(PROCEDURES)).lower()
    assert [each for each in wanted if each not in titles] == []


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", PAGES[page]):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        found = (DOCS / path) if path else DOCS / page
        assert found.exists(), target
        if anchor:
            assert anchor in anchors(found), target


@pytest.mark.parametrize("page", PAGES)
def test_expressions_name_what_there_is(page: str) -> None:
    known = exposed().keys() | {rule["record"] for rule in rules() if "record" in rule}
    for each in code(PAGES[page]):
        if "(" in each or "{" in each or ":bff_" in each:
            assert names(each) <= known, each


@pytest.mark.parametrize("page", PAGES)
def test_commands_take_the_options_that_they_are_given(page: str) -> None:
    commands = typer.main.get_command(app)
    assert isinstance(commands, TyperGroup)
    seen = 0
    for each in code(PAGES[page]):
        line = each.replace("-n bff ", "")  # the namespace
        for command, rest in re.findall(r"(?:^|[ ;&])bff (\w+)((?: [^|;&>#']+)?)", line):
            assert command in commands.commands, each
            known = {o for param in commands.commands[command].params for o in param.opts}
            options = {word for word in shlex.split(rest) if word.startswith("--")}
            assert options <= known, each
            seen += 1
    assert seen > 3


@pytest.mark.parametrize("page", PAGES)
def test_settings_that_are_named_exist(page: str) -> None:
    known = {f"BFF_{name.upper()}" for name in Settings.model_fields} | {CONFIG, DOCTOR_TOKEN}
    assert set(re.findall(r"\bBFF_[A-Z0-9_]+\b", PAGES[page])) <= known


async def test_pitfall_1_the_settings_of_the_worst_case_serve_no_copies() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", PROCEDURES, re.DOTALL)
    env = {f"BFF_{name.upper()}": str(value) for name, value in tomllib.loads(
        re.sub(r"^ +", "", block, flags=re.MULTILINE)).items()}  # fmt: skip
    async with stage(env=env) as s:
        for path in (BOOTSTRAP, PROFILES, related(101)):
            s.tenant.forget_visits()
            for number in (1, 2, 3):
                answer = await s.get(path, s.alice)
                assert answer.status_code == 200
                assert "hit" not in answer.headers["cache-status"]
                assert s.tenant.arrivals() >= number
