"""The dashboard is what its code says, and can be laid out and fed."""

from __future__ import annotations

import json
from itertools import combinations
from typing import Any

from deploy.grafana.build import DASHBOARD, WIDTH, dashboard, text
from tests.deploy.places import DEPLOY, compose, read_yaml

PROVISIONING = DEPLOY / "grafana" / "provisioning"


def panels() -> list[dict[str, Any]]:
    made = json.loads(json.dumps(dashboard()))
    return list(made["panels"])


def test_the_file_is_what_the_code_makes() -> None:
    assert DASHBOARD.read_text(encoding="utf-8") == text()


def test_panels_lie_beside_each_other() -> None:
    cells: list[set[tuple[int, int]]] = []
    for panel in panels():
        place = panel["gridPos"]
        columns = range(place["x"], place["x"] + place["w"])
        assert columns.stop <= WIDTH
        lines = range(place["y"], place["y"] + place["h"])
        cells.append({(x, y) for x in columns for y in lines})
    assert not any(one & other for one, other in combinations(cells, 2))
    assert len({panel["id"] for panel in panels()}) == len(panels())


def test_every_panel_says_what_it_shows() -> None:
    for panel in panels():
        if panel["type"] != "row":
            assert panel["title"]
            assert panel["description"].endswith(".")
            assert panel["targets"]


def test_what_is_of_a_space_follows_the_choice_of_spaces() -> None:
    made = json.loads(json.dumps(dashboard()))
    assert [each["name"] for each in made["templating"]["list"]] == ["source", "space"]
    chosen = made["templating"]["list"][1]
    assert chosen["includeAll"]
    assert chosen["allValue"] == ".*"  # spaces that nobody has asked for yet are among them
    for panel in panels():
        for target in panel.get("targets", ()):
            if "space" in target["legendFormat"]:
                assert 'space=~"$space"' in target["expr"], panel["title"]


def test_it_is_provisioned_where_compose_mounts_it() -> None:
    source = read_yaml(PROVISIONING / "datasources" / "prometheus.yaml")["datasources"][0]
    provider = read_yaml(PROVISIONING / "dashboards" / "bff.yaml")["providers"][0]
    mounts = {each.split(":")[1]: each.split(":")[0] for each in _grafana()["volumes"]}
    assert mounts["/etc/grafana/provisioning"] == "../grafana/provisioning"
    assert mounts[provider["options"]["path"]] == "../grafana/dashboards"
    assert source["url"] == "http://prometheus:9090"
    scraped = read_yaml(DEPLOY / "prometheus" / "prometheus.yml")["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == scraped


def _grafana() -> Any:
    return compose()["services"]["grafana"]
