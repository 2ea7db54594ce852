"""The Grafana dashboard as code: `python -m deploy.grafana.build` writes dashboards/bff.json.

Panels are described by title, unit and PromQL in `rows`; places and the rest of Grafana's JSON are
made here. `$space` is a regular expression, so that all spaces are one more choice. A test compares
the file, and runs every expression on a real Prometheus.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from deploy.grafana.panels import Json, Panel, Row
from deploy.grafana.rows import ROWS

DASHBOARD = Path(__file__).parent / "dashboards" / "bff.json"
WIDTH = 24
"""Columns of Grafana's grid."""


def expressions() -> list[tuple[str, str]]:
    """Every panel's title with each of its expressions."""
    return [
        (panel.title, query.expr) for row in ROWS for panel in row.panels for query in panel.queries
    ]


def dashboard() -> Json:
    """The whole dashboard as Grafana reads it."""
    return {
        "uid": "bff",
        "title": "bff: members, cache, Nexudus",
        "description": "Made by deploy/grafana/build.py.",
        "tags": ["bff"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_source(), _spaces()]},
        "annotations": {"list": [_firing()]},
        "panels": _placed(ROWS),
    }


def _source() -> Json:
    return {
        "name": "source",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "hide": 0,
    }


def _spaces() -> Json:
    query = 'label_values(bff_requests_total{space!=""}, space)'
    return {
        "name": "space",
        "label": "Space",
        "type": "query",
        "datasource": _datasource(),
        "query": {"query": query, "refId": "spaces"},
        "definition": query,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"text": "All", "value": "$__all", "selected": True},
        "refresh": 2,
        "sort": 1,
    }


def _firing() -> Json:
    return {
        "name": "Alerts",
        "datasource": _datasource(),
        "enable": True,
        "iconColor": "red",
        "expr": 'ALERTS{alertstate="firing",alertname=~"Bff.*"}',
        "titleFormat": "{{alertname}}",
        "textFormat": "{{space}}{{instance}}",
    }


def _datasource() -> Json:
    return {"type": "prometheus", "uid": "${source}"}


def _placed(rows: Sequence[Row]) -> list[Json]:
    """Panels left to right, then down, each row under its title."""
    placed: list[Json] = []
    top = 0
    for row in rows:
        place = {"x": 0, "y": top, "w": WIDTH, "h": 1}
        placed.append(
            {"id": len(placed) + 1, "type": "row", "title": row.title, "gridPos": place,
             "collapsed": False, "panels": []}
        )  # fmt: skip
        top, left, tallest = top + 1, 0, 0
        for panel in row.panels:
            if left + panel.width > WIDTH:
                top, left, tallest = top + tallest, 0, 0
            place = {"x": left, "y": top, "w": panel.width, "h": panel.height}
            placed.append({"id": len(placed) + 1, "gridPos": place, **_panel(panel)})
            left, tallest = left + panel.width, max(tallest, panel.height)
        top += tallest
    return placed


def _panel(panel: Panel) -> Json:
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": _datasource(),
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": _datasource(),
                "expr": query.expr,
                "legendFormat": query.legend,
                "instant": query.instant,
                "range": not query.instant,
                "format": "table" if panel.kind == "table" else "time_series",
            }
            for number, query in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": {**_options(panel), **panel.options},
    }


def _defaults(panel: Panel) -> Json:
    steps = [{"color": colour, "value": value} for colour, value in panel.steps]
    defaults: Json = {
        "unit": panel.unit,
        "thresholds": {"mode": "absolute", "steps": steps},
        "noValue": "none",
    }
    if panel.unit == "percentunit":
        defaults |= {"min": 0, "max": 1}
    if panel.kind == "timeseries":
        stacking = {"mode": "normal" if panel.stacked else "none", "group": "A"}
        defaults["custom"] = {
            "lineWidth": 1,
            "fillOpacity": 25 if panel.stacked else 5,
            "showPoints": "never",
            "stacking": stacking,
        }
    return defaults


def _options(panel: Panel) -> Json:
    newest = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    match panel.kind:
        case "stat":
            return {"reduceOptions": newest, "colorMode": "value", "graphMode": "area"}
        case "bargauge":
            return {"reduceOptions": newest}
        case "table":
            return {"showHeader": True}
        case _:
            return {
                "legend": {"displayMode": "list", "placement": "bottom"},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }


def text() -> str:
    """The file's content."""
    return json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    DASHBOARD.write_text(text(), encoding="utf-8")
