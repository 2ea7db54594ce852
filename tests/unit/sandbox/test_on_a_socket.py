"""What only a server and a socket can show: broken bodies, cut connections, clients that leave."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.unit.sandbox.space import PROFILES

DEADLINE_S = 15.0
FILE = "/api/public/files/1"


def free_port() -> int:
    """Below the ephemeral range, where a client that knocks too early could meet itself."""
    for port in random.sample(range(20_000, 32_000), 50):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port")


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """A client of a sandbox that granian serves from the environment's settings."""
    port = free_port()
    granian = Path(sys.executable).with_name("granian")
    command = [str(granian), "--interface", "asgi", "--factory", "--port", str(port)]
    environment = {
        **os.environ,
        "BFF_SANDBOX_MEMBERS": "5",
        "BFF_SANDBOX_THROTTLE": "off",
        "BFF_SANDBOX_DEMO_TOKEN": "demo",
    }
    with (
        subprocess.Popen(
            [*command, "--log-level", "critical", "bff.sandbox.app:create_app_from_env"],
            env=environment,
        ) as server,
        httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            headers={"Authorization": "Bearer demo", "Accept": "application/json"},
            timeout=DEADLINE_S,
        ) as client,
    ):

        def healthy() -> bool:
            assert server.poll() is None, "the server ended"
            with contextlib.suppress(httpx.TransportError):
                return client.get("/_sandbox/healthz").status_code == 200
            return False

        until(healthy)
        yield client
        server.terminate()


@pytest.fixture(autouse=True)
def calm(client: httpx.Client) -> Iterator[None]:
    yield
    client.delete("/_sandbox/faults")
    client.delete("/_sandbox/calls")


def put(client: httpx.Client, **effect: object) -> None:
    rule = {"effect": effect, "match": {"path_prefix": "/api"}}
    client.put("/_sandbox/faults", json=[rule]).raise_for_status()


def in_flight(client: httpx.Client) -> int:
    number: int = client.get("/_sandbox/calls").json()["in_flight"]
    return number


def test_it_serves(client: httpx.Client) -> None:
    answer = client.get(PROFILES)
    assert answer.json()["User"]["AccessToken"] == "demo"
    form = {"grant_type": "password", "username": "jane.doe@example.com", "password": "demo"}
    session = client.post("/api/token", data=form, headers={"client_id": "phone"}).json()
    renewal = {"grant_type": "refresh_token", "refresh_token": session["refresh_token"]}
    assert client.post("/api/token", data=renewal).status_code == 400
    renewed = client.post("/api/token", data=renewal, headers={"client_id": "phone"})
    assert renewed.status_code == 200


def test_the_target_arrives_undecoded(client: httpx.Client) -> None:
    seen = client.get("/api/public/_echo/a%2Fb/%20;c?x=%2F&x=1").json()
    assert (seen["RawPath"], seen["RawQuery"]) == ("/api/public/_echo/a%2Fb/%20;c", "x=%2F&x=1")


def test_a_body_shorter_than_promised_breaks_the_connection(client: httpx.Client) -> None:
    put(client, kind="truncate", mode="length")
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(PROFILES)


def test_cut_json_is_sound_http(client: httpx.Client) -> None:
    put(client, kind="truncate", mode="json")
    answer = client.get(PROFILES)
    assert answer.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        answer.json()


@pytest.mark.parametrize("after", [None, 1, 10**9])
@pytest.mark.parametrize("path", [PROFILES, f"{FILE}?bytes=200000"])
def test_a_reset_breaks_the_connection_mid_body(
    client: httpx.Client, path: str, after: int | None
) -> None:
    put(client, kind="reset", after_bytes=after)
    received = b""
    with client.stream("GET", path) as answer:
        assert answer.status_code == 200
        promised = int(answer.headers["content-length"])
        with pytest.raises(httpx.RemoteProtocolError):
            for part in answer.iter_raw():
                received += part
    assert 0 < len(received) < promised


def test_a_slow_body_comes_at_its_speed(client: httpx.Client) -> None:
    whole = len(client.get(PROFILES).content)
    put(client, kind="slow_body", bytes_per_second=whole * 4)
    started = time.monotonic()
    assert len(client.get(PROFILES).content) == whole
    assert time.monotonic() - started > 0.2


@pytest.mark.parametrize("path", [PROFILES, FILE])
@pytest.mark.parametrize("at", ["request", "answer"])
def test_a_hang_ends_when_the_client_leaves(client: httpx.Client, at: str, path: str) -> None:
    put(client, kind="hang", at=at)
    with pytest.raises(httpx.ReadTimeout):
        client.get(path, timeout=0.1)
    until(lambda: client.get("/_sandbox/held").json() == {"held": 0})
    until(lambda: in_flight(client) == 0)
    statuses = [each["status"] for each in client.get("/_sandbox/calls").json()["calls"]]
    assert statuses == [499]


def test_a_file_of_any_size_starts_at_once_and_stops_when_nobody_reads(
    client: httpx.Client,
) -> None:
    with client.stream("GET", f"{FILE}?bytes=2000000000") as answer:
        assert answer.headers["content-length"] == "2000000000"
        assert len(next(answer.iter_raw())) > 0
        assert in_flight(client) == 1
    until(lambda: in_flight(client) == 0)


def test_head_has_no_body(client: httpx.Client) -> None:
    answer = client.head(f"{FILE}?bytes=5000")
    assert (answer.headers["content-length"], answer.content) == ("5000", b"")
