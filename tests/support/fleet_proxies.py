"""Fault proxies in a process of their own, so that whoever asks does not slow down who passes on.

Run as a program, with a control port and `name:port:server_port` for each proxy. Each line written
to the control port is an order in JSON, and is answered by one line.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from tests.support.fault_proxy import HOST, SOUND, FaultProxy, Line, Way
from tests.support.processes import program

ROOT: Final = Path(__file__).parents[2]
_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Ports:
    """Where one proxy listens, and what it stands before."""

    own: int
    server: int


class Proxies:
    """The running proxies, by name."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()

    async def become(self, name: str, line: Line = SOUND) -> None:
        """From now on, the network there is like this; sound unless it is told otherwise."""
        await self._order({"name": name, "line": asdict(line)})

    async def reset(self, name: str) -> None:
        """RST to both ends of every connection there is."""
        await self._order({"name": name, "reset": True})

    async def connections(self, name: str) -> int:
        """How many it has taken so far."""
        return int((await self._order({"name": name}))["connections"])

    async def _order(self, order: Mapping[str, object]) -> Any:
        async with self._turn, asyncio.timeout(_PATIENCE_S):
            self._writer.write(orjson.dumps(order) + b"\n")
            await self._writer.drain()
            return orjson.loads(await self._reader.readline())


@asynccontextmanager
async def proxies(
    control_port: int, named: Mapping[str, Ports], *, log: Path, env: Mapping[str, str]
) -> AsyncIterator[Proxies]:
    """The proxies, running until the end."""
    places = [f"{name}:{ports.own}:{ports.server}" for name, ports in named.items()]
    command = (sys.executable, "-m", __spec__.name, str(control_port), *places)

    async def listens(_: Process) -> bool:
        try:
            _reader, writer = await asyncio.open_connection(HOST, control_port)
        except OSError:
            return False
        writer.close()
        return True

    async with program(command, listens, log=log, env={**env, "PYTHONPATH": str(ROOT)}):
        reader, writer = await asyncio.open_connection(HOST, control_port)
        try:
            yield Proxies(reader, writer)
        finally:
            writer.close()


async def _obey(opened: Mapping[str, FaultProxy], order: Any) -> dict[str, object]:
    proxy = opened[order["name"]]
    if order.get("reset"):
        await proxy.reset()
    if line := order.get("line"):
        await proxy.become(Line(**{**line, "up": Way(**line["up"]), "down": Way(**line["down"])}))
    return {"connections": proxy.connections}


async def _run(control_port: int, places: list[str]) -> None:
    opened: dict[str, FaultProxy] = {}
    for place in places:
        name, port, server_port = place.split(":")
        opened[name] = FaultProxy(int(server_port), int(port))
        await opened[name].listen()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while order := await reader.readline():
            writer.write(orjson.dumps(await _obey(opened, orjson.loads(order))) + b"\n")
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, HOST, control_port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_run(int(sys.argv[1]), sys.argv[2:]))
