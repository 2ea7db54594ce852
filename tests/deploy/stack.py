"""What compose.yaml describes, without containers: the same files, processes on loopback.

Redis with its configuration and users, a simulated Nexudus, two gateways of two workers with the
container's settings, nginx with TLS before them, Prometheus beside. Only ports, folders, addresses
and intervals are other ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

from tests.deploy.front import Ports, client_of, nginx_folder, run_nginx
from tests.deploy.places import COMPOSE, DEPLOY, PROMETHEUS, PROMETHEUS_SERVER, compose, read_yaml
from tests.e2e.commands import HOST, free_port, unmeasured
from tests.support.fleet import Nexudus, Terms
from tests.support.processes import program
from tests.support.redis_server import Origin, find_binary
from tests.support.tls import TestTls

GATEWAYS: Final = ("gateway-a", "gateway-b")
SCRAPED_EACH: Final = "400ms"
TERMS: Final = Terms(members=20, latency_ms="2")
OWN: Final = {
    "BFF_DRAIN_S": "1",
    "BFF_STOP_TIMEOUT_S": "5",
    "BFF_SENTINEL_RATE": "1",
    "BFF_BREAKER_FAILURES": "4",
    "BFF_BREAKER_OPEN_S": "1",
    "BFF_RETRIES": "1",
    "BFF_READ_TIMEOUT_S": "2",
    # A busy machine is slow, and its Redis never away.
    "BFF_REDIS_TIMEOUT_MS": "5000",
    "BFF_BUDGET_CALLS": ",".join(map(str, TERMS.limits)),
    "BFF_LOG_LEVEL": "warning",
}
"""Settings of the gateways that are not those of the container: what a test can wait for."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """One `bff serve`."""

    origin: str
    process: Process

    async def end(self) -> int:
        """SIGTERM; its exit code."""
        self.process.terminate()
        return await self.process.wait()


@dataclass(frozen=True, slots=True)
class Stack:
    """Everything that runs. `outside`: nginx' origin."""

    folder: Path
    nexudus: Nexudus
    gateways: tuple[Gateway, ...]
    redis: Process
    redis_port: int
    outside: str
    prometheus: httpx.AsyncClient
    tls: TestTls

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets"

    @property
    def operator_token(self) -> str:
        """Of the operator who may act."""
        return _secret(self.secrets, r'"operator:act" = "(\w+)"')

    @property
    def redis_password(self) -> str:
        return _secret(self.secrets, r"redis://bff:(\w+)@")

    @property
    def nginx_log(self) -> str:
        return (self.folder / "nginx.log").read_text()

    @asynccontextmanager
    async def app(self, address: str = HOST) -> AsyncIterator[httpx.AsyncClient]:
        """An app: HTTP/2 over TLS, from that address of this machine."""
        transport = httpx.AsyncHTTPTransport(
            http2=True, verify=self.tls.client(), local_address=address, trust_env=False
        )
        async with httpx.AsyncClient(
            base_url=self.outside, transport=transport, timeout=20, trust_env=False
        ) as client:
            yield client

    async def redis_ends(self) -> None:
        """It is gone for good."""
        self.redis.terminate()
        await self.redis.wait()

    async def query(self, expr: str) -> list[dict[str, Any]]:
        """The series that an expression has now. Raises AssertionError where it is refused."""
        answer = await self.prometheus.post("/api/v1/query", data={"query": expr})
        assert answer.status_code == 200, answer.text
        return list(answer.json()["data"]["result"])


@asynccontextmanager
async def stack(folder: Path) -> AsyncIterator[Stack]:
    """Everything, answering."""
    _prepare(folder)
    redis_port, nexudus_port, prometheus_port = (free_port() for _ in range(3))
    front = Ports(free_port(), free_port(), free_port())
    ports = {name: free_port() for name in GATEWAYS}
    config = folder / "bff.toml"
    text = (folder / "secrets" / "bff.toml").read_text()
    assert "@redis:6379/" in text
    config.write_text(text.replace("@redis:6379/", f"@{HOST}:{redis_port}/"))
    tls = TestTls(folder)
    async with contextlib.AsyncExitStack() as running:
        start = running.enter_async_context
        nexudus = Nexudus(f"http://{HOST}:{nexudus_port}")
        running.push_async_callback(nexudus.aclose)
        # Prometheus first: whom to scrape it learns some seconds after its start.
        redis, *_ = await asyncio.gather(
            start(_redis(folder, redis_port)),
            start(_sandbox(folder, nexudus_port)),
            start(_prometheus(folder, prometheus_port, list(ports.values()))),
        )
        await nexudus.throttle(TERMS, enabled=True)
        own = {**OWN, "BFF_CONFIG": str(config), "BFF_UPSTREAM": nexudus.url}
        gateways = await asyncio.gather(
            *(start(_gateway(folder, name, port, own)) for name, port in ports.items())
        )
        await start(_nginx(folder, front, list(ports.values())))
        yield Stack(
            folder,
            nexudus,
            tuple(Gateway(f"http://{HOST}:{ports[name]}", each)
                  for name, each in zip(GATEWAYS, gateways, strict=True)),
            redis,
            redis_port,
            f"https://{HOST}:{front.tls}",
            await start(client_of(f"http://{HOST}:{prometheus_port}")),
            tls,
        )  # fmt: skip


