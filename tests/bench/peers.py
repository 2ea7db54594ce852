"""The peers: how each is started. One that is not installed is named, never left out silently."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.stage import Server, free_port, running

HERE: Final = Path(__file__).parent / "peers"
PATH: Final = "/session/bootstrap"
STREAM_MIB: Final = 100


class Missing(Exception):
    """A peer that cannot be had here; the message says what to install."""


@dataclass(frozen=True, slots=True)
class Job:
    """What all peers have to do: answer `token` with the bytes of `body`, or `document` shaped."""

    folder: Path
    token: str
    body: Path
    document: Path
    redis_url: str

    @property
    def env(self) -> dict[str, str]:
        return {
            "BENCH_BODY": str(self.body),
            "BENCH_DOCUMENT": str(self.document),
            "BENCH_TOKEN": self.token,
            "REDIS_URL": self.redis_url,
        }


def _program(name: str, package: str) -> str:
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if found is None:
        raise Missing(f"{name} is not installed (Debian: {package})")
    return found


@contextlib.contextmanager
def bare(job: Job, target: str, interface: str = "asgi", *, core: str = "0") -> Iterator[Server]:
    """granian with `asgi`, `rsgi` or `starlette` of `peers/bare.py`."""
    port = free_port()
    command = [
        sys.executable, "-m", "granian", "--interface", interface, "--no-log", "--port", str(port),
        "--working-dir", str(HERE), f"bare:{target}",
    ]  # fmt: skip
    env = {**job.env, "BENCH_STREAM_MIB": str(STREAM_MIB)}
    with running(command, port, PATH, env, core=core) as server:
        yield server


@contextlib.contextmanager
def nginx(job: Job) -> Iterator[Server]:
    """`proxy_cache` keyed by Authorization, over a bare server that it asks once."""
    program, port = _program("nginx", "nginx-light"), free_port()
    with bare(job, "asgi", core="1") as origin:
        config = job.folder / "nginx.conf"
        places = {"folder": job.folder, "port": port, "origin": origin.origin.rpartition(":")[2]}
        # Its worker would give up root, and could not write into a folder of root's.
        places["user"] = "user root;" if os.geteuid() == 0 else ""
        config.write_text((HERE / "nginx.conf.in").read_text().format(**places))
        with running([program, "-c", str(config)], port, PATH) as server:
            yield server


@contextlib.contextmanager
def varnish(job: Job) -> Iterator[Server]:
    """Answers kept for each Authorization header, over a bare server that it asks once."""
    program, port = _program("varnishd", "varnish"), free_port()
    with bare(job, "asgi", core="1") as origin:
        vcl = job.folder / "cache.vcl"
        place = origin.origin.rpartition(":")[2]
        vcl.write_text((HERE / "cache.vcl.in").read_text().format(origin=place))
        command = [
            program, "-j", "none", "-F", "-a", f"127.0.0.1:{port}", "-f", str(vcl),
            "-n", str(job.folder / "v"), "-s", "malloc,256m", "-p", "thread_pools=1",
        ]  # fmt: skip
        with running(command, port, PATH) as server:
            yield server


@contextlib.contextmanager
def fastify(job: Job, script: str, **env: str) -> Iterator[Server]:
    """A route of `peers/fastify`: `memory` or `redis`."""
    port = free_port()
    command = [_program("node", "nodejs"), str(_fastify(job.folder) / f"{script}.mjs")]
    more = {**job.env, **env, "PORT": str(port), "NODE_ENV": "production"}
    with running(command, port, PATH, more) as server:
        yield server


def _fastify(folder: Path) -> Path:
    """A copy with its packages installed, from the registry that npm is configured with."""
    place = folder / "fastify"
    if not place.exists():
        npm = _program("npm", "npm")
        shutil.copytree(HERE / "fastify", place)
        command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run(command, cwd=place, capture_output=True, check=False, timeout=120)
        if done.returncode:
            shutil.rmtree(place)
            raise Missing("npm could not install fastify and ioredis")
    return place


@contextlib.contextmanager
def relay(upstream: str) -> Iterator[Server]:
    """A minimal Starlette + httpx relay."""
    port = free_port()
    command = [
        sys.executable, "-m", "granian", "--interface", "asgi", "--no-log", "--port", str(port),
        "--working-dir", str(HERE), "relay:app",
    ]  # fmt: skip
    with running(command, port, "/none", {"BENCH_UPSTREAM": upstream}) as server:
        yield server
