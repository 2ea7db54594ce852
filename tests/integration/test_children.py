"""Child processes: ready, not ready, ended, stubborn."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from bff.children import Part, Signals, all_ready, any_ended, first, running
from bff.terminal import CommandFailed
from tests.e2e.commands import HOST, free_port


def sandbox(port: int, health: str = "/_sandbox/healthz") -> Part:
    arguments = ("sandbox", "--port", str(port), "--members", "0")
    return Part("sandbox", arguments, {}, f"http://{HOST}:{port}{health}")


def quiet(text: str) -> None:
    raise AssertionError(f"not to be said: {text}")


async def test_a_child_that_ends_before_it_is_ready_is_told_with_its_last_lines() -> None:
    part = Part("gateway", ("serve", "--port", "no"), {}, f"http://{HOST}:9/")
    async with running(part, asyncio.Event(), quiet, echo=False) as child:
        with pytest.raises(CommandFailed) as failed:
            await all_ready([child])
    first_line, heading, *lines = str(failed.value).splitlines()
    assert first_line == "The gateway ended with status 2 before it was ready."
    assert heading == "Last lines of the gateway:"
    assert any("--port" in line for line in lines)


async def test_only_the_variables_of_the_part_are_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BFF_PORT", "not a port")
    said: list[str] = []
    part = Part("config", ("serve",), {"BFF_UPSTREAM": "a b"}, f"http://{HOST}:9/")
    async with running(part, asyncio.Event(), said.append, echo=True) as child:
        with pytest.raises(CommandFailed):
            await all_ready([child])
    assert any("BFF_UPSTREAM" in line for line in said)
    assert not any("BFF_PORT" in line for line in said)


async def test_a_child_that_does_not_get_ready_is_not_waited_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bff.children.READY_S", 0.2)
    part = sandbox(free_port(), "/nowhere")
    async with running(part, asyncio.Event(), quiet, echo=False) as child:
        with pytest.raises(CommandFailed, match="The sandbox was not ready within 0 seconds"):
            await all_ready([child])


async def test_the_end_of_a_child_that_was_ready_is_told() -> None:
    async with running(sandbox(free_port()), asyncio.Event(), quiet, echo=False) as child:
        await all_ready([child])
        os.kill(child.process.pid, signal.SIGKILL)
        with pytest.raises(CommandFailed, match=r"\AThe sandbox ended with SIGKILL\.\n"):
            await any_ended([child])


@pytest.mark.parametrize("how", ["time", "hurry"])
async def test_a_stubborn_child_is_killed(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    hurry = asyncio.Event()
    if how == "time":
        monkeypatch.setattr("bff.children.STOP_S", 0.2)
    async with running(sandbox(free_port()), hurry, quiet, echo=False) as child:
        await all_ready([child])
        os.kill(child.process.pid, signal.SIGSTOP)  # looks at no SIGTERM
        if how == "hurry":
            hurry.set()
        began = time.monotonic()
    assert child.process.returncode == -signal.SIGKILL
    assert time.monotonic() - began < 5


async def test_the_first_signal_asks_to_stop_and_the_second_to_hurry() -> None:
    signals = Signals()
    with signals.heard():
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(signals.stop.wait(), 5)
        assert not signals.hurry.is_set()
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.wait_for(signals.hurry.wait(), 5)


async def test_the_first_wait_decides_and_the_others_are_cancelled() -> None:
    left = asyncio.Event()

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            left.set()

    async def fails() -> None:
        await asyncio.sleep(0)
        raise CommandFailed("first")

    with pytest.raises(CommandFailed, match="first"):
        await first(waits(), fails())
    assert left.is_set()
