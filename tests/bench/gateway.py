"""The gateway and what it needs, as its users start them."""

from __future__ import annotations

import contextlib
import hashlib
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import orjson
import redis

from bff.shape.named import DEFAULTS
from tests.bench.checks import SERVERS_OWN, bearer
from tests.bench.peers import DOCUMENTS, PATH, Job
from tests.bench.stage import BFF, LOAD_CORE, SERVER_CORE, Server, free_port, move, running
from tests.reference.shape_model import select
from tests.support.redis_server import RedisServer

SECRET: Final = "bench-bench-bench-bench-bench-bench-bench"
NEAR_MS: Final = 20
HOSTED_MS: Final = 200
"""What a call to a hosted API such as Nexudus takes, from another network."""
SHAPE: Final = "?_shape=@portal"
WRITTEN_OUT: Final = f"?_shape={DEFAULTS['portal']}"
"""The same shape, for those that know no names."""
PROFILE_LIST: Final = "/api/public/coworkers/profiles"
RELATED_LIST: Final = "/api/public/coworkers/published/{active}/related"
MEMBERS: Final = 5_000
PROFILES: Final = 3


@dataclass(frozen=True, slots=True)
class Member:
    """One user of the simulated Nexudus with a token; `active`: the profile that is."""

    token: str
    active: int
    profiles: int


@dataclass(frozen=True, slots=True)
class World:
    """A simulated Nexudus with its members, and a Redis."""

    sandbox: Server
    redis: RedisServer
    members: tuple[Member, ...]
    folder: Path
    latency_ms: int

    @property
    def several(self) -> tuple[Member, ...]:
        """Those with three profiles, real-sized: their documents are some 18 KB."""
        return tuple(each for each in self.members if each.profiles == PROFILES)

    @contextlib.contextmanager
    def gateway(self, workers: int = 1, core: str = SERVER_CORE, **env: str) -> Iterator[Server]:
        """`bff serve` with the budget off: what is measured is its cost, not Nexudus' limits."""
        port = free_port()
        settings = {
            "BFF_UPSTREAM": self.sandbox.origin,
            "BFF_REDIS_URL": self.redis.url,
            "BFF_SECRET": SECRET,
            "BFF_LOG_LEVEL": "warning",
            "BFF_BUDGET": "off",
            # Nothing gets old while it is measured, and nothing is fetched behind it.
            "BFF_PROFILES_FRESH_S": "3600",
            "BFF_RELATED_FRESH_S": "3600",
            "BFF_L1_MAX_AGE_S": "3600",
            "BFF_SENTINEL_RATE": "0",
            **env,
        }
        command = [*BFF, "serve", "--port", str(port), "--workers", str(workers)]
        with running(command, port, "/healthz", settings, core=core) as server:
            yield server

    def truth(self, member: Member, shape: str = "") -> object:
        """What a member is to be answered: Nexudus' two answers merged, shaped by the book."""
        merged: dict[str, object] = {}
        with httpx.Client(base_url=self.sandbox.origin, trust_env=False, timeout=30) as client:
            for path in (PROFILE_LIST, RELATED_LIST.replace("{active}", str(member.active))):
                answer = client.get(path, headers=bearer(member.token)).raise_for_status()
                merged |= answer.json()
        merged["Bootstrap"] = {"CoworkerId": member.active, "Complete": True, "Problems": []}
        return select(merged, shape)

    def job(self, gateway: Server) -> Job:
        """What peers are to do: the answer that this gateway gives, its bytes and its headers."""
        member = self.several[0]
        body, headers = self.folder / "body", self.folder / "headers.json"
        given = bearer(member.token)
        httpx.get(gateway.origin + PATH + SHAPE, headers=given).raise_for_status()
        with httpx.stream("GET", gateway.origin + PATH + SHAPE, headers=given) as answer:
            body.write_bytes(b"".join(answer.iter_raw()))
            assert "hit" in answer.headers["cache-status"], answer.headers["cache-status"]
            kept = {n: v for n, v in answer.headers.items() if n not in SERVERS_OWN}
        headers.write_bytes(orjson.dumps(kept))
        return Job(self.folder, member.token, body, headers, self.redis.url)

    def keep_documents(self, gateway: Server, members: Sequence[Member]) -> None:
        """Each member's whole document, as the peers that read Redis expect to find it there.

        It is in the gateway's own store by then, too.
        """
        connection: redis.Redis = redis.Redis.from_url(self.redis.url)
        with httpx.Client(base_url=gateway.origin, trust_env=False, timeout=30) as client:
            for member in members:
                answer = client.get(PATH, headers=bearer(member.token))
                answer.raise_for_status()
                digest = b64encode(hashlib.sha256(member.token.encode()).digest()).decode()
                connection.set(DOCUMENTS + digest, answer.content)


def listed(path: Path, members: Sequence[Member], target: str = "") -> Path:
    """A file for wrk: one member's token a line, and what to ask with it, `{active}` filled in."""
    lines = [f"{each.token} {target.replace('{active}', str(each.active))}" for each in members]
    path.write_text("\n".join(lines) + "\n")
    return path


@contextlib.contextmanager
def own_redis() -> Iterator[RedisServer]:
    """On the load's core: it is a part of what is asked, not of who answers."""
    with RedisServer() as server:
        move(server.pid, LOAD_CORE)
        yield server


@contextlib.contextmanager
def world(folder: Path, latency_ms: int = NEAR_MS) -> Iterator[World]:
    """To the end of the block."""
    port = free_port()
    env = {
        "BFF_SANDBOX_THROTTLE": "off",
        "BFF_SANDBOX_LATENCY_MS": str(latency_ms),
        "BFF_SANDBOX_MEMBERS": str(MEMBERS),
    }
    command = [*BFF, "sandbox", "--port", str(port)]
    with (
        own_redis() as server,
        running(command, port, "/_sandbox/healthz", env, core=LOAD_CORE) as sandbox,
    ):
        yield World(sandbox, server, _members(sandbox.origin), folder, latency_ms)


def _members(sandbox: str) -> tuple[Member, ...]:
    """Every ordinary member with an active profile."""
    with httpx.Client(base_url=sandbox, trust_env=False, timeout=60) as client:
        rows = {
            row["user_id"]: row
            for row in client.get("/_sandbox/members").json()
            if row["customer"] and row["current_id"] in row["published_ids"]
        }
        answer = client.post("/_sandbox/tokens", json={"user_ids": list(rows)})
        answer.raise_for_status()
        return tuple(
            Member(
                each["token"],
                rows[each["user_id"]]["current_id"],
                len(rows[each["user_id"]]["coworker_ids"]),
            )
            for each in answer.json()["tokens"]
        )
