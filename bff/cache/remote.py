"""The shared tier over Redis. Also the embedded one: the same commands on an in-process server.

Every check and its effect are one script, so that no other process comes between them.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any, TypeVar, cast

from redis.exceptions import ResponseError

from bff.cache import patience
from bff.cache import tags as tagging
from bff.cache.connect import HUNG_S
from bff.cache.joint import Argument, Joint
from bff.cache.keys import Container, KeySpace, escape
from bff.cache.messages import announce
from bff.cache.store import Invalidated, Loaded, Put, Raw, Refused, Release, header
from bff.cache.tasks import end
from bff.errors import StoreUnavailable

if TYPE_CHECKING:
    from redis.asyncio import Redis

T = TypeVar("T")

FENCE_MS = 120_000
"""How long an invalidation is remembered for fetches under way; far above any deadline."""
LIVE_MS = 3_000
"""A process whose last heartbeat is older holds no copies that it would serve."""
MAX_FIELDS = 256
"""Most documents of one container; one more takes the place of any other."""
GENERATION = "g:"
"""How the generations of tags are called, among the fields of a space's clock."""
PROOF_FIELD = escape(tagging.PROOF_RESOURCE) + "||"


def script(*names: str) -> str:
    """Text of Lua scripts beside this module: one, after those whose functions it calls."""
    folder = resources.files("bff.cache") / "scripts"
    return "\n".join((folder / f"{name}.lua").read_text() for name in names)


def for_each(text: str) -> str:
    """Of a script, one that does what several calls of it do."""
    return f"local function one(KEYS, ARGV)\n{text}\nend\n{script('each')}"