def _prepare(folder: Path) -> None:
    command = [COMPOSE / "prepare", folder / "secrets"]
    subprocess.run(command, check=True, capture_output=True, timeout=30)


def _redis(folder: Path, port: int) -> contextlib.AbstractAsyncContextManager[Process]:
    """With the file of the container; what the command line says comes after it."""
    options = {
        "--port": str(port),
        "--bind": HOST,
        "--dir": str(folder),
        "--aclfile": str(folder / "secrets" / "redis_users"),
    }
    words = [word for pair in options.items() for word in pair]
    command = (str(find_binary(Origin.ANY)), str(DEPLOY / "redis" / "redis.conf"), *words)

    async def answers(_: Process) -> bool:
        return await _said(port, b"PING\r\n") == b"+PONG\r\n"

    return program(command, answers, log=folder / "redis.log", env=unmeasured())


async def _said(port: int, line: bytes) -> bytes:
    """What a server answers a line of a stranger's; empty where there is none yet."""
    try:
        reader, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return b""
    try:
        writer.write(line)
        return await reader.readline()
    finally:
        writer.close()


def _sandbox(folder: Path, port: int) -> contextlib.AbstractAsyncContextManager[Process]:
    variables = {
        "BFF_SANDBOX_MEMBERS": str(TERMS.members),
        "BFF_SANDBOX_LATENCY_MS": TERMS.latency_ms,
    }
    command = (sys.executable, "-m", "bff", "sandbox", "--port", str(port))
    ready = _answers(f"http://{HOST}:{port}/_sandbox/healthz")
    return program(command, ready, log=folder / "sandbox.log", env=unmeasured(variables))


def _gateway(
    folder: Path, name: str, port: int, own: Mapping[str, str]
) -> contextlib.AbstractAsyncContextManager[Process]:
    """With the settings of the container, but for its own ones."""
    inside = dict(compose()["services"][name]["environment"])
    assert inside.keys() & own.keys() >= {"BFF_CONFIG", "BFF_DRAIN_S"}
    variables = {**inside, **own, "BFF_PORT": str(port)}
    command = (sys.executable, "-m", "bff", "serve")
    ready = _answers(f"http://{HOST}:{port}/readyz")
    return program(command, ready, log=folder / f"{name}.log", env=unmeasured(variables))


def _nginx(
    folder: Path, ports: Ports, behind: list[int]
) -> contextlib.AbstractAsyncContextManager[Process]:
    place = nginx_folder(folder / "nginx", ports, behind, folder / "127.0.0.1.pem")
    return run_nginx(place, ports.health, folder / "nginx.log")


def _prometheus(
    folder: Path, port: int, targets: list[int]
) -> contextlib.AbstractAsyncContextManager[Process]:
    """With the configuration of the container, scraping and evaluating all the time."""
    config = read_yaml(PROMETHEUS / "prometheus.yml")
    config["global"] = {
        "scrape_interval": SCRAPED_EACH,
        "scrape_timeout": SCRAPED_EACH,
        "evaluation_interval": SCRAPED_EACH,
    }
    config["rule_files"] = [str(PROMETHEUS / each) for each in config["rule_files"]]
    (job,) = [each for each in config["scrape_configs"] if each["job_name"] == "bff"]
    job["authorization"]["credentials_file"] = str(folder / "secrets" / "prometheus_token")
    job["static_configs"] = [{"targets": [f"{HOST}:{each}" for each in targets]}]
    config["scrape_configs"] = [job]
    written = folder / "prometheus.yml"
    written.write_text(yaml.safe_dump(config))
    command = (
        str(PROMETHEUS_SERVER),
        f"--config.file={written}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address={HOST}:{port}",
        "--log.level=warn",
    )
    ready = _answers(f"http://{HOST}:{port}/-/ready")
    return program(command, ready, log=folder / "prometheus.log", env=unmeasured())


def _answers(url: str) -> Callable[[Process], Awaitable[bool]]:
    async def ready(_: Process) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            async with client_of() as client:
                return (await client.get(url)).status_code == 200
        return False

    return ready


def _secret(secrets: Path, pattern: str) -> str:
    found = re.search(pattern, (secrets / "bff.toml").read_text())
    assert found is not None
    return found[1]
