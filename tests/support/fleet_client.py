"""An app of one member: a connection to each gateway that lasts, and answers as they came."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Final

from tests.support.fleet import Fleet
from tests.support.raw_client import RawConnection

CUT: Final = 0
"""The status of an answer that did not come, or not whole."""
_LIMIT: Final = 2**21
_NONE: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer; `began` and `ended` in monotonic seconds. Names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    began: float
    ended: float
    gateway: int
    why: str = ""

    @property
    def took_s(self) -> float:
        return self.ended - self.began

    @property
    def age_s(self) -> int:
        return int(self.headers.get("age", "0"))

    @property
    def from_cache(self) -> bool:
        """Whether Nexudus was not waited for, be it in vain."""
        cache = self.headers.get("cache-status", "")
        return cache.startswith("bff; hit") and not cache.endswith("stale-if-error")


class App:
    """Asks the gateways as one browser does: a connection is kept, and replaced when it is gone."""

    def __init__(self, fleet: Fleet, token: str) -> None:
        self._fleet = fleet
        self.token = token
        self._connections: dict[int, RawConnection] = {}

    async def send(
        self,
        gateway: int,
        target: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] = _NONE,
        whole: bool = True,
    ) -> Reply:
        """One request. A kept connection that ends without a byte of an answer is tried anew, since
        a server may close one while a request is on its way; `whole`: not even that is in order.
        """
        began = monotonic()
        kept = gateway in self._connections
        reply = await self._try(gateway, began, self._encoded(method, target, headers))
        if reply.status == CUT and kept and method == "GET" and not whole:
            return await self._try(gateway, began, self._encoded(method, target, headers))
        return reply

    def leave(self) -> None:
        for connection in self._connections.values():
            connection.leave()
        self._connections.clear()

    def _encoded(self, method: str, target: str, headers: Mapping[str, str]) -> bytes:
        lines = [f"{method} {target} HTTP/1.1", "host: app.test", "accept: application/json"]
        lines.append(f"authorization: Bearer {self.token}")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if method != "GET":
            lines.append("content-length: 0")
        return "\r\n".join([*lines, "", ""]).encode()

    async def _try(self, gateway: int, began: float, request: bytes) -> Reply:
        try:
            connection = self._connections.get(gateway)
            if connection is None or _is_over(connection):
                self._forget(gateway)
                port = self._fleet.gateways[gateway].port
                streams = await asyncio.open_connection("127.0.0.1", port, limit=_LIMIT)
                connection = self._connections[gateway] = RawConnection(*streams)
            answer = await connection.ask(request)
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            self._forget(gateway)
            why = f"{type(error).__name__}: {error}"
            return Reply(CUT, {}, b"", began, monotonic(), gateway, why)
        except asyncio.CancelledError:
            self._forget(gateway)
            raise
        headers = {name.decode(): value.decode("latin-1") for name, value in answer.headers}
        if headers.get("connection") == "close":
            self._forget(gateway)
        return Reply(answer.status, headers, answer.body, began, monotonic(), gateway)

    def _forget(self, gateway: int) -> None:
        connection = self._connections.pop(gateway, None)
        if connection is not None:
            connection.leave()


def _is_over(connection: RawConnection) -> bool:
    """Whether the server has closed it, as far as is known here."""
    return connection.reader.at_eof() or connection.reader.exception() is not None
