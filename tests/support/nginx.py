"""A real nginx in front of a server: an unprivileged process of its own in a folder of its own."""

from __future__ import annotations

import os
import shutil
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx

from tests.e2e.commands import HOST, environment, free_port
from tests.support.processes import program

HOW_TO_GET_IT: Final = "there is no nginx on PATH: apt-get install nginx-light"
PID_PATH: Final = "/.nginx/pid"
"""Where the configuration answers with nginx's own process id."""

# Distributions put it where the PATH of ordinary users does not lead.
_ALSO_IN: Final = ("/usr/sbin", "/usr/local/sbin")


def find_nginx() -> str | None:
    """The program, or None where it is not installed."""
    return shutil.which("nginx", path=os.pathsep.join((os.environ.get("PATH", ""), *_ALSO_IN)))


@asynccontextmanager
async def nginx(binary: str, template: Path, behind: str, folder: Path) -> AsyncIterator[str]:
    """Runs nginx with the configuration `template` before the origin `behind`; its own origin.

    `@FOLDER@`, `@PORT@` and `@BEHIND@` in the template are filled in. Raises ProgramError.
    """
    port = free_port()
    origin = f"http://{HOST}:{port}"
    configuration = _written(template, folder, {"PORT": str(port), "BEHIND": behind})
    command = (binary, "-p", str(folder), "-c", str(configuration))

    async def answers(process: Process) -> bool:
        # Another server may have taken the port, hence its identity.
        async with httpx.AsyncClient(trust_env=False, verify=False, timeout=5) as client:
            try:
                return (await client.get(origin + PID_PATH)).text == str(process.pid)
            except httpx.TransportError:
                return False

    log = folder / "output.log"
    async with program(command, answers, log=log, env=environment()):
        yield origin


def _written(template: Path, folder: Path, values: dict[str, str]) -> Path:
    text = template.read_text()
    for name, value in {"FOLDER": str(folder), **values}.items():
        text = text.replace(f"@{name}@", value)
    written = folder / "nginx.conf"
    written.write_text(text)
    return written
