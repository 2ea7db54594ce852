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

from tests.bench.stage import LOAD_CORE, SERVER_CORE, Server, free_port, running

HERE: Final = Path(__file__).parent / "peers"
PATH: Final = "/session/bootstrap"
DOCUMENTS: Final = "bench:"
"""Names in Redis: this, and the base64 of a token's SHA-256."""
STREAM_MIB: Final = 100


class Missing(Exception):
    """A peer that cannot be had here; the message says what to install."""


@dataclass(frozen=True, slots=True)
class Job:
    """What all peers have to do: answer `token` with the bytes of `body` and with `headers`.

    Those that project find the documents of several tokens in Redis.
    """

    folder: Path
    token: str
    body: Path
    headers: Path
    redis_url: str

    @property
    def env(self) -> dict[str, str]:
        return {
            "BENCH_BODY": str(self.body),
            "BENCH_HEADERS": str(self.headers),
            "BENCH_TOKEN": self.token,
            "BENCH_STREAM_MIB": str(STREAM_MIB),
            "BENCH_DOCUMENTS": DOCUMENTS,
            "REDIS_URL": self.redis_url,
        }


def program(name: str, package: str) -> str:
    """Where a command is. Raises Missing."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if found is None:
        raise Missing(f"{name} is not installed (Debian: {package})")
    return found


@contextlib.contextmanager
def bare(
    job: Job, target: str, interface: str = "asginl", *, core: str = SERVER_CORE
) -> Iterator[Server]:
    """granian with a callable of `peers/bare.py`, set as the gateway sets it: HTTP/1.1 only."""
    with _granian(f"bare:{target}", interface, PATH, job.env, core) as server:
        yield server


@contextlib.contextmanager
def stored(job: Job, target: str) -> Iterator[Server]:
    """A floor of what stands in Redis only: a callable of `peers/stored.py`."""
    with _granian(f"stored:{target}", "asginl", PATH, job.env, SERVER_CORE) as server:
        yield server


@contextlib.contextmanager
def session(target: str, upstream: str, redis_url: str, prefix: str) -> Iterator[Server]:
    """A floor of a cold session: a callable of `peers/session.py`. `prefix`: of names in Redis."""
    env = {"BENCH_UPSTREAM": upstream, "REDIS_URL": redis_url, "BENCH_DOCUMENTS": prefix}
    with _granian(f"session:{target}", "asginl", "/none", env, SERVER_CORE) as server:
        yield server


@contextlib.contextmanager
def relay(upstream: str) -> Iterator[Server]:
    """A minimal Starlette + httpx relay."""
    env = {"BENCH_UPSTREAM": upstream}
    with _granian("relay:app", "asgi", "/none", env, SERVER_CORE) as server:
        yield server


@contextlib.contextmanager
def _granian(
    target: str, interface: str, path: str, env: dict[str, str], core: str
) -> Iterator[Server]:
    port = free_port()
    command = [
        sys.executable, "-m", "granian", "--interface", interface, "--http", "1", "--no-ws",
        "--no-log", "--port", str(port), "--working-dir", str(HERE), target,
    ]  # fmt: skip
    with running(command, port, path, env, core=core) as server:
        yield server


@contextlib.contextmanager
def nginx(job: Job) -> Iterator[Server]:
    """`proxy_cache` keyed by Authorization, over an origin that it asks once for each token."""
    command, port = program("nginx", "nginx-light"), free_port()
    with bare(job, "origin", core=LOAD_CORE) as origin:
        config = job.folder / "nginx.conf"
        places = {"folder": job.folder, "port": port, "origin": origin.origin.rpartition(":")[2]}
        # Its worker would give up root, and could not write into a folder of root's.
        places["user"] = "user root;" if os.geteuid() == 0 else ""
        config.write_text((HERE / "nginx.conf.in").read_text().format(**places))
        with running([command, "-c", str(config)], port, PATH) as server:
            yield server


@contextlib.contextmanager
def varnish(job: Job) -> Iterator[Server]:
    """Answers kept for each Authorization header, over an origin that it asks once for each."""
    program_, port = program("varnishd", "varnish"), free_port()
    with bare(job, "origin", core=LOAD_CORE) as origin:
        vcl = job.folder / "cache.vcl"
        place = origin.origin.rpartition(":")[2]
        vcl.write_text((HERE / "cache.vcl.in").read_text().format(origin=place))
        command = [
            program_, "-j", "none", "-F", "-a", f"127.0.0.1:{port}", "-f", str(vcl),
            "-n", str(job.folder / "v"), "-s", "malloc,256m",
            # br is the origin's affair, and one core needs one pool of threads.
            "-p", "http_gzip_support=off", "-p", "thread_pools=1",
        ]  # fmt: skip
        with running(command, port, PATH) as server:
            yield server


@contextlib.contextmanager
def fastify(job: Job, script: str, **env: str) -> Iterator[Server]:
    """A route of `peers/fastify`: `memory` or `redis`."""
    port = free_port()
    command = [program("node", "nodejs"), str(_fastify(job.folder) / f"{script}.mjs")]
    more = {**job.env, **env, "PORT": str(port), "NODE_ENV": "production"}
    with running(command, port, PATH, more) as server:
        yield server


def _fastify(folder: Path) -> Path:
    """A copy with its packages installed, from the registry that npm is configured with."""
    place = folder / "fastify"
    if not place.exists():
        npm = program("npm", "npm")
        shutil.copytree(HERE / "fastify", place)
        command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run(command, cwd=place, capture_output=True, check=False, timeout=120)
        if done.returncode:
            shutil.rmtree(place)
            raise Missing("npm could not install fastify and ioredis")
    return place
