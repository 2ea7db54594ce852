"""The floor of a cold session: its two calls and five Redis commands, and nothing between them.

Five is how many the gateway takes: what is there is looked for, then for each call a lock is taken
before it, and after it what came is stored, packed and sealed, which nobody waits for.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

import brotli  # type: ignore[import-untyped]
import httpcore
import httpx
import orjson
import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from redis.asyncio import Redis

from bff.cache.envelope import dictionary
from bff.nexudus.client import open_pools
from bff.resources import PROFILES, RELATED, Resource, active_profile

Get = Callable[[str, str], Awaitable[bytes]]
"""A path and an Authorization header to a body; raises httpx.HTTPStatusError."""

_UPSTREAM = os.environ["BENCH_UPSTREAM"]
_PREFIX = os.environ["BENCH_DOCUMENTS"]
_REDIS = Redis.from_url(os.environ["REDIS_URL"], socket_timeout=None, max_connections=1_000)
# With more connections kept idle than the twenty of its default, it takes many times longer.
_CLIENT = httpx.AsyncClient(base_url=_UPSTREAM, trust_env=False, timeout=30)
_CONNECTIONS = open_pools(200, tls=lambda: None)
_KEY = AESGCM(hashlib.sha256(b"one key for all").digest())
_PACKER = zstandard.ZstdCompressor(level=8, dict_data=zstandard.ZstdCompressionDict(dictionary(1)))
_STORING: set[asyncio.Task[None]] = set()
_RAW = [
    (b"content-type", b"application/json"),
    (b"content-encoding", b"br"),
    (b"cache-control", b"private, no-cache"),
    (b"vary", b"Authorization, Accept-Encoding, Origin"),
]


async def _by_client(path: str, bearer: str) -> bytes:
    """As users of httpx write it."""
    answer = await _CLIENT.get(path, headers={"authorization": bearer})
    return answer.raise_for_status().content


async def _by_transport(path: str, bearer: str) -> bytes:
    """Over the gateway's connections, which are httpcore's without its pool."""
    asked = httpcore.URL(_UPSTREAM + path)
    headers = [(b"host", asked.host), (b"authorization", bearer.encode())]
    answer = await _CONNECTIONS.handle_async_request(
        httpcore.Request("GET", asked, headers=headers)
    )
    body = await answer.aread()
    await answer.aclose()
    if answer.status >= 400:
        request = httpx.Request("GET", _UPSTREAM + path)
        httpx.Response(answer.status, request=request).raise_for_status()
    return body


async def _stored(name: str, body: bytes) -> None:
    """Nobody waits for it."""
    nonce = os.urandom(12)
    sealed = nonce + _KEY.encrypt(nonce, _PACKER.compress(body), name.encode())
    await _REDIS.set(name, sealed, ex=3_600)


class _Session:
    """One member's, being made."""

    def __init__(self, get: Get, bearer: str) -> None:
        self._get = get
        self._bearer = bearer
        self._name = _PREFIX + hashlib.sha256(bearer.encode()).hexdigest()
        self.spent_s: dict[str, float] = {}

    async def made(self, hint: str | None) -> bytes:
        """The whole document."""
        await _REDIS.mget([f"{self._name}:{each.name}" for each in (PROFILES, RELATED)])
        if hint is None:
            listed = await self._called(PROFILES, "")
            related = await self._called(RELATED, str(active_profile(listed)))
        else:
            listed, related = await asyncio.gather(
                self._called(PROFILES, ""), self._called(RELATED, hint)
            )
        active = active_profile(listed)
        own: dict[str, Any] = {"CoworkerId": active, "Complete": True, "Problems": []}
        return orjson.dumps({**listed, **related, "Bootstrap": own})

    async def _called(self, resource: Resource, ident: str) -> dict[str, Any]:
        name = f"{self._name}:{resource.name}"
        await _REDIS.set(name + ":lock", b"1", nx=True, px=10_000)
        began = time.monotonic()
        body = await self._get(resource.path_for(ident), self._bearer)
        self.spent_s[resource.name] = time.monotonic() - began
        storing = asyncio.create_task(_stored(name, body))
        _STORING.add(storing)
        storing.add_done_callback(_STORING.discard)
        members: dict[str, Any] = orjson.loads(body)
        return members


def _asgi(get: Get) -> Callable[..., Any]:
    async def app(scope: dict[str, Any], _receive: Any, send: Any) -> None:
        began = time.monotonic()
        given: dict[bytes, bytes] = dict(scope["headers"])
        session = _Session(get, given.get(b"authorization", b"").decode())
        query = parse_qs(scope["query_string"].decode())
        status, body = 200, b""
        try:
            text = await session.made(query.get("coworkerId", [None])[0])
        except httpx.HTTPStatusError as refusal:
            status, headers = refusal.response.status_code, []
        else:
            body = brotli.compress(text, quality=5)
            hashed = hashlib.blake2b(body, digest_size=16).digest()
            session.spent_s["total"] = time.monotonic() - began
            spent = session.spent_s.items()
            headers = [
                *_RAW,
                (b"etag", b'"%b"' % urlsafe_b64encode(hashed)[:22]),
                (b"content-length", b"%d" % len(body)),
                (b"server-timing", ", ".join(f"{n};dur={1e3 * s:.1f}" for n, s in spent).encode()),
            ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


client = _asgi(_by_client)
transport = _asgi(_by_transport)
