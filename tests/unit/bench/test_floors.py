"""Floors are asked for by many at once, of which the checks of the benchmark see nothing."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import sys
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType

import orjson
import pytest
import redis

from tests.bench.peers import HERE
from tests.support.redis_server import RedisServer

TOKENS = [f"token-{number}" for number in range(8)]
PREFIX = "bench:"


def document(token: str) -> dict[str, object]:
    number = TOKENS.index(token) + 1
    return {
        "User": {"Id": number, "Email": f"{token}@example.com"},
        "Profiles": [{"Id": 10 * number, "IsDefaultProfile": True, "Notes": "long"}],
        "RelatedProfiles": [{"Id": 100 * number, "FullName": token}],
        "Threads": [],
        "Bootstrap": {"CoworkerId": 10 * number, "Complete": True, "Problems": []},
    }


@pytest.fixture
async def floor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[ModuleType]:
    """`peers/stored.py`, on a Redis with the documents of all tokens."""
    (tmp_path / "headers").write_text("{}")
    with RedisServer() as server:
        connection: redis.Redis
        with redis.Redis.from_url(server.url) as connection:
            for token in TOKENS:
                digest = b64encode(hashlib.sha256(token.encode()).digest()).decode()
                connection.set(PREFIX + digest, orjson.dumps(document(token)))
        monkeypatch.setenv("REDIS_URL", server.url)
        monkeypatch.setenv("BENCH_DOCUMENTS", PREFIX)
        monkeypatch.setenv("BENCH_HEADERS", str(tmp_path / "headers"))
        monkeypatch.syspath_prepend(str(HERE))
        found = importlib.import_module("stored")
        try:
            yield found
        finally:
            await found._REDIS.aclose()
            del sys.modules["stored"]


async def _asked(floor: ModuleType, target: str, token: str) -> object:
    sent: list[dict[str, object]] = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    headers = [(b"authorization", b"Bearer " + token.encode())]
    scope = {"headers": headers, "query_string": b"_shape=User.Id,RelatedProfiles,Bootstrap"}
    await getattr(floor, target)(scope, None, send)
    body = sent[1]["body"]
    assert isinstance(body, bytes)
    return sent[0]["status"], body and orjson.loads(body)


@pytest.mark.parametrize("target", ["alone", "together", "ready"])
async def test_whoever_asks_at_the_same_moment_gets_their_own(
    floor: ModuleType, target: str
) -> None:
    wanted: list[object] = []
    for token in TOKENS:
        whole = document(token)
        kept = {name: whole[name] for name in ("RelatedProfiles", "Bootstrap")}
        wanted.append((200, {"User": {"Id": TOKENS.index(token) + 1}, **kept}))
    for _ in range(2):
        asked = [_asked(floor, target, token) for token in [*TOKENS, "nobody's"]]
        assert await asyncio.gather(*asked) == [*wanted, (404, b"")]


async def test_what_is_asked_for_in_one_turn_is_one_command(floor: ModuleType) -> None:
    commands: list[list[bytes]] = []

    async def mget(names: list[bytes]) -> list[bytes]:
        commands.append(names)
        return names

    together = floor.Together(mget)
    asked = [together.mget([b"%d" % n, b"%d'" % n]) for n in range(3)]
    assert await asyncio.gather(*asked) == [[b"0", b"0'"], [b"1", b"1'"], [b"2", b"2'"]]
    assert await together.mget([b"later"]) == [b"later"]
    assert [len(names) for names in commands] == [6, 1]
