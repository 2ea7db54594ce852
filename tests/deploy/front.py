"""nginx with the files of `deploy/nginx`: only ports, folders and addresses are other ones."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.deploy.places import DEPLOY
from tests.e2e.commands import HOST, environment, free_port
from tests.support.nginx import find_nginx
from tests.support.processes import program
from tests.support.tls import TestTls

PLAIN = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
TOO_LATE = b"HTTP/1.1 504 Gateway Timeout\r\ncontent-length: 11\r\n\r\nour problem"


@dataclass(frozen=True, slots=True)
class Ports:
    """Where nginx listens: with TLS, without, and for its own health check."""

    tls: int
    plain: int
    health: int


@dataclass(slots=True)
class Behind:
    """A server that keeps the heads that it is sent; of `/ops/api/live`, the body is held."""

    port: int
    heads: list[str] = field(default_factory=list)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.heads.append(head)
                if " /ops/api/live" in head or " /api/stream" in head:
                    await self._events(writer)
                else:
                    writer.write(TOO_LATE if " /api/late" in head else PLAIN)
                await writer.drain()
        writer.close()

    async def _events(self, writer: asyncio.StreamWriter) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked"
        writer.write(head + b"\r\n\r\n9\r\ndata: 1\n\n\r\n")
        await writer.drain()
        await self.go_on.wait()
        writer.write(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")

    @property
    def last(self) -> dict[str, str]:
        """The header fields of the latest request."""
        lines = self.heads[-1].split("\r\n")[1:]
        return {n.lower(): v.strip() for n, _, v in (each.partition(":") for each in lines) if n}


@dataclass(frozen=True, slots=True)
class Front:
    """nginx, and the one server of two that is there."""

    tls: TestTls
    origin: str
    plain: str
    behind: Behind
    log: Path

    @contextlib.asynccontextmanager
    async def client(
        self, address: str = HOST, *, http2: bool = True
    ) -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.AsyncHTTPTransport(
            http2=http2, verify=self.tls.client(), local_address=address, trust_env=False
        )
        async with httpx.AsyncClient(base_url=self.origin, transport=transport) as client:
            yield client


@contextlib.asynccontextmanager
async def front_at(folder: Path, origins: str = "") -> AsyncIterator[Front]:
    """nginx before two addresses, at one of which a server is; `origins` as for `nginx_folder`."""
    behind = Behind(free_port())
    async with (
        await asyncio.start_server(behind.serve, HOST, behind.port),
        nginx_at(folder, [free_port(), behind.port], origins) as (tls, ports),
    ):
        log = folder / "nginx" / "access.log"
        secure, plain = f"https://{HOST}:{ports.tls}", f"http://{HOST}:{ports.plain}"
        yield Front(tls, secure, plain, behind, log)


@contextlib.asynccontextmanager
async def nginx_at(
    folder: Path, behind: list[int], origins: str = ""
) -> AsyncIterator[tuple[TestTls, Ports]]:
    tls = TestTls(folder)
    ports = Ports(free_port(), free_port(), free_port())
    place = nginx_folder(folder / "nginx", ports, behind, folder / "127.0.0.1.pem", origins)
    async with run_nginx(place, ports.health, folder / "output.log"):
        yield tls, ports


def nginx_folder(
    place: Path, ports: Ports, behind: list[int], pem: Path, origins: str = ""
) -> Path:
    """`/etc/nginx` as the container has it. `behind`: the ports of the gateways. `origins`: what is
    added to the file of that name."""
    shutil.copytree(DEPLOY / "nginx", place)
    with (place / "origins.conf").open("a", encoding="utf-8") as file:
        file.write(origins)
    (place / "tls").mkdir()
    for name in ("fullchain.pem", "privkey.pem"):
        shutil.copy(pem, place / "tls" / name)
    _replace(
        place / "nginx.conf",
        {
            "/tmp/": f"{place}/",
            "listen 8443 ": f"listen {HOST}:{ports.tls} ",
            "listen 8080;": f"listen {HOST}:{ports.plain};",
            "listen 127.0.0.1:8081;": f"listen {HOST}:{ports.health};",
            # Those of another process cannot be opened where this runs unprivileged.
            "/dev/stdout": f"{place}/access.log",
            "/dev/stderr": "stderr",
        },
    )
    addresses = re.findall(r"server (\S+) ", (place / "upstream.conf").read_text())
    wanted = {old: f"{HOST}:{port}" for old, port in zip(addresses, behind, strict=True)}
    _replace(place / "upstream.conf", wanted)
    return place


def run_nginx(
    place: Path, health_port: int, log: Path
) -> contextlib.AbstractAsyncContextManager[Process]:
    """One process, with the configuration in `place`."""
    binary = find_nginx()
    assert binary is not None
    options = ("-p", str(place), "-c", str(place / "nginx.conf"), "-e", "stderr")
    command = (binary, *options, "-g", "daemon off; master_process off;")

    async def ready(process: Process) -> bool:
        with contextlib.suppress(httpx.TransportError):
            async with client_of() as client:
                told = await client.get(f"http://{HOST}:{health_port}/")
            return told.text == str(process.pid)
        return False

    return program(command, ready, log=log, env=environment())


def client_of(origin: str = "") -> httpx.AsyncClient:
    """A client without TLS: reading all certificates that are trusted takes its time."""
    return httpx.AsyncClient(base_url=origin, verify=False, trust_env=False)


def _replace(path: Path, words: Mapping[str, str]) -> None:
    text = path.read_text(encoding="utf-8")
    for old, new in words.items():
        assert old in text, (path.name, old)
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
