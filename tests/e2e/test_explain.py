"""`bff explain` against a running gateway, and against what is none."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest

from bff.app import build
from bff.explain import explain
from bff.sandbox.app import create_app
from bff.sandbox.options import SandboxOptions
from bff.settings import load
from bff.terminal import CommandFailed
from tests.e2e.commands import DEADLINE_S, bff, environment
from tests.support.raw_upstream import answering, upstream
from tests.support.serving import client, serving

TOKEN = "canary-of-jane"
OPS_TOKEN = "canary-operator-token"
URL = "https://members.acme.example/session/bootstrap?_shape=@mobile"


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway before a simulated Nexudus."""

    origin: str

    async def bootstrap(self) -> httpx.Response:
        async with client(self.origin, TOKEN) as member:
            return await member.get("/session/bootstrap?_shape=@mobile")

    async def told(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """How `bff explain` ended; it showed no token."""
        done = await asyncio.to_thread(
            bff, "explain", "--url", self.origin, *arguments,
            BFF_OPS_TOKEN=OPS_TOKEN, **variables,
        )  # fmt: skip
        assert "canary" not in done.stdout + done.stderr
        return done


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    options = SandboxOptions(members=0, throttle=False, demo_token=TOKEN)
    async with serving(create_app(options)) as nexudus:
        settings = load({"BFF_UPSTREAM": nexudus, "BFF_OPS_TOKEN": OPS_TOKEN})
        async with serving(build(settings)) as origin:
            yield Gateway(origin)


async def test_a_request_is_explained_before_and_after(gateway: Gateway) -> None:
    header = f"Authorization: Bearer {TOKEN}"
    cold = await gateway.told(URL, "-H", header)
    assert (cold.returncode, cold.stderr) == (0, "")
    assert cold.stdout.startswith("GET /session/bootstrap: as Nexudus answers\nNexudus is asked")
    answer = await gateway.bootstrap()
    warm = await gateway.told(URL, BFF_DOCTOR_TOKEN=TOKEN)
    assert "served from finished bytes" in warm.stdout or "without a call" in warm.stdout
    assert "docs/architecture.md#cache-rules" in warm.stdout
    for word in (
        "profiles",
        "proof",
        "related",
        "left: fresh",
        "breaker closed",
        "@mobile",
        "finished answer",
        "Redis embedded",
    ):
        assert word in warm.stdout
    name = answer.headers["x-request-id"]
    remembered = await gateway.told("--request-id", name)
    assert remembered.stdout.startswith(f"{name}: 200 in ")
    assert "miss" in remembered.stdout


async def test_for_programs_it_is_json(gateway: Gateway) -> None:
    done = await gateway.told("/session/bootstrap", "--json", BFF_DOCTOR_TOKEN=TOKEN)
    told = json.loads(done.stdout)
    assert told["answer"]["calls"] == 2
    assert len(told["request"]["digest"]) == 32


async def test_the_token_may_come_from_standard_input(gateway: Gateway) -> None:
    command = (sys.executable, "-m", "bff.cli", "explain")

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, "--url", gateway.origin, URL, "--token", "-", "--json"],
            env=environment({"BFF_OPS_TOKEN": OPS_TOKEN}),
            input=f"{TOKEN}\n",
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    done = await asyncio.to_thread(run)
    assert json.loads(done.stdout)["request"]["digest"]
    assert TOKEN not in done.stdout


async def test_what_cannot_be_explained_is_told_in_the_words_of_the_gateway(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bff.ops.fleet.shared.ASK_S", 0.01)
    unknown = await gateway.told("--request-id", "nobody-asked-this")
    assert unknown.returncode == 1
    assert "No process that answers remembers" in unknown.stderr
    wrong = await gateway.told("members.acme.example")
    assert wrong.returncode == 1
    assert '"url" must be a whole one' in wrong.stderr


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"HTTP/1.1 404 Not Found", "has no operators' API"),
        (b"HTTP/1.1 200 OK", "not a gateway's answer"),
    ],
)
async def test_what_is_no_gateway_is_told(head: bytes, words: str) -> None:
    async with upstream(answering(b"<html>", head=head)) as running:
        with pytest.raises(CommandFailed, match=words):
            await asyncio.to_thread(explain, running.space.origin.url, OPS_TOKEN, {"path": "/"})
