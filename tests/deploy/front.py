"""nginx with the files of `deploy/nginx`: only ports, folders and addresses are other ones."""

from __future__ import annotations

import contextlib
import re
import shutil
from asyncio.subprocess import Process
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.deploy.places import DEPLOY
from tests.e2e.commands import HOST, environment
from tests.support.nginx import find_nginx
from tests.support.processes import program


@dataclass(frozen=True, slots=True)
class Ports:
    """Where nginx listens: with TLS, without, and for its own health check."""

    tls: int
    plain: int
    health: int


def nginx_folder(place: Path, ports: Ports, behind: list[int], pem: Path) -> Path:
    """`/etc/nginx` as the container has it. `behind`: the ports of the gateways."""
    shutil.copytree(DEPLOY / "nginx", place)
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
