"""The tests' own redis-server does what the fault tests take for granted."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.redis_server import (
    HOST,
    Origin,
    RedisServer,
    RedisServerError,
    candidate_ports,
    find_binary,
)

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(params=[Origin.PATH, Origin.WHEEL])
def binary(request: pytest.FixtureRequest) -> Path:
    origin = Origin(request.param)
    try:
        return find_binary(origin)
    except RedisServerError:
        if origin is Origin.WHEEL:
            raise
        pytest.skip("no redis-server on PATH")


@pytest.fixture
def server(binary: Path) -> Iterator[RedisServer]:
    with RedisServer(binary) as running:
        yield running


def connect(server: RedisServer, timeout_s: float = 5.0) -> redis.Redis:
    return redis.Redis.from_url(
        server.url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
    )


def refuses(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == errno.ECONNREFUSED


def test_it_answers_as_the_process_that_it_says(server: RedisServer) -> None:
    with connect(server) as client:
        assert client.ping() is True
        assert int(client.info("server")["process_id"]) == server.pid
    assert server.running


def test_it_runs_the_binary_that_was_asked_for(server: RedisServer, binary: Path) -> None:
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    with connect(server) as client:
        assert f"v={client.info('server')['redis_version']} " in said


def test_the_wheel_is_found_without_a_redis_on_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_binary() == find_binary(Origin.WHEEL)
    with pytest.raises(RedisServerError, match="path"):
        find_binary(Origin.PATH)


def test_persistence_is_off(server: RedisServer) -> None:
    with connect(server) as client:
        assert client.config_get("save") == {"save": ""}
        assert client.config_get("appendonly") == {"appendonly": "no"}
        client.set("k", "v")
        folder = Path(client.config_get("dir")["dir"])
    os.kill(server.pid, signal.SIGTERM)
    deadline = time.monotonic() + 5
    while server.running and time.monotonic() < deadline:
        time.sleep(0.005)
    assert not server.running
    assert [found.name for found in folder.iterdir()] == ["redis.log"]
    server.stop()
    assert not folder.exists()


def test_flush_empties_every_database(server: RedisServer) -> None:
    with connect(server) as client:
        client.set("k", "v")
        client.execute_command("SELECT", 3)
        client.set("k", "v")
        server.flush()
        assert client.info("keyspace") == {}


def test_config_holds_until_the_restart(server: RedisServer) -> None:
    server.config("maxmemory", "3145728")
    with connect(server) as client:
        assert client.config_get("maxmemory") == {"maxmemory": "3145728"}
    server.restart()
    with connect(server) as client:
        assert client.config_get("maxmemory") == {"maxmemory": "0"}


def test_an_unknown_setting_is_an_error(server: RedisServer) -> None:
    with pytest.raises(redis.ResponseError):
        server.config("no-such-setting", "1")


def test_a_killed_server_refuses_and_comes_back_empty_on_its_port(server: RedisServer) -> None:
    port, first = server.port, server.pid
    with connect(server) as client:
        client.set("k", "v")
        server.kill()
        assert not server.running
        assert refuses(port)
        with pytest.raises(ProcessLookupError):
            os.kill(first, 0)
        with pytest.raises(redis.ConnectionError):
            client.get("k")
        server.restart()
        assert client.get("k") is None
    assert server.port == port
    assert server.pid != first


def test_a_dead_server_has_no_pid_and_takes_no_orders(server: RedisServer) -> None:
    server.kill()
    server.kill()
    for order in (server.pause, server.resume, server.flush, lambda: server.pid):
        with pytest.raises(RedisServerError, match="not running"):
            order()
    assert server.url == f"redis://{HOST}:{server.port}/0"


def test_a_paused_server_accepts_and_does_not_answer_until_it_resumes(server: RedisServer) -> None:
    server.pause()
    server.pause()
    assert not refuses(server.port)
    with connect(server, timeout_s=0.1) as client, pytest.raises(redis.TimeoutError):
        client.ping()
    server.resume()
    with connect(server) as client:
        assert client.ping() is True


def test_a_paused_server_can_be_killed_and_restarted(server: RedisServer) -> None:
    server.pause()
    server.restart()
    with connect(server) as client:
        assert client.ping() is True


def test_two_servers_do_not_meet(binary: Path, server: RedisServer) -> None:
    with RedisServer(binary) as other, connect(other) as theirs, connect(server) as ours:
        theirs.set("k", "v")
        assert ours.get("k") is None
        server.kill()
        assert theirs.get("k") == b"v"


def test_a_port_that_another_server_holds_is_left_alone(binary: Path, server: RedisServer) -> None:
    free = next(port for port in candidate_ports() if refuses(port))
    with RedisServer(binary, ports=iter([server.port, free])) as other:
        assert other.port == free
        assert other.pid != server.pid


def test_a_server_that_cannot_start_says_why(binary: Path, server: RedisServer) -> None:
    crowded = RedisServer(binary, ports=iter([server.port] * 10))
    with pytest.raises(RedisServerError, match=r"ended with status 1(.|\n)*bind"):
        crowded.start()
    assert not crowded.running
    with pytest.raises(RedisServerError, match="never started"):
        _ = crowded.url


def test_starting_twice_is_refused(server: RedisServer) -> None:
    first = server.pid
    with pytest.raises(RedisServerError, match="already"):
        server.start()
    assert server.pid == first


def test_stopping_twice_does_nothing_more(server: RedisServer) -> None:
    server.stop()
    server.stop()
    assert not server.running


def test_it_outlives_the_thread_that_started_it(binary: Path) -> None:
    server = RedisServer(binary)
    try:
        with ThreadPoolExecutor(1) as brief:
            brief.submit(server.start).result()
        with connect(server) as client:
            assert client.ping() is True
    finally:
        server.stop()


async def test_it_restarts_from_a_worker_thread_of_an_event_loop(server: RedisServer) -> None:
    before = server.pid
    await asyncio.to_thread(server.restart)
    assert server.pid != before
    server.flush()


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's own")
@pytest.mark.parametrize("paused", [False, True])
def test_it_ends_with_the_tests_when_they_are_killed(
    binary: Path, tmp_path: Path, paused: bool
) -> None:
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from tests.support.redis_server import RedisServer\n"
        "server = RedisServer(Path(sys.argv[1]))\n"
        "server.start()\n"
        "print(server.port, flush=True)\n"
        f"{paused} and server.pause()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    crashed = subprocess.run(
        [sys.executable, "-c", program, str(binary)],
        cwd=REPOSITORY,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert crashed.returncode == -signal.SIGKILL, crashed.stderr
    assert_gone(int(crashed.stdout))


def test_it_ends_with_tests_that_forget_it(binary: Path, tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.support.redis_server import RedisServer\n"
        "server = RedisServer(Path(sys.argv[1]))\n"
        "server.start()\n"
        "print(server.port)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(binary)],
        cwd=REPOSITORY,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert_gone(int(done.stdout))
    assert list(tmp_path.iterdir()) == []


def test_a_fork_that_exits_leaves_the_server_alone(binary: Path, tmp_path: Path) -> None:
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from tests.support.redis_server import RedisServer\n"
        "with RedisServer(Path(sys.argv[1])) as server:\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        sys.exit()\n"
        "    os.waitpid(child, 0)\n"
        "    server.flush()\n"
    )
    subprocess.run(
        [sys.executable, "-c", program, str(binary)],
        cwd=REPOSITORY,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        check=True,
    )


def assert_gone(port: int) -> None:
    deadline = time.monotonic() + 5
    while not refuses(port):
        assert time.monotonic() < deadline, "redis-server outlived the process that started it"
        time.sleep(0.005)


class TestFixtures:
    """Each test leaves a key behind and finds none: the order does not matter."""

    @pytest.mark.parametrize("round_", [1, 2])
    def test_the_shared_server_is_empty_for_each_test(self, redis_url: str, round_: int) -> None:
        with redis.Redis.from_url(redis_url) as client:
            assert client.dbsize() == 0
            client.set("left behind", round_)

    def test_the_shared_server_is_one(self, redis_url: str, redis_server: RedisServer) -> None:
        assert redis_url == redis_server.url

    def test_an_own_server_is_not_the_shared_one(
        self, own_redis: RedisServer, redis_server: RedisServer
    ) -> None:
        own_redis.kill()
        assert redis_server.running


@pytest.mark.parametrize("worker", ["gw0", "gw1", "gw11"])
def test_no_two_processes_of_a_run_draw_the_same_port(
    monkeypatch: pytest.MonkeyPatch, worker: str
) -> None:
    def drawn(by: str) -> list[int]:
        monkeypatch.setenv("PYTEST_XDIST_WORKER", by)
        return [*itertools.islice(candidate_ports.__wrapped__(), 1_500)]

    own, other = drawn(worker), drawn("gw2")
    assert len(set(own)) == len(own), "each once"
    assert not set(own) & set(other)
