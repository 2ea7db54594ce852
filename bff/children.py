"""Child processes of a command: started, waited for until they are ready, and ended with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from bff.terminal import CommandFailed

READY_S: Final = 15.0
STOP_S: Final = 12.0
"""Longer than a server takes to drop what is still under way."""
POLL_S: Final = 0.05
LAST_LINES: Final = 20
LONGEST_LINE: Final = 2**20
LAST_WORDS_S: Final = 1.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Part:
    """One process: the arguments of `bff`, its own `BFF_…` variables, and the URL of its health."""

    name: str
    arguments: tuple[str, ...]
    variables: Mapping[str, str] = field(repr=False)
    health: str


class Signals:
    """SIGINT, SIGTERM and SIGHUP: the first asks to `stop`, the next to `hurry`."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        """They end nothing by themselves within this block."""
        loop, numbers = asyncio.get_running_loop(), (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        for number in numbers:
            loop.add_signal_handler(number, self._hear)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def _hear(self) -> None:
        (self.hurry if self.stop.is_set() else self.stop).set()


class Child:
    """A running process. Its lines are kept, and said where `echo` is set."""

    def __init__(self, part: Part, process: Process, say: Say, *, echo: bool) -> None:
        self.part = part
        self.process = process
        self.echo = echo
        self._say = say
        self._ready = False
        self._lines: deque[str] = deque(maxlen=LAST_LINES)
        self._reading = asyncio.create_task(self._read(), name=f"lines of the {part.name}")

    async def ready(self, client: httpx.AsyncClient) -> None:
        """Returns once its health is a 200."""
        while not self._ready:
            with contextlib.suppress(httpx.HTTPError):
                self._ready = (await client.get(self.part.health)).status_code == 200
            await asyncio.sleep(0 if self._ready else POLL_S)

    async def ended(self) -> None:
        """Raises CommandFailed, with the last lines, when the process ends."""
        code = await self.process.wait()
        await self._last_words()
        when = "" if self._ready else " before it was ready"
        raise CommandFailed(self.told(f"The {self.part.name} ended with {_status(code)}{when}."))

    def told(self, sentence: str) -> str:
        """`sentence` and the last lines that the process has written, if any."""
        if not self._lines:
            return sentence
        return "\n".join((sentence, f"Last lines of the {self.part.name}:", *self._lines))

    async def end(self, hurry: asyncio.Event) -> None:
        """SIGTERM, then SIGKILL for it and its workers after STOP_S or once `hurry` is set."""
        if self.process.returncode is None:
            self.process.terminate()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_S):
                    await first(self.process.wait(), hurry.wait())
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()
        await self._last_words()

    async def _last_words(self) -> None:
        await asyncio.wait({self._reading}, timeout=LAST_WORDS_S)
        self._reading.cancel()

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while True:
            try:
                line = await self.process.stdout.readline()
            except ValueError:  # longer than LONGEST_LINE, and dropped
                continue
            if not line:
                return
            text = line.decode(errors="replace").rstrip()
            self._lines.append(text)
            if self.echo:
                self._say(f"{self.part.name} | {text}")


@contextlib.asynccontextmanager
async def running(
    part: Part, hurry: asyncio.Event, say: Say, *, echo: bool
) -> AsyncIterator[Child]:
    """`bff` with the part's arguments, and no `BFF_…` variable but the part's, until the end.

    In a process group of its own: a Ctrl-C reaches us alone, and we end the parts in order.
    """
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("BFF_")}
    command = (sys.executable, "-m", "bff", *part.arguments, "--parent", str(os.getpid()))
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
        limit=LONGEST_LINE,
        env={**inherited, **part.variables},
        process_group=0,
    )
    child = Child(part, process, say, echo=echo)
    try:
        yield child
    finally:
        await child.end(hurry)


async def all_ready(children: Sequence[Child]) -> None:
    """Returns once all are. Raises CommandFailed if one is not within READY_S, or ends."""
    async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
        for child in children:
            try:
                async with asyncio.timeout(READY_S):
                    await first(child.ready(client), *(each.ended() for each in children))
            except TimeoutError:
                sentence = f"The {child.part.name} was not ready within {READY_S:.0f} seconds."
                raise CommandFailed(child.told(sentence)) from None


async def any_ended(children: Sequence[Child]) -> None:
    """Raises CommandFailed when the first of them ends."""
    await first(*(child.ended() for child in children))


async def first(*waits: Coroutine[Any, Any, object]) -> None:
    """Returns or raises as the first of `waits` does; the others are cancelled."""
    tasks = [asyncio.create_task(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _status(code: int) -> str:
    return f"status {code}" if code >= 0 else signal.Signals(-code).name
