"""compose.yaml and what is beside it fit each other and the gateway; no container engine needed."""

from __future__ import annotations

import re
import stat
import subprocess
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from bff.serve import HEAD_TIMEOUT_S
from bff.settings import Settings, load
from tests.deploy.places import (
    COMPOSE,
    DEPLOY,
    HOW_TO_GET_OPENSSL,
    OPENSSL,
    PROMETHEUS,
    compose,
    read_yaml,
    seconds,
)

GATEWAYS = ("gateway-a", "gateway-b")
NGINX = (DEPLOY / "nginx" / "nginx.conf").read_text(encoding="utf-8")
UPSTREAM = (DEPLOY / "nginx" / "upstream.conf").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `prepare` makes."""
    if OPENSSL is None:
        pytest.skip(HOW_TO_GET_OPENSSL)
    folder = tmp_path_factory.mktemp("compose") / "secrets"
    subprocess.run([COMPOSE / "prepare", folder], check=True, capture_output=True, timeout=30)
    return folder


def settings_of(service: Mapping[str, Any], secrets: Path) -> Settings:
    """The gateway's settings in that container."""
    lines = (COMPOSE / service["env_file"][0]).read_text(encoding="utf-8").splitlines()
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    environment = {name: value for name, _, value in pairs} | service["environment"]
    assert environment["BFF_CONFIG"] == "/run/secrets/bff_config"
    assert compose()["secrets"]["bff_config"]["file"] == "secrets/bff.toml"
    return load({**environment, "BFF_CONFIG": str(secrets / "bff.toml")})


def services() -> Iterator[tuple[str, dict[str, Any]]]:
    yield from compose()["services"].items()


@pytest.mark.parametrize("name", GATEWAYS)
def test_the_gateways_understand_their_settings(name: str, secrets: Path) -> None:
    settings = settings_of(compose()["services"][name], secrets)
    settings.check_workers(settings.workers)
    assert str(settings.redis_url) == "redis://***@redis:6379/0"
    assert {str(each) for each in settings.ops_tokens} == {"prometheus:read", "operator:act"}


def test_both_gateways_are_the_same(secrets: Path) -> None:
    one, other = (compose()["services"][name] for name in GATEWAYS)
    assert one | {"networks": ""} == other | {"networks": ""}


def test_the_secrets_belong_together(secrets: Path) -> None:
    config = (secrets / "bff.toml").read_text()
    token = (secrets / "prometheus_token").read_text()
    assert f'"prometheus:read" = "{token}"' in config
    found = re.search(r"redis://bff:(\w+)@", config)
    assert found is not None
    users = (secrets / "redis_users").read_text()
    assert f"#{sha256(found[1].encode()).hexdigest()}" in users
    assert found[1] not in users
    values = set(re.findall(r"\b[0-9a-f]{48,}\b", config))
    assert len(values) == 4, "each secret is another one"


def test_secrets_are_closed_to_others_and_never_made_twice(secrets: Path) -> None:
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    before = {path: path.read_bytes() for path in secrets.iterdir()}
    command = [COMPOSE / "prepare", secrets]
    again = subprocess.run(command, check=False, capture_output=True, timeout=30)
    assert again.returncode == 1
    assert {path: path.read_bytes() for path in secrets.iterdir()} == before


def test_every_secret_is_a_file_that_prepare_makes(secrets: Path) -> None:
    made = {f"secrets/{path.name}" for path in secrets.iterdir()}
    assert {each["file"] for each in compose()["secrets"].values()} == made
    assert "secrets/" in (COMPOSE / ".gitignore").read_text().splitlines()
    used = {secret for _, service in services() for secret in service.get("secrets", ())}
    assert used == compose()["secrets"].keys()


def test_every_mounted_file_is_there() -> None:
    # What the operator brings: the certificate.
    for _, service in services():
        for mount in service.get("volumes", ()):
            source, target, *how = mount.split(":")
            if source.startswith(".") and source != "./tls":
                assert (COMPOSE / source).exists(), mount
                assert how == ["ro"], mount
            elif source != "./tls":
                assert source in compose()["volumes"], mount
            assert target.startswith("/")


