"""Where the files of a deployment are, and what is in them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
COMPOSE: Final = DEPLOY / "compose"
PROMETHEUS: Final = DEPLOY / "prometheus"
RULE_FILES: Final = tuple(sorted((PROMETHEUS / "rules").glob("*.yml")))

PROMTOOL: Final = shutil.which("promtool")
PROMETHEUS_SERVER: Final = shutil.which("prometheus")
KUBECTL: Final = shutil.which("kubectl")
OPENSSL: Final = shutil.which("openssl")
HOW_TO_GET_OPENSSL: Final = "there is no openssl on PATH: apt-get install openssl"
HOW_TO_GET_PROMETHEUS: Final = "there is no prometheus on PATH: apt-get install prometheus"
HOW_TO_GET_KUBECTL: Final = "there is no kubectl of 1.27 or newer on PATH: see kubernetes.io/docs"


def read_yaml(path: Path) -> Any:
    """The one document of a YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def compose() -> Any:
    """The services that compose.yaml describes, anchors followed."""
    return read_yaml(COMPOSE / "compose.yaml")


def rules() -> Iterator[dict[str, Any]]:
    """Every recording and alerting rule."""
    for path in RULE_FILES:
        for group in read_yaml(path)["groups"]:
            yield from group["rules"]


def alerts() -> dict[str, dict[str, Any]]:
    """The alerting rules by name."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def seconds(text: str) -> float:
    """A duration such as `25s`, `10m`, `1d`."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    return float(text[:-1]) * units[text[-1]]
