"""Prometheus' configuration and rules, judged by promtool and held against the catalogue."""

from __future__ import annotations

import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from deploy.grafana.build import expressions
from deploy.prometheus import manifest
from tests.deploy.expressions import exposed, labels, names
from tests.deploy.places import (
    HOW_TO_GET_PROMETHEUS,
    PROMETHEUS,
    PROMTOOL,
    RULE_FILES,
    alerts,
    read_yaml,
    rules,
)

with_promtool = pytest.mark.skipif(PROMTOOL is None, reason=HOW_TO_GET_PROMETHEUS)
UNIT_TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))
RECORDED = {rule["record"] for rule in rules() if "record" in rule}
EXPRESSIONS = [
    *((rule.get("alert") or rule["record"], rule["expr"]) for rule in rules()),
    *expressions(),
]


def promtool(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(PROMTOOL), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@with_promtool
def test_the_configuration_is_sound(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("of-an-operator")
    written = (PROMETHEUS / "prometheus.yml").read_text()
    assert "/run/secrets/prometheus_token" in written
    config = tmp_path / "prometheus.yml"
    config.write_text(written.replace("/run/secrets/prometheus_token", str(token)))
    (tmp_path / "rules").symlink_to(PROMETHEUS / "rules")
    told = promtool("check", "config", "--lint=all", "--lint-fatal", config)
    assert told.returncode == 0, told.stdout + told.stderr
    assert told.stdout.count("rules found") == len(RULE_FILES)


@with_promtool
def test_every_alert_fires_when_it_should_and_not_when_it_should_not() -> None:
    told = promtool("test", "rules", *UNIT_TESTS)
    assert told.returncode == 0, told.stdout + told.stderr


def test_every_alert_has_a_unit_test_of_both() -> None:
    fires: dict[str, set[bool]] = defaultdict(set)
    for path in UNIT_TESTS:
        for case in read_yaml(path)["tests"]:
            for asked in case.get("alert_rule_test", ()):
                fires[asked["alertname"]].add(bool(asked["exp_alerts"]))
    assert fires == {name: {True, False} for name in alerts()}


@pytest.mark.parametrize(("where", "expr"), EXPRESSIONS, ids=lambda each: str(each)[:40])
def test_an_expression_names_what_there_is(where: str, expr: str) -> None:
    scraped = exposed()
    known = scraped.keys() | RECORDED
    assert names(expr) <= known, where
    metrics = [scraped[name] for name in names(expr) if name in scraped]
    if metrics:
        allowed = frozenset[str]().union(*(each.labels for each in metrics))
        recorded = {"space", "route", "resource", "window"} if names(expr) & RECORDED else set()
        assert labels(expr) <= allowed | recorded, where


def test_every_metric_is_on_the_dashboard() -> None:
    # What is recorded is shown by its recorded name.
    behind = {rule["record"]: names(rule["expr"]) for rule in rules() if "record" in rule}
    shown: set[str] = set()
    seen = {name for _, expr in expressions() for name in names(expr)}
    while seen:
        shown |= seen
        seen = {inner for name in seen for inner in behind.get(name, ())} - shown
    scraped = exposed()
    metrics = {scraped[name].metric for name in shown if name in scraped}
    assert metrics == {each.metric for each in scraped.values()}


def test_every_alert_says_how_urgent_it_is_and_what_to_read() -> None:
    for name, rule in alerts().items():
        assert rule["labels"] in ({"severity": "page"}, {"severity": "ticket"})
        told = rule["annotations"]
        assert told.keys() == {"summary", "description", "runbook_url"}
        assert told["runbook_url"] == f"docs/runbook.md#{name.lower()}"


def test_groups_have_names_of_their_own() -> None:
    # Within one file Prometheus asks for it; the operator's manifest is one file.
    found = [group["name"] for path in RULE_FILES for group in read_yaml(path)["groups"]]
    assert len(found) == len(set(found))


def test_the_operators_manifest_holds_the_same_rules() -> None:
    assert manifest.MANIFEST.read_text(encoding="utf-8") == manifest.text()
    written = read_yaml(manifest.MANIFEST)
    groups = [group for path in RULE_FILES for group in read_yaml(path)["groups"]]
    assert written["kind"] == "PrometheusRule"
    assert written["spec"]["groups"] == groups
