"""What `bff serve` looks at before it serves, and how the server's own lines are written."""

from __future__ import annotations

import logging
import socket

import pytest
from structlog.testing import capture_logs

from bff.serve import ServerLog, free_address
from bff.terminal import CommandFailed
from tests.e2e.commands import free_port, taken_port


def test_a_free_port_gives_the_address_to_listen_on() -> None:
    assert free_address("127.0.0.1", free_port()) == "127.0.0.1"


def test_a_name_becomes_an_address() -> None:
    assert free_address("localhost", free_port()) == "127.0.0.1"


def test_a_port_in_time_wait_is_free() -> None:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", free_port()))
        server.listen()
        port: int = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = server.accept()
            accepted.close()  # who closes first is left in TIME_WAIT
            assert client.recv(1) == b""
    assert free_address("127.0.0.1", port) == "127.0.0.1"


def test_a_port_shared_by_workers_is_taken() -> None:
    with socket.socket() as worker:
        worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        worker.bind(("127.0.0.1", 0))
        worker.listen()
        with pytest.raises(CommandFailed, match="is taken"):
            free_address("127.0.0.1", worker.getsockname()[1])


@pytest.mark.parametrize(
    ("host", "sentence"),
    [
        ("192.0.2.1", r"192\.0\.2\.1 is not an address of this machine\."),
        ("no such host", r"no such host is not a name of this machine: .*\."),
        ("a..b", r"a\.\.b is not a name of this machine\."),
    ],
)
def test_an_address_of_another_machine_is_told(host: str, sentence: str) -> None:
    with pytest.raises(CommandFailed, match=rf"\A{sentence}\Z"):
        free_address(host, free_port())


def test_the_option_to_choose_another_port_is_named() -> None:
    with taken_port() as port, pytest.raises(CommandFailed, match="with --sandbox-port"):
        free_address("127.0.0.1", port, "--sandbox-port")


def test_lines_of_the_server_are_ours_without_its_tracebacks() -> None:
    record = logging.LogRecord(
        "_granian", logging.ERROR, "", 0, "Failed\nTraceback: token=%s", ("canary",), None
    )
    with capture_logs() as lines:
        ServerLog().emit(record)
    assert lines == [{"event": "server", "message": "Failed", "log_level": "error"}]
