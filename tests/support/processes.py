"""Programs of the tests' own, within their event loop: started, waited for, ended by process id."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

_READY_S = 40.0
_STOP_S = 15.0
_POLL_S = 0.01

# Replaces itself by the program, so that the kernel ends that one with the tests, whatever ends
# them.
_LAUNCHER = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, int(signal.SIGKILL))
if os.getppid() != int(sys.argv[1]):
    sys.exit("the tests ended before their program began")
os.execv(sys.argv[2], sys.argv[2:])
"""


class ProgramError(RuntimeError):
    """A program ended before it was ready, or never was; the message has its last lines."""


@asynccontextmanager
async def program(
    command: Sequence[str],
    ready: Callable[[Process], Awaitable[bool]],
    *,
    log: Path,
    env: Mapping[str, str],
) -> AsyncIterator[Process]:
    """Runs `command`, its output in `log`, from when `ready(process)` is true until the end.

    Raises ProgramError if it ends before that, or is not ready within 40 s.
    """
    with log.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid())),
            *command,
            stdin=DEVNULL,
            stdout=sink,
            stderr=STDOUT,
            env=dict(env),
            # Ctrl-C is for the tests: they end the program themselves.
            start_new_session=True,
        )
    try:
        await _until_ready(process, ready, log)
        yield process
    finally:
        await _ended(process)


async def _until_ready(
    process: Process, ready: Callable[[Process], Awaitable[bool]], log: Path
) -> None:
    try:
        async with asyncio.timeout(_READY_S):
            while not await ready(process):
                if process.returncode is not None:
                    raise ProgramError(f"ended with {process.returncode}\n{_last(log)}")
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise ProgramError(f"not ready within {_READY_S} s\n{_last(log)}") from None


async def _ended(process: Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(_STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _last(log: Path) -> str:
    return log.read_text(errors="replace")[-2_000:]
