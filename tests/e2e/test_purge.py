"""`bff purge` against a running gateway, and against what is none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from bff.app import build
from bff.purge import purge
from bff.sandbox.app import create_app
from bff.sandbox.options import SandboxOptions
from bff.settings import load
from bff.terminal import CommandFailed
from tests.e2e.commands import bff
from tests.support.raw_upstream import answering, upstream
from tests.support.redis_server import RedisServer
from tests.support.serving import client, serving

TOKEN = "t-jane"
OPS_TOKEN = "canary-operator-token"


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway before a simulated Nexudus."""

    origin: str

    async def cache_status(self) -> str:
        """How a bootstrap is answered now."""
        async with client(self.origin, TOKEN) as member:
            answer = await member.get("/session/bootstrap")
        assert answer.status_code == 200
        return answer.headers["cache-status"]


@pytest.fixture
async def nexudus() -> AsyncIterator[str]:
    options = SandboxOptions(members=0, throttle=False, demo_token=TOKEN)
    async with serving(create_app(options)) as origin:
        yield origin


@pytest.fixture
async def gateway(nexudus: str) -> AsyncIterator[Gateway]:
    settings = load({"BFF_UPSTREAM": nexudus, "BFF_OPS_TOKEN": OPS_TOKEN})
    async with serving(build(settings)) as origin:
        yield Gateway(origin)


@pytest.mark.unmeasured
@pytest.mark.parametrize("what", [("--user", "7001"), ("--coworker", "101")])
async def test_what_is_purged_is_fetched_again(gateway: Gateway, what: tuple[str, str]) -> None:
    await gateway.cache_status()
    assert (await gateway.cache_status()).startswith("bff; hit")
    options = ("--url", gateway.origin, *what)
    done = await asyncio.to_thread(bff, "purge", *options, BFF_OPS_TOKEN=OPS_TOKEN)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"{what[0][2:]} {what[1]} purged.\n")
    assert (await gateway.cache_status()).startswith("bff; fwd=uri-miss")


async def test_everything_is_purged(gateway: Gateway) -> None:
    await gateway.cache_status()
    done = await asyncio.to_thread(purge, gateway.origin, OPS_TOKEN, {"everything": True})
    assert done.everywhere
    assert (await gateway.cache_status()).startswith("bff; fwd=uri-miss")


async def test_a_wrong_operator_token_is_refused_in_the_words_of_the_gateway(
    gateway: Gateway,
) -> None:
    options = ("--url", gateway.origin, "--user", "7", "--ops-token", "canary-wrong")
    done = await asyncio.to_thread(bff, "purge", *options)
    assert done.returncode == 1
    assert done.stderr.startswith("bff: The gateway refuses (401): ")
    assert "canary" not in done.stdout + done.stderr


async def test_a_gateway_without_an_operator_token_is_told(nexudus: str) -> None:
    async with serving(build(load({"BFF_UPSTREAM": nexudus}))) as origin:
        with pytest.raises(CommandFailed, match="has no operators' API"):
            await asyncio.to_thread(purge, origin, OPS_TOKEN, {"user": 7})


async def test_a_redis_that_is_away_is_told(nexudus: str, own_redis: RedisServer) -> None:
    variables = {"BFF_UPSTREAM": nexudus, "BFF_OPS_TOKEN": OPS_TOKEN, "BFF_SECRET": "s" * 32}
    async with serving(build(load({**variables, "BFF_REDIS_URL": own_redis.url}))) as origin:
        own_redis.kill()
        done = await asyncio.to_thread(purge, origin, OPS_TOKEN, {"user": 7})
    assert not done.stored
    assert not done.everywhere


@pytest.mark.parametrize(
    ("head", "body", "words"),
    [
        (b"HTTP/1.1 200 OK", b"<html>", "answered 200, which is not"),
        (b"HTTP/1.1 200 OK", b'{"purged":1}', "answered 200, which is not"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/", b"", "answered 302"),
        (b"HTTP/1.1 404 Not Found", b"", "has no operators' API"),
        (b"HTTP/1.1 400 Bad Request", b'{"detail":"so not"}', r"refuses \(400\): so not"),
    ],
)
async def test_answers_of_others_are_told(head: bytes, body: bytes, words: str) -> None:
    async with upstream(answering(body, head=head)) as running:
        with pytest.raises(CommandFailed, match=words):
            await asyncio.to_thread(purge, running.space.origin.url, OPS_TOKEN, {"user": 7})


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "gateway", "ftp://x", "http://[", ""])
def test_urls_that_lead_nowhere_are_told(url: str) -> None:
    with pytest.raises(CommandFailed) as failed:
        purge(url, OPS_TOKEN, {"user": 7})
    assert OPS_TOKEN not in str(failed.value)


async def test_the_operator_token_is_shown_to_no_proxy_on_its_way_to_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with upstream(answering(b"{}")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.space.origin.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        for host in ("127.0.0.1", "localhost", "[::1]"):
            with pytest.raises(CommandFailed, match="No answer"):
                await asyncio.to_thread(purge, f"http://{host}:9", OPS_TOKEN, {"user": 7})
        assert proxy.peers == []
        with pytest.raises(CommandFailed, match="answered 200"):
            await asyncio.to_thread(purge, "http://gateway.example", OPS_TOKEN, {"user": 7})
        assert len(proxy.peers) == 1
