"""The shared Redis: one in-process server, a client of it for each process, and a count."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any, Final, cast

from fakeredis import FakeAsyncRedis, FakeServer
from fakeredis.aioredis import (
    AsyncFakeSocket,
    FakeAsyncRedisConnection,
    FakeReader,
    FakeWriter,
)
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as NoConnectionError

from bff.cache.remote import script

_HEARTBEAT: Final = hashlib.sha1(script("heartbeat").encode(), usedforsecurity=False).hexdigest()
_CONNECTING_S: Final = 2.0


class Shelf:
    """`commands` counts what the gateways ask, their heartbeats aside. Unless `present`, a host
    that does not answer: whoever connects waits, in vain.
    """

    def __init__(self, *, present: bool) -> None:
        self.server = FakeServer(version=(7,))
        self.present = present
        self.commands = 0

    def client(self, url: str) -> Redis:
        """In the place of `bff.cache.connect.connect`; the address is not looked at."""
        del url
        return cast(Redis, _Client(self))


class _Client(FakeAsyncRedis):
    def __init__(self, shelf: Shelf) -> None:
        kind = _Reachable if shelf.present else _Unreachable
        super().__init__(server=shelf.server, connection_class=kind)
        self._shelf = shelf

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        self._shelf.commands += self._shelf.present and args[1:2] != (_HEARTBEAT,)
        return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


class _Reachable(FakeAsyncRedisConnection):
    async def _connect(self) -> None:
        await super()._connect()
        self._sock = _Socket(
            self._server,
            self.db,
            client_class=self._client_class,
            lua_modules=self._lua_modules,
            client_info=self._client_info,
        )
        self._reader, self._writer = FakeReader(self._sock), FakeWriter(self._sock)


class _Socket(AsyncFakeSocket):
    """Runs a script that it has seen without parsing it anew, and collects Lua's garbage less."""

    def eval(self, script: bytes, numkeys: int, *args: bytes) -> Any:
        runtime, server = self._get_server_runtime(self._server), cast(Any, self._server)
        compiled: dict[bytes, Any] = server.__dict__.setdefault("_compiled", {})
        if (run := compiled.get(script)) is None:
            run = compiled[script] = runtime.compile(script)
        server._lua_current_socket[0] = self
        self._script_resp = 2
        server._lua_set_keys_argv(
            runtime.table_from(args[:numkeys]), runtime.table_from(args[numkeys:])
        )
        try:
            result = run()
        finally:
            self._script_resp = None
        return self._convert_lua_result(result, nested=False)

    def _lua_redis_call(self, runtime: Any, expected: set[Any], op: bytes, *args: Any) -> Any:
        # Does not look for new globals before each command: our scripts set none.
        func, sig = self._name_to_func(op.decode().lower())
        result = self._run_command(func, sig, [_argument(arg) for arg in args], True)
        return self._convert_redis_result(runtime, result)


def _argument(value: bytes | float) -> bytes:
    return value if isinstance(value, bytes) else f"{value:.17g}".encode()


class _Unreachable(FakeAsyncRedisConnection):
    async def connect(self) -> None:
        await asyncio.sleep(_CONNECTING_S)
        raise NoConnectionError("no answer")