class RemoteStore:
    """A `Store` on a redis-py asyncio client. `process` names this process to its peers.

    A caller waits `timeout_s` at most, less within a request that has less patience left. The
    command itself runs to its own end, for `hung_s` more at most: it is then cancelled, and its
    connection ends with it. One that is slow to open serves the next caller.
    """

    def __init__(
        self,
        client: Redis,
        keyspace: KeySpace,
        *,
        process: str,
        timeout_s: float = 0.05,
        hung_s: float = HUNG_S,
    ) -> None:
        self.client = client
        self.keyspace = keyspace
        self.process = process
        self._timeout_s = timeout_s
        self._hung_s = hung_s
        self._running: set[asyncio.Future[Any]] = set()
        self._scripts: dict[str, Joint] = {}
        self._renewed = False
        self._load = client.register_script(script("load"))
        self._save = script("unlock", "save")
        self._invalidate = client.register_script(script("invalidate"))

    def bus_channel(self, space: str) -> str:
        """Where invalidations of a space are published."""
        return self.keyspace.base(space) + "bus"

    def registry(self, space: str) -> str:
        """Sorted set of the live processes of a space, by last heartbeat (ms)."""
        return self.keyspace.base(space) + "processes"

    async def load(
        self, space: str, wants: Sequence[tuple[Container, str]], known: int = 0
    ) -> Loaded:
        names = [self.keyspace.container(container) for container, _ in wants]
        keys = [self.keyspace.base(space) + "clock", *names]
        args: list[Argument] = [GENERATION, *[name for _, name in wants], known]
        answers = cast("list[bytes | None]", await self._answer(self._load(keys, args)))
        if len(answers) != len(keys) or (stamp := answers[0]) is None:
            raise StoreUnavailable("the store gave another answer than the script's")
        return Loaded(int(stamp), tuple(map(parse, answers[1:])))

    async def save(
        self,
        container: Container,
        puts: Sequence[Put],
        *,
        stamp: int,
        ttl_s: float,
        release: Release | None = None,
    ) -> bool:
        tags = sorted({tag for put in puts for tag in put.tags})
        names = ["clock", container.label, f"f:{container.label}"]
        ttl_ms = max(0, int(ttl_s * 1000))
        args: list[Argument] = [GENERATION, stamp, ttl_ms, " ".join(tags), MAX_FIELDS]
        if release is None:
            args += ["", "", 0]
        else:
            names.append(release.lock)
            args += [release.owner, release.message, release.known_ms]
        for put in puts:
            args += [put.field, header(stamp, put.tags) + put.sealed]
        return bool(await self._called(self._save, container.space, names, args))

    async def invalidate(self, space: str, tags: frozenset[str]) -> Invalidated:
        base = self.keyspace.base(space)
        message_id = uuid.uuid4().hex
        message = announce(message_id, self.process, space, tags)
        keys = [base + "clock", self.registry(space)]
        args: list[Argument] = [base, FENCE_MS, self.bus_channel(space), message]
        args += [LIVE_MS, PROOF_FIELD, *sorted(tags)]
        answer = cast("list[bytes]", await self._answer(self._invalidate(keys, args)))
        stamp, before, *live = answer
        peers = frozenset(name.decode("ascii", "replace") for name in live) - {self.process}
        return Invalidated(int(stamp), int(before), message_id, peers)

    async def remember(self, space: str, name: str, ttl_s: float) -> bool:
        key = f"{self.keyspace.base(space)}once:{escape(name)}"
        return bool(await self._answer(self.client.set(key, b"1", nx=True, px=int(ttl_s * 1000))))

    async def flag(self, space: str, name: str) -> str | None:
        value = await self._answer(self.client.get(self._flag_key(space, name)))
        return value.decode(errors="replace") if isinstance(value, bytes) else None

    async def set_flag(self, space: str, name: str, value: str | None) -> None:
        key = self._flag_key(space, name)
        if value is None:
            await self._answer(self.client.delete(key))
        else:
            await self._answer(self.client.set(key, value))

    async def run(
        self, space: str, script: str, names: Sequence[str], args: Sequence[Argument]
    ) -> list[Any]:
        answer = await self._called(script, space, names, args)
        if not isinstance(answer, list):
            raise StoreUnavailable("the store gave another answer than the script's")
        return answer

    async def ping(self) -> None:
        """Once when it begins to fail, all connections are given up: each may be dead without a
        sign of it, and would cost a failure when the store is back.
        """
        try:
            await self._answer(cast("Awaitable[Any]", self.client.ping()))
        except StoreUnavailable:
            pool = getattr(self.client, "connection_pool", None)  # a cluster has none
            if not self._renewed and pool is not None:
                self._run(pool.disconnect())
            self._renewed = True
            raise
        self._renewed = False

    async def aclose(self) -> None:
        await end(self._running)
        await self.client.aclose()

    def _flag_key(self, space: str, name: str) -> str:
        return f"{self.keyspace.base(space)}flag:{escape(name)}"

    async def _called(
        self, script: str, space: str, names: Sequence[str], args: Sequence[Argument]
    ) -> object:
        """What a script answers to one call; those of one turn of the loop are one command."""
        if (calls := self._scripts.get(script)) is None:
            registered = self.client.register_script(for_each(script))
            calls = self._scripts[script] = Joint(registered, self._run)
        base = self.keyspace.base(space)
        command, place = calls.call(space, [base + name for name in names], args)
        answer: object = (await self._waited_for(command))[place]
        if isinstance(answer, ResponseError):
            raise Refused(type(answer).__name__) from answer
        return answer

    async def _answer(self, command: Awaitable[T]) -> T:
        """What a command of its own is answered with."""
        return await self._waited_for(self._run(command))

    async def _waited_for(self, running: asyncio.Future[T]) -> T:
        """The one seam between redis-py's failures and ours."""
        try:
            await patience.wait(running, self._timeout_s)
        finally:
            if not running.done():  # whoever waits for it has a bound, but nobody may
                asyncio.get_running_loop().call_later(self._hung_s, running.cancel)
        if running.cancelled():
            raise StoreUnavailable("closed")
        error = running.exception()
        if isinstance(error, ResponseError):
            # Full, or a replica. A script is refused whole, at its first write.
            raise Refused(type(error).__name__) from error
        if isinstance(error, Exception):
            # Not only RedisError: the cluster client has failures of its own, and a connection
            # that breaks at a bad moment shows as AttributeError or RuntimeError.
            raise StoreUnavailable(type(error).__name__) from error
        return running.result()

    def _run(self, command: Awaitable[T]) -> asyncio.Future[T]:
        running = asyncio.ensure_future(command)
        self._running.add(running)
        running.add_done_callback(self._ended)
        return running

    def _ended(self, command: asyncio.Future[Any]) -> None:
        self._running.discard(command)
        if not command.cancelled():
            command.exception()  # its caller may be gone; the failure is then nobody's


def parse(value: bytes | None) -> Raw | None:
    """A stored value as it came."""
    if value is None:
        return None
    head, newline, sealed = value.partition(b"\n")
    return Raw(head + newline, tuple(head.decode("ascii", "replace").split()[1:]), sealed)
