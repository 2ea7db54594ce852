"""The page is the catalogue's, and `bff config` shows every value but no secret."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from bff.settings import Settings, load
from bff.settings_doc import SettingLine, describe, render
from bff.settings_sources import variable

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "settings.md"
README = ROOT / "README.md"
SECRET = "0123456789abcdef0123456789abcdef"


def test_the_page_is_what_the_catalogue_says() -> None:
    assert PAGE.read_text() == render()


def test_the_page_has_one_row_of_three_cells_for_each_variable() -> None:
    rows = [line for line in render().splitlines() if line.startswith("| `BFF_")]
    assert [row.split("`")[1] for row in rows] == [
        "BFF_CONFIG",
        *map(variable, Settings.model_fields),
    ]
    assert {row.replace("\\|", "").count("|") for row in rows} == {4}


def test_the_module_writes_the_page(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "bff.settings_doc")
    runpy.run_module("bff.settings_doc", run_name="__main__")
    assert capsys.readouterr().out == PAGE.read_text()


def described(environ: dict[str, str]) -> dict[str, SettingLine]:
    return {line.variable: line for line in describe(load(environ))}


def test_values_are_shown_with_where_they_came_from(tmp_path: Path) -> None:
    (tmp_path / "bff.toml").write_text('workers = 2\n[shapes]\na = "Id"\nb = "Name"\n')
    lines = described(
        {
            "BFF_CONFIG": str(tmp_path / "bff.toml"),
            "BFF_SPACES": "a.com=acme,b.com:81=http://[::1]:9001",
            "BFF_DEADLINE_S": "2.50",
            "BFF_MAX_BODY": "1MiB",
        }
    )
    assert list(lines) == [variable(name) for name in Settings.model_fields]
    assert {(line.variable, line.value, line.source) for line in lines.values()} >= {
        ("BFF_UPSTREAM", "not set", "default"),
        (
            "BFF_SPACES",
            "a.com=acme (https://acme.spaces.nexudus.com), b.com:81=::1:9001 (http://[::1]:9001)",
            "env",
        ),
        ("BFF_DEADLINE_S", "2.5", "env"),
        ("BFF_MAX_BODY", "1048576", "env"),
        ("BFF_WORKERS", "2", "file"),
        ("BFF_SHAPES", "a=Id, b=Name", "file"),
        ("BFF_CORS_ORIGINS", "not set", "default"),
        ("BFF_REDIS_URL", "embedded://", "default"),
        ("BFF_SECRET", "made up at start", "default"),
        ("BFF_OPS_TOKEN", "not set", "default"),
        ("BFF_WEBHOOK_SECRET", "not set", "default"),
        ("BFF_L1_MAX_AGE_S", "15", "default"),
    }


def test_secrets_are_masked() -> None:
    lines = described(
        {
            "BFF_UPSTREAM": "acme",
            "BFF_REDIS_URL": "rediss://user:c4n4ry@h/0?db=1&password=c4n4ry",
            "BFF_SECRET": f"{SECRET},{SECRET.upper()}",
            "BFF_OPS_TOKEN": "c4n4ry-c4n4ry-c4n4ry",
            "BFF_WEBHOOK_SECRET": "acme=c4n4ry",
        }
    )
    assert lines["BFF_REDIS_URL"].value == "rediss://***@h/0?***"
    assert lines["BFF_SECRET"].value == "set (2 secrets)"
    assert lines["BFF_OPS_TOKEN"].value == "set"
    assert lines["BFF_WEBHOOK_SECRET"].value == "acme=set"
    one = described({"BFF_UPSTREAM": "acme", "BFF_SECRET": SECRET, "BFF_WEBHOOK_SECRET": "c4n4ry"})
    assert one["BFF_SECRET"].value == "set (1 secret)"
    assert one["BFF_WEBHOOK_SECRET"].value == "set (every space)"


def test_the_readme_has_the_same_table() -> None:
    table = render().partition("| Variable")[2].rstrip()
    assert f"| Variable{table}" in README.read_text()
