"""What a run was made on: cores and versions, nothing that tells which machine it is."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib import metadata
from typing import Final

import orjson

from tests.bench.peers import HERE, Missing, program
from tests.bench.results import Machine
from tests.support.redis_server import find_binary

_VERSION: Final = re.compile(r"\d+\.\d+(?:\.\d+)*")


def machine() -> Machine:
    """This one. Peers that are not installed have no version."""
    packages = {name: name for name in ("granian", "starlette", "httpx")} | {"redis-py": "redis"}
    found = {"Python": platform.python_version()}
    found |= {name: metadata.version(package) for name, package in packages.items()}
    redis = str(find_binary())
    for name, command, package in (
        ("Redis", [redis, "--version"], ""),
        ("nginx", ["nginx", "-v"], "nginx-light"),
        ("Varnish", ["varnishd", "-V"], "varnish"),
        ("Node.js", ["node", "--version"], "nodejs"),
        ("wrk", ["wrk", "--version"], "wrk"),
    ):
        try:
            found[name] = _told([program(command[0], package), *command[1:]])
        except Missing:
            continue
    return Machine(len(os.sched_getaffinity(0)), found | _locked())


def _told(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    version = _VERSION.search(done.stdout + done.stderr)
    return "?" if version is None else version[0]


def _locked() -> dict[str, str]:
    lock = orjson.loads((HERE / "fastify" / "package-lock.json").read_bytes())
    names = (("Fastify", "fastify"), ("ioredis", "ioredis"))
    return {name: lock["packages"][f"node_modules/{package}"]["version"] for name, package in names}
