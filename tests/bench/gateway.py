"""The gateway and what it needs, as its users start them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from tests.bench.peers import PATH, Job
from tests.bench.stage import BFF, LOAD_CORE, Server, free_port, running
from tests.support.redis_server import RedisServer

SECRET: Final = "bench-bench-bench-bench-bench-bench-bench"
UPSTREAM_MS: Final = 20
SHAPE: Final = "?_shape=@portal"
MEMBERS: Final = 1_200


@dataclass(frozen=True, slots=True)
class World:
    """A simulated Nexudus, a Redis, and a token of each of its members."""

    sandbox: Server
    redis: RedisServer
    tokens: tuple[str, ...]
    folder: Path

    @contextlib.contextmanager
    def gateway(self, workers: int = 1, **env: str) -> Iterator[Server]:
        """`bff serve` with the budget off: what is measured is its cost, not Nexudus' limits."""
        port = free_port()
        settings = {
            "BFF_UPSTREAM": self.sandbox.origin,
            "BFF_REDIS_URL": self.redis.url,
            "BFF_SECRET": SECRET,
            "BFF_LOG_LEVEL": "warning",
            "BFF_BUDGET": "off",
            "BFF_PROFILES_FRESH_S": "3600",
            "BFF_RELATED_FRESH_S": "3600",
            "BFF_L1_MAX_AGE_S": "3600",
            "BFF_SENTINEL_RATE": "0",
            **env,
        }
        command = [*BFF, "serve", "--port", str(port), "--workers", str(workers)]
        with running(command, port, "/healthz", settings) as server:
            yield server

    def job(self, gateway: Server) -> Job:
        """What peers are to do: the answer that this gateway gives, its bytes and its document."""
        token = self.tokens[0]
        headers = bearer(token)
        body, document = self.folder / "body", self.folder / "document.json"
        with httpx.stream("GET", gateway.origin + PATH + SHAPE, headers=headers) as answer:
            body.write_bytes(b"".join(answer.iter_raw()))
        headers["accept-encoding"] = "identity"
        document.write_bytes(httpx.get(gateway.origin + PATH, headers=headers).content)
        return Job(self.folder, token, body, document, self.redis.url)


def bearer(token: str, **more: str) -> dict[str, str]:
    """Headers of a call, as a browser's that prefers br."""
    return {"authorization": f"Bearer {token}", "accept-encoding": "br", **more}


@contextlib.contextmanager
def world(folder: Path) -> Iterator[World]:
    """To the end of the block."""
    port = free_port()
    env = {
        "BFF_SANDBOX_THROTTLE": "off",
        "BFF_SANDBOX_LATENCY_MS": str(UPSTREAM_MS),
        "BFF_SANDBOX_MEMBERS": str(MEMBERS),
    }
    command = [*BFF, "sandbox", "--port", str(port)]
    with (
        RedisServer() as redis,
        running(command, port, "/_sandbox/healthz", env, core=LOAD_CORE) as sandbox,
    ):
        yield World(sandbox, redis, _minted(sandbox.origin), folder)


def _minted(sandbox: str) -> tuple[str, ...]:
    """One token for each ordinary member with an active profile."""
    with httpx.Client(base_url=sandbox, trust_env=False, timeout=60) as client:
        rows = client.get("/_sandbox/members").json()
        users = [row["user_id"] for row in rows if row["customer"] and row["current_id"]]
        answer = client.post("/_sandbox/tokens", json={"user_ids": users})
        answer.raise_for_status()
        return tuple(row["token"] for row in answer.json()["tokens"])
