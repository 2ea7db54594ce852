"""`bff top`: one picture, or live until Ctrl-C; its figures are those of the operators' API."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, replace
from typing import Any

import orjson
import pytest
from rich.console import Console
from starlette.applications import Starlette

from bff.app import build
from bff.ops.figures import Level, Shape, Snapshot, Verdict
from bff.sandbox.app import create_app
from bff.sandbox.options import SandboxOptions
from bff.settings import load
from bff.terminal import CommandFailed
from bff.top import picture, watch
from tests.e2e.commands import DEADLINE_S, bff, environment
from tests.support.gateway import until
from tests.support.ops_figures import healthy, hostile
from tests.support.serving import client, serving

TOKEN = "t-jane"
OPS_TOKEN = "canary-operator-token"


@pytest.fixture
async def gateway() -> AsyncIterator[str]:
    options = SandboxOptions(members=0, throttle=False, demo_token=TOKEN)
    async with serving(create_app(options)) as nexudus:
        settings = load({"BFF_UPSTREAM": nexudus, "BFF_OPS_TOKEN": OPS_TOKEN})
        async with serving(build(settings)) as origin:
            yield origin


async def test_one_picture_has_the_figures_of_the_gateway(gateway: str) -> None:
    async with client(gateway, TOKEN) as member:
        for _ in range(3):
            assert (await member.get("/session/bootstrap")).status_code == 200
    async with client(gateway, OPS_TOKEN) as operator:

        async def told() -> bool:
            return bool((await operator.get("/ops/api/snapshot")).json()["routes"])

        await until(told)
    options = ("--url", gateway, "--once")
    done = await asyncio.to_thread(bff, "top", *options, BFF_OPS_TOKEN=OPS_TOKEN)
    assert (done.returncode, done.stderr) == (0, "")
    assert "/ops/api" not in done.stdout, "members' routes only"
    assert max(map(len, done.stdout.splitlines())) > 80, "a pipe is as wide as a file"
    for word in ("/session/bootstrap", "profiles", "related", "all processes", "calls made"):
        assert word in done.stdout
    options = ("--url", gateway, "--json")
    done = await asyncio.to_thread(bff, "top", *options, BFF_OPS_TOKEN=OPS_TOKEN)
    routes = json.loads(done.stdout)["routes"]
    [bootstraps] = [each for each in routes if each["route"] == "/session/bootstrap"]
    assert bootstraps["requests"] == 3


@pytest.mark.parametrize("terminal", [False, True])
async def test_it_is_live_until_ctrl_c(gateway: str, terminal: bool) -> None:
    code, output = await asyncio.to_thread(_watched, gateway, terminal=terminal)
    assert code == 0
    assert "Traceback" not in output


def _watched(origin: str, *, terminal: bool) -> tuple[int, str]:
    """How it ended once it had shown two pictures, and all that it wrote."""
    ours, theirs = pty.openpty() if terminal else os.pipe()
    with subprocess.Popen(
        [sys.executable, "-m", "bff.cli", "top", "--url", origin, "--every", "0.5"],
        env=environment({"BFF_OPS_TOKEN": OPS_TOKEN, "COLUMNS": "160", "TERM": "xterm"}),
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        output = ""
        while output.count("calls made") < 2:
            output += os.read(ours, 65_536).decode(errors="replace")
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # how a terminal says that nobody writes to it
            while more := os.read(ours, 65_536):
                output += more.decode(errors="replace")
        os.close(ours)
        return process.wait(DEADLINE_S), output


@pytest.mark.unmeasured
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--ops-token", "canary-wrong"), "The gateway refuses (401)"),
        (("--ops-token", OPS_TOKEN, "--space", "gamma"), "The gateway refuses (400)"),
    ],
)
async def test_a_refusal_is_told_in_the_words_of_the_gateway(
    gateway: str, options: tuple[str, ...], words: str
) -> None:
    done = await asyncio.to_thread(bff, "top", "--url", gateway, "--once", *options)
    assert done.returncode == 1
    assert words in done.stderr
    assert "canary" not in done.stdout + done.stderr


@pytest.mark.unmeasured
async def test_a_gateway_that_is_none_or_away_is_told() -> None:
    async with serving(Starlette()) as origin:
        options = ("--url", origin, "--once", "--ops-token", OPS_TOKEN)
        none = await asyncio.to_thread(bff, "top", *options)
    away = await asyncio.to_thread(bff, "top", *options)
    assert "has no operators' API" in none.stderr
    assert f"No answer from {origin}: " in away.stderr
    assert "refused" in away.stderr, "why, as it is with a name or a certificate"
    assert (none.returncode, away.returncode) == (1, 1)


def shown(figures: Snapshot, width: int = 160) -> str:
    """The picture as text."""
    told: dict[str, Any] = orjson.loads(orjson.dumps(asdict(figures)))
    console = Console(file=io.StringIO(), width=width, force_terminal=False, highlight=False)
    console.print(picture(told))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_picture_fits_its_terminal(width: int) -> None:
    lines = shown(healthy(), width).splitlines()
    assert max(map(len, lines)) <= width


def test_the_verdict_comes_first() -> None:
    verdict = Verdict(Level.FAILING, "Members are not served", ("Redis is away", "and Nexudus"))
    lines = shown(replace(healthy(), verdict=verdict)).splitlines()
    assert lines[0].strip() == "FAILING  Members are not served"
    assert [line.strip() for line in lines[1:3]] == ["- Redis is away", "- and Nexudus"]


def test_what_members_chose_steers_no_terminal() -> None:
    escape = Shape("acme", "[bold]x[/] \x1b[2J\x07", 3, 10, 5)
    text = shown(replace(healthy(), shapes=(escape,)))
    assert "[bold]x[/] ?[2J?" in text
    for figures in (text, shown(hostile())):
        assert all(each.isprintable() or each == "\n" for each in figures)


def test_figures_of_another_version_are_no_reason_to_end() -> None:
    console = Console(file=io.StringIO(), width=80)
    console.print(picture({}))
    console.print(picture({"routes": 1, "verdict": [], "minutes": None, "processes": [1, {}]}))


def test_a_gateway_that_goes_away_is_looked_for_again() -> None:
    told: dict[str, Any] = orjson.loads(orjson.dumps(asdict(healthy())))
    looks: Iterator[dict[str, Any] | CommandFailed] = iter(
        [told, CommandFailed("No answer."), told]
    )
    seen: list[str] = []
    console = Console(file=io.StringIO(), width=160)

    def look() -> dict[str, object]:
        found = next(looks)
        if isinstance(found, CommandFailed):
            raise found
        return found

    def pause(_: float) -> None:
        assert isinstance(console.file, io.StringIO)
        seen.append(console.file.getvalue())
        if len(seen) == 3:
            raise KeyboardInterrupt

    watch(look, console, 2.0, pause)
    assert "Trying again" in seen[1] + seen[2]