@pytest.mark.parametrize("name", [name for name, _ in services()])
def test_a_container_may_do_what_it_needs_and_no_more(name: str) -> None:
    service = compose()["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    limits = service["deploy"]["resources"]["limits"]
    assert limits.keys() == {"cpus", "memory", "pids"}
    assert re.fullmatch(r"[\w./-]+:v?[0-9]+\.[0-9]+\.[0-9]+[\w.-]*", service["image"])
    if name not in GATEWAYS:  # theirs is in the image
        assert service["healthcheck"]["test"][0] == "CMD"


def test_nothing_but_nginx_is_seen_from_outside() -> None:
    for name, service in services():
        for port in service.get("ports", ()):
            assert name == "nginx" or port.startswith("127.0.0.1:"), (name, port)
    networks = compose()["networks"]
    assert networks["store"]["internal"] is networks["inside"]["internal"] is True
    stored = {name for name, service in services() if "store" in service["networks"]}
    assert stored == {*GATEWAYS, "redis"}


def test_nginx_and_prometheus_find_the_gateways() -> None:
    addresses = [
        compose()["services"][name]["networks"]["inside"]["ipv4_address"] for name in GATEWAYS
    ]
    assert re.findall(r"server (\S+):8080 ", UPSTREAM) == addresses
    jobs = {
        each["job_name"]: each
        for each in read_yaml(PROMETHEUS / "prometheus.yml")["scrape_configs"]
    }
    assert jobs["bff"]["static_configs"][0]["targets"] == [f"{name}:8080" for name in GATEWAYS]
    secret = jobs["bff"]["authorization"]["credentials_file"].removeprefix("/run/secrets/")
    assert secret in compose()["services"]["prometheus"]["secrets"]


def test_a_gateway_has_time_to_stop(secrets: Path) -> None:
    for name in GATEWAYS:
        service = compose()["services"][name]
        settings = settings_of(service, secrets)
        assert settings.drain_s > 0
        needed = settings.drain_s + settings.stop_timeout_s + 1
        assert seconds(service["stop_grace_period"]) > needed


def test_timeouts_nest(secrets: Path) -> None:
    """Whoever stands further back, and can say why, gives up first."""
    settings = settings_of(compose()["services"][GATEWAYS[0]], secrets)
    passed, bootstrap, *_ = re.findall(r"proxy_read_timeout (\w+);", NGINX)
    assert seconds(passed) > settings.stream_timeout_s
    assert seconds(bootstrap) > settings.deadline_s
    idle = re.search(r"keepalive_timeout (\w+);", UPSTREAM)
    assert idle is not None
    assert seconds(idle[1]) < HEAD_TIMEOUT_S
    body = re.search(r"client_max_body_size (\d+)m;", NGINX)
    assert body is not None
    assert int(body[1]) * 2**20 > settings.max_body


def test_nginx_lists_the_origins_that_the_gateways_know(secrets: Path) -> None:
    listed = (DEPLOY / "nginx" / "origins.conf").read_text(encoding="utf-8")
    known = settings_of(compose()["services"]["gateway-a"], secrets).cors_origins
    assert re.findall(r"^(\S+) 1;$", listed, re.MULTILINE) == [*known]
    # The examples are the same, too.
    example = (COMPOSE / "gateway.env").read_text(encoding="utf-8")
    [origins] = re.findall(r"^# BFF_CORS_ORIGINS=(\S+)$", example, re.MULTILINE)
    assert re.findall(r"^# (\S+) 1;$", listed, re.MULTILINE) == [origins]


def test_nginx_has_every_file_that_it_includes() -> None:
    mounted = {each.split(":")[1] for each in compose()["services"]["nginx"]["volumes"]}
    files = {file.name for file in (DEPLOY / "nginx").iterdir()}
    assert files == set(re.findall(r"include (\S+);", NGINX)) | {"nginx.conf"}
    assert {f"/etc/nginx/{name}" for name in files} <= mounted


def test_nginx_is_asked_for_its_health_where_it_tells() -> None:
    listens = re.search(r"listen (127\.0\.0\.1:\d+);", NGINX)
    assert listens is not None
    asked = compose()["services"]["nginx"]["healthcheck"]["test"]
    assert asked[-1] == f"http://{listens[1]}/"


def test_redis_fits_into_its_container() -> None:
    conf = (DEPLOY / "redis" / "redis.conf").read_text(encoding="utf-8")
    maxmemory = re.search(r"^maxmemory (\d+)mb$", conf, re.MULTILINE)
    assert maxmemory is not None
    limit = compose()["services"]["redis"]["deploy"]["resources"]["limits"]["memory"]
    assert int(limit.removesuffix("M")) >= 2 * int(maxmemory[1])
