"""The gateway as its users start it, in front of a sandbox and of an upstream that tests script."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from bff.sandbox.app import Sandbox, create_app, sandbox_of
from bff.sandbox.effects import Effect
from bff.sandbox.faults import Rule
from bff.sandbox.options import SandboxOptions
from tests.e2e.commands import free_port, unmeasured
from tests.support.plain import PLAIN
from tests.support.processes import program
from tests.support.raw_client import RawConnection, connected, spoken
from tests.support.raw_upstream import HOST, Peer, Received, upstream
from tests.support.serving import serving

SANDBOX: Final = b"sandbox.test"
SCRIPTED: Final = b"scripted.test"
"""The public hosts of the two spaces."""
SERVE: Final = (sys.executable, "-m", "bff", "serve")

Script = Callable[[Peer, Received], Awaitable[None]]
"""Gets a request's head; reads its body, answers it, and leaves the connection to the next one."""


@dataclass(slots=True)
class Stranger:
    """A server that nobody should ever talk to."""

    port: int
    visits: int = 0


@dataclass(frozen=True, slots=True)
class RawStage:
    """`scripts`: what the scripted space answers, by target. Jane and Carlos are tokens."""

    port: int
    process: Process
    log: Path
    sandbox: Sandbox
    sandbox_origin: str
    scripts: dict[bytes, Script]
    stranger: Stranger
    jane: bytes
    carlos: bytes

    def request(
        self,
        line: bytes,
        *fields: bytes,
        token: bytes | None = b"",
        host: bytes | None = SANDBOX,
        body: bytes = b"",
    ) -> bytes:
        """`line` without its version, Host, the Authorization of Jane or another, then `fields`."""
        lines = [line + b" HTTP/1.1"]
        lines += [] if host is None else [b"Host: " + host]
        lines += [] if token is None else [b"Authorization: Bearer " + (token or self.jane)]
        return b"\r\n".join([*lines, *fields, b"", body])

    def connected(self) -> AbstractAsyncContextManager[RawConnection]:
        """A connection to the gateway."""
        return connected(self.port)

    async def spoken(self, data: bytes) -> bytes:
        """All that the gateway answers to `data` until it closes the connection."""
        return await spoken(self.port, data)

    def visits(self) -> list[tuple[str, str]]:
        """Method and path of what has reached the sandbox since the last look."""
        seen = [(visit.method, visit.path) for visit in self.sandbox.calls.log()]
        self.sandbox.calls.reset()
        return seen

    def assert_nothing_leaked(self) -> None:
        """The gateway has logged no token and has met nothing that it did not expect."""
        lines = self.log.read_text()
        assert not any(token.decode() in lines for token in (self.jane, self.carlos))
        assert "unexpected_error" not in lines
        assert "Traceback" not in lines

    def fail(self, *effects: Effect) -> None:
        """What the sandbox answers from now on."""
        self.sandbox.faults.replace(Rule(effect) for effect in effects)


@asynccontextmanager
async def raw_stage(folder: Path, *command: str, **variables: str) -> AsyncIterator[RawStage]:
    """Everything running; `command` in place of `bff serve`, `variables` of the gateway's own."""
    scripts: dict[bytes, Script] = {}
    nexudus = create_app(SandboxOptions(members=0, throttle=False))
    async with (
        upstream(_scripted(scripts)) as scripted,
        serving(nexudus) as sandboxed,
        listening() as stranger,
    ):
        spaces = {SANDBOX: sandboxed, SCRIPTED: scripted.space.origin.url}
        listed = ",".join(f"{host.decode()}={origin}" for host, origin in spaces.items())
        port, log = free_port(), folder / "gateway.log"
        whole = [*(command or SERVE), "--port", str(port)]
        set_up = unmeasured({"BFF_SPACES": listed, **PLAIN, **variables})
        sandbox = sandbox_of(nexudus)
        jane, carlos = (sandbox.tokens.mint(user_id).encode() for user_id in (7001, 7002))
        async with gateway(whole, port, log, set_up) as process:
            yield RawStage(port, process, log, sandbox, sandboxed, scripts, stranger, jane, carlos)


@asynccontextmanager
async def gateway(
    command: Sequence[str], port: int, log: Path, variables: dict[str, str]
) -> AsyncIterator[Process]:
    """The process of `command`, from when it is alive on `port`."""

    async def alive(_: Process) -> bool:
        async with httpx.AsyncClient(trust_env=False, verify=False, timeout=5) as client:
            try:
                return (await client.get(f"http://{HOST}:{port}/healthz")).status_code == 200
            except httpx.TransportError:
                return False

    async with program(command, alive, log=log, env=variables) as process:
        yield process


@asynccontextmanager
async def listening() -> AsyncIterator[Stranger]:
    """A stranger, who counts connections and closes them."""

    async def met(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stranger.visits += 1
        writer.close()

    server = await asyncio.start_server(met, HOST, 0)
    stranger = Stranger(server.sockets[0].getsockname()[1])
    async with server:
        yield stranger


def _scripted(scripts: dict[bytes, Script]) -> Callable[[Peer], Awaitable[None]]:
    async def handler(peer: Peer) -> None:
        while True:
            head = await peer.head()
            await scripts[head.target](peer, head)

    return handler
