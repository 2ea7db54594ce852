"""`bff serve` and `bff sandbox` as processes: start, stop, replaced workers, bounded heads."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.e2e.commands import (
    HOST,
    Command,
    answers,
    bff,
    children_of,
    environment,
    free_port,
    is_alive,
    is_free,
    until,
)

UPSTREAM = "http://127.0.0.1:9"
STOP_TIMEOUT_S = 10
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


class Gateway:
    """A running `bff serve`."""

    def __init__(self, command: Command, port: int, file: Path | None = None) -> None:
        self.command = command
        self.port = port
        self.file = file
        self.url = f"http://{HOST}:{port}"

    @property
    def pid(self) -> int:
        return self.command.process.pid


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One gateway that several tests look at; it is set up by a file and variables only."""
    port = free_port()
    file = tmp_path_factory.mktemp("serve") / "bff.toml"
    file.write_text(f'upstream = "{UPSTREAM}"\n', encoding="utf-8")
    variables = {"BFF_CONFIG": str(file), "BFF_HOST": "localhost", "BFF_PORT": str(port)}
    with Command("serve", **variables) as command:
        command.serves(f"http://{HOST}:{port}/readyz")
        yield Gateway(command, port, file)


@contextmanager
def serving(*options: str, **variables: str) -> Iterator[Gateway]:
    """A gateway of the test's own, to be ended by it."""
    port = free_port()
    with Command("serve", "--port", str(port), *options, BFF_UPSTREAM=UPSTREAM, **variables) as own:
        own.serves(f"http://{HOST}:{port}/readyz")
        yield Gateway(own, port)


@pytest.mark.unmeasured
def test_sigterm_ends_it_cleanly_although_a_connection_is_open() -> None:
    with serving() as gateway:
        with httpx.Client(base_url=gateway.url, trust_env=False, verify=False) as client:
            assert client.get("/healthz").status_code == 200
            gateway.command.process.terminate()
            assert gateway.command.ends() == 0
        assert "Traceback" not in gateway.command.output
        assert is_free(gateway.port)


@pytest.mark.unmeasured
def test_ctrl_c_ends_all_workers_cleanly(redis_url: str) -> None:
    variables = {"BFF_REDIS_URL": redis_url, "BFF_SECRET": "s" * 32}
    with serving("--workers", "2", **variables) as gateway:
        if sys.platform == "linux":
            assert len(children_of(gateway.pid)) == 2
        began = time.monotonic()
        gateway.command.interrupt()
        assert gateway.command.ends() == 0
        assert time.monotonic() - began < STOP_TIMEOUT_S  # nobody had to be killed
        assert "Traceback" not in gateway.command.output
        assert is_free(gateway.port)


@linux_only
def test_workers_do_not_outlive_the_server() -> None:
    with serving() as gateway:
        (worker,) = children_of(gateway.pid)
        gateway.command.process.kill()
        until("the worker to end", lambda: not is_alive(worker))
        assert is_free(gateway.port)


@linux_only
def test_a_worker_that_dies_is_replaced_whatever_the_file_says_by_then(shared: Gateway) -> None:
    assert shared.file is not None
    shared.file.write_text("under = construction", encoding="utf-8")
    (worker,) = children_of(shared.pid)
    os.kill(worker, signal.SIGKILL)
    until("a new worker", lambda: children_of(shared.pid) not in ([worker], []))
    shared.command.serves(f"{shared.url}/readyz")
    shared.command.says("Unexpected exit from worker-1")


def test_a_request_head_without_an_end_is_refused(shared: Gateway) -> None:
    with socket.create_connection((HOST, shared.port), timeout=10) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 200_000)
        assert connection.recv(4096).startswith(b"HTTP/1.1 431 ")


def test_http2_without_tls_is_not_spoken(shared: Gateway) -> None:
    with socket.create_connection((HOST, shared.port), timeout=10) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
        assert connection.recv(4096)[:5] in (b"", b"HTTP/")


def test_another_gateway_on_the_same_port_is_told_in_one_sentence(shared: Gateway) -> None:
    done = bff("serve", "--port", str(shared.port), BFF_UPSTREAM=UPSTREAM, BFF_LOG_LEVEL="warning")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        f"bff: Port {shared.port} of 127.0.0.1 is taken: end the program that has it, or choose"
        " another with --port.\n"
    )


def test_workers_that_keep_ending_end_the_command() -> None:
    program = (
        "from bff.serve import *\n"
        "try: serve(Plan('tests.e2e.broken:create_app', '127.0.0.1', 0))\n"
        "except CommandFailed as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stdout.splitlines()[-1] == "The workers keep ending; the lines above say why."


@pytest.mark.unmeasured
def test_the_sandbox_is_set_up_by_its_options() -> None:
    port = free_port()
    options = ("--space", "acme", "--members", "0", "--demo-token", "t-jane", "--no-throttle")
    with Command("sandbox", "--port", str(port), *options) as command:
        url = f"http://{HOST}:{port}"
        command.serves(f"{url}/_sandbox/healthz")
        command.says(f"Simulated Nexudus, space acme, at {url}")
        headers = {"authorization": "Bearer t-jane"}
        for _ in range(3):
            found = httpx.get(f"{url}/api/public/coworkers/profiles", headers=headers)
            assert found.json()["DefaultBusiness"]["WebAddress"] == "acme"
        assert len(httpx.get(f"{url}/_sandbox/members").json()) == 10
        command.interrupt()
        assert command.ends() == 0
    assert "Traceback" not in command.output
    assert not answers(f"{url}/_sandbox/healthz")


@pytest.mark.unmeasured
def test_what_is_ready_is_answered_on_the_server_s_own_thread() -> None:
    """The private part of granian that this rests on is there, and does what it is taken for."""
    port = free_port()
    code = (
        "from bff.serve import Plan, serve\n"
        f"serve(Plan('tests.e2e.hot_app:create_app', '127.0.0.1', {port}))\n"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        try:
            until("answers", lambda: answers(f"http://{HOST}:{port}/other"))
            with httpx.Client(
                base_url=f"http://{HOST}:{port}", trust_env=False, verify=False
            ) as client:
                told = [client.get(path).text for path in ("/hot", "/other", "/hot")]
        finally:
            process.terminate()
    assert told == ["server False", "loop True", "server False"]
    assert process.returncode == 0
