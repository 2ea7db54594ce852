"""The rules for the Prometheus operator: `python -m deploy.prometheus.manifest` writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
RULES: Final = FOLDER / "rules"
MANIFEST: Final = FOLDER.parent / ("kubernetes/components/prometheus-operator/prometheusrule.yaml")
_HEAD: Final = """\
# Made of deploy/prometheus/rules by `python -m deploy.prometheus.manifest`; a test compares.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: bff
  labels: {app.kubernetes.io/name: bff}
spec:
  groups:
"""


def text() -> str:
    """The manifest: the groups of every file of rules, as they are written there."""
    groups = [
        path.read_text(encoding="utf-8").split("groups:\n")[1]
        for path in sorted(RULES.glob("*.yml"))
    ]
    lines = "".join(groups).splitlines()
    return _HEAD + "".join(f"  {line}\n" if line else "\n" for line in lines)


if __name__ == "__main__":
    MANIFEST.write_text(text(), encoding="utf-8")
