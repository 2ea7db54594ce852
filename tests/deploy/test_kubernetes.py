"""The Kubernetes manifests: built, held against the API's schemas, and against the gateway.

Schemas are those that `kubernetes-validate` brings. It has none for the Prometheus operator's two
kinds, which are looked at by their structure only.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from bff.settings import load
from tests.deploy.places import DEPLOY, HOW_TO_GET_KUBECTL, KUBECTL, alerts, read_yaml

KUBERNETES = DEPLOY / "kubernetes"
EXAMPLE = KUBERNETES / "overlays" / "example"
OLDEST, NEWEST = "1.31", kubernetes_validate.latest_version()
CUSTOM = {"ServiceMonitor", "PrometheusRule"}


def kustomize_major() -> int:
    """Of the kustomize within kubectl; 0 where there is none, or one too old to tell."""
    if KUBECTL is None:
        return 0
    command = [KUBECTL, "version", "--client", "--output=json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    found = re.search(r'"kustomizeVersion": "v(\d+)', done.stdout)
    return int(found[1]) if found else 0


def resources(folder: Path) -> list[Path]:
    """Every file that a kustomization leads to, others followed. All have to be there."""
    kustomization = read_yaml(folder / "kustomization.yaml")
    found: list[Path] = []
    for name in (*kustomization.get("resources", ()), *kustomization.get("components", ())):
        path = (folder / name).resolve()
        found += resources(path) if path.is_dir() else [path]
    for generator in kustomization.get("configMapGenerator", ()):
        for name in generator.get("envs", ()):
            assert (folder / name).is_file(), name
    return found


def written() -> dict[str, dict[str, Any]]:
    """The manifests as they are in the files, by kind, without what the kustomizations add."""
    texts = (path.read_text(encoding="utf-8") for path in resources(EXAMPLE))
    return named(each for text in texts for each in yaml.safe_load_all(text))


def named(manifests: Iterable[Any]) -> dict[str, dict[str, Any]]:
    """By kind, where there is one of a kind; the others have their names behind it."""
    found: dict[str, dict[str, Any]] = {}
    for each in manifests:
        kind, name = each["kind"], each["metadata"]["name"]
        generated = kind == "ConfigMap"  # with a digest in its name
        key = kind if name == "bff" or generated else f"{kind} {name}"
        assert key not in found
        found[key] = each
    return found


@pytest.fixture(scope="module")
def built() -> dict[str, dict[str, Any]]:
    """What `kubectl apply -k` would send, by kind."""
    if kustomize_major() < 5:
        pytest.skip(HOW_TO_GET_KUBECTL)
    command = [str(KUBECTL), "kustomize", str(EXAMPLE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return named(yaml.safe_load_all(done.stdout))


def pod(manifests: dict[str, dict[str, Any]]) -> dict[str, Any]:
    spec = manifests["Deployment"]["spec"]["template"]["spec"]
    assert isinstance(spec, dict)
    return spec


def container(manifests: dict[str, dict[str, Any]]) -> dict[str, Any]:
    (only,) = pod(manifests)["containers"]
    assert isinstance(only, dict)
    return only


def test_every_file_is_used() -> None:
    used = set(resources(EXAMPLE))
    there = {path for path in KUBERNETES.rglob("*.yaml") if path.name != "kustomization.yaml"}
    assert used == there


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_file_fits_its_schema(version: str) -> None:
    for kind, manifest in written().items():
        if kind not in CUSTOM:
            kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_what_is_built_fits_its_schema(built: dict[str, dict[str, Any]], version: str) -> None:
    assert built.keys() == written().keys() | {"ConfigMap"}
    for kind, manifest in built.items():
        if kind not in CUSTOM:
            kubernetes_validate.validate(manifest, version, strict=True)


def test_building_changes_nobodys_selector(built: dict[str, dict[str, Any]]) -> None:
    """A label put into all selectors would let in the gateway itself, and not the ingress."""
    before, after = (each["NetworkPolicy"]["spec"] for each in (written(), built))
    assert before == after
    labels = built["Deployment"]["spec"]["template"]["metadata"]["labels"]
    for selector in (
        built["Deployment"]["spec"]["selector"]["matchLabels"],
        built["Service"]["spec"]["selector"],
        built["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        built["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        *(each["labelSelector"]["matchLabels"] for each in pod(built)["topologySpreadConstraints"]),
    ):
        assert selector.items() <= labels.items()
    monitored = built["ServiceMonitor"]["spec"]["selector"]["matchLabels"]
    assert monitored.items() <= built["Service"]["metadata"]["labels"].items()


def test_the_gateway_understands_its_settings(
    built: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    config = built["ConfigMap"]
    (source,) = container(built)["envFrom"]
    assert source["configMapRef"]["name"] == config["metadata"]["name"]
    assert re.fullmatch(r"bff-\w+", config["metadata"]["name"]), "a change rolls the pods"
    (mount,) = [each for each in container(built)["volumeMounts"] if each["name"] == "config"]
    file = tmp_path / "bff.toml"
    file.write_text(f'secret = "{"s" * 32}"\nredis_url = "redis://bff:x@redis:6379/0"\n')
    assert config["data"]["BFF_CONFIG"] == f"{mount['mountPath']}/{file.name}"
    settings = load({**config["data"], "BFF_CONFIG": str(file)})
    settings.check_workers(settings.workers)
    assert {space.name for space in settings.space_table.spaces} == {"acme", "beta"}
    hosts = {rule["host"] for rule in built["Ingress"]["spec"]["rules"]}
    assert hosts == {"members.acme.example", "members.beta.example"}
    before_s = float(container(built)["lifecycle"]["preStop"]["exec"]["command"][1])
    assert settings.drain_s == 0, "instead of it, not beside it"
    needed = before_s + settings.stop_timeout_s + 1
    assert pod(built)["terminationGracePeriodSeconds"] > needed


def test_the_pod_is_restricted() -> None:
    """What the `restricted` profile of the pod security standards asks for, and a little more."""
    manifests = written()
    whole, own = pod(manifests)["securityContext"], container(manifests)["securityContext"]
    assert whole["runAsNonRoot"] is True
    assert whole["runAsUser"] == whole["runAsGroup"] == 10001
    assert whole["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own["allowPrivilegeEscalation"] is own["privileged"] is False
    assert own["readOnlyRootFilesystem"] is True
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert pod(manifests)["automountServiceAccountToken"] is False
    assert pod(manifests)["enableServiceLinks"] is False
    labels = manifests["Namespace"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    mounts = {each["name"] for each in container(manifests)["volumeMounts"]}
    assert mounts == {each["name"] for each in pod(manifests)["volumes"]}
    dockerfile = (DEPLOY / "docker" / "Dockerfile").read_text(encoding="utf-8")
    assert f"USER {whole['runAsUser']}:{whole['runAsGroup']}" in dockerfile


def test_probes_ask_what_they_are_for() -> None:
    probes = {
        name: container(written())[f"{name}Probe"] for name in ("startup", "readiness", "liveness")
    }
    paths = {name: probe["httpGet"]["path"] for name, probe in probes.items()}
    assert paths == {"startup": "/healthz", "readiness": "/readyz", "liveness": "/healthz"}
    patience = {
        name: probe["periodSeconds"] * probe["failureThreshold"] for name, probe in probes.items()
    }
    assert patience["readiness"] < patience["liveness"], "taken out long before it is ended"


def test_the_autoscaler_alone_says_how_many() -> None:
    manifests = written()
    assert "replicas" not in manifests["Deployment"]["spec"]
    scaled = manifests["HorizontalPodAutoscaler"]["spec"]
    named = manifests["Deployment"]["metadata"]["name"]
    assert scaled["scaleTargetRef"] == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": named,
    }
    budget = manifests["PodDisruptionBudget"]["spec"]["maxUnavailable"]
    assert scaled["minReplicas"] > budget
    assert container(manifests)["resources"]["requests"]["cpu"], "a share of it is what is aimed at"


def test_the_monitor_finds_the_service_and_its_token() -> None:
    """By structure: there is no schema of the Prometheus operator's kinds here."""
    monitor, service = written()["ServiceMonitor"], written()["Service"]
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    assert monitor["spec"]["selector"]["matchLabels"] == service["spec"]["selector"]
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert endpoint["path"] == "/metrics"
    secret = endpoint["authorization"]["credentials"]
    assert secret["name"] == pod(written())["volumes"][0]["secret"]["secretName"]
    # `job` is what the rules ask for: the value of this label of the Service.
    assert monitor["spec"]["jobLabel"] == "app.kubernetes.io/name"
    assert service["spec"]["selector"]["app.kubernetes.io/name"] == "bff"
    assert 'job="bff"' in alerts()["BffTargetDown"]["expr"]


def test_operators_doors_are_open_to_few_and_metrics_to_nobody() -> None:
    ranges = "nginx.ingress.kubernetes.io/whitelist-source-range"
    doors = {
        (rule["host"], path["path"]): manifest["metadata"]["annotations"].get(ranges)
        for kind, manifest in written().items()
        if kind.startswith("Ingress")
        for rule in manifest["spec"]["rules"]
        for path in rule["http"]["paths"]
    }
    hosts = {host for host, path in doors if path == "/"}
    assert len(hosts) == 2
    for host in hosts:
        assert doors[host, "/"] is None
        assert doors[host, "/metrics"] == "127.0.0.1/32"
        assert doors[host, "/ops"] is not None
