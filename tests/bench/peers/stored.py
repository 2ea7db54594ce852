"""The floor of what stands in Redis only: the gateway's libraries, and nothing between them.

At its start it takes the documents that the Fastify peer reads, and stores them as the gateway
does: in two parts, each zstandard with the gateway's dictionary, sealed with AES-GCM.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
import os
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs

import orjson
import redis
import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from redis.asyncio import Redis

from bff.cache.envelope import dictionary
from bff.resources import RELATED, active_profile
from bff.shape import Shape, parse, project

Found = Sequence[bytes | None]
Mget = Callable[[Sequence[bytes]], Awaitable[Found]]
Tagged = tuple[bytes, bytes]
"""A validator and the body that it is of."""

_URL = os.environ["REDIS_URL"]
# No timeout: redis-py would take a task and two timers for each command to keep one.
_REDIS = Redis.from_url(_URL, socket_timeout=None)
_KEY = AESGCM(hashlib.sha256(b"one key for all").digest())
_DICTIONARY = zstandard.ZstdCompressionDict(dictionary(1))
_UNPACKER = zstandard.ZstdDecompressor(dict_data=_DICTIONARY)
_NONCE_BYTES = 12
_ETAG_BYTES = 24
_HEADERS: dict[str, str] = json.loads(Path(os.environ["BENCH_HEADERS"]).read_bytes())
_RAW = [
    (name.encode(), value.encode())
    for name, value in _HEADERS.items()
    if name not in ("etag", "content-encoding")
]


def _fill() -> None:
    """Two sealed parts of every document that is there."""
    connection: redis.Redis = redis.Redis.from_url(_URL)
    packer = zstandard.ZstdCompressor(level=8, dict_data=_DICTIONARY)
    prefix = os.environ["BENCH_DOCUMENTS"].encode()
    for key in connection.scan_iter(prefix + b"*", count=1000):
        document = orjson.loads(connection.get(key) or b"{}")
        del document["Bootstrap"]
        related = {name: document.pop(name) for name in RELATED.members & document.keys()}
        names = _names(key.removeprefix(prefix))
        for name, members in zip(names, (document, related), strict=True):
            nonce = os.urandom(_NONCE_BYTES)
            packed = packer.compress(orjson.dumps(members))
            connection.set(name, nonce + _KEY.encrypt(nonce, packed, name))


def _names(digest: bytes) -> tuple[bytes, bytes]:
    return b"floor:profiles:" + digest, b"floor:related:" + digest


def _opened(name: bytes, sealed: bytes) -> dict[str, Any]:
    packed = _KEY.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], name)
    members: dict[str, Any] = orjson.loads(_UNPACKER.decompress(packed))
    return members


@functools.lru_cache(1000)
def _shape(query: bytes) -> Shape:
    return parse(parse_qs(query.decode()).get("_shape", [""])[0])


class Together:
    """All that is asked for in one turn of the event loop, as one command."""

    def __init__(self, mget: Mget) -> None:
        self._mget = mget
        self._names: list[bytes] = []
        self._command: asyncio.Task[Found] | None = None

    async def mget(self, names: Sequence[bytes]) -> Found:
        if self._command is None:
            self._names = []
            self._command = asyncio.create_task(self._sent(self._names))
        command, first = self._command, len(self._names)
        self._names += names
        return (await command)[first : first + len(names)]

    async def _sent(self, names: list[bytes]) -> Found:
        self._command = None
        return await self._mget(names)


async def _made(mget: Mget, digest: bytes, query: bytes) -> Tagged | None:
    """From both parts, merged and projected."""
    names = _names(digest)
    profiles, related = await mget(names)
    if profiles is None or related is None:
        return None
    listed = _opened(names[0], profiles)
    own: dict[str, Any] = {"CoworkerId": active_profile(listed), "Complete": True, "Problems": []}
    merged = {**listed, **_opened(names[1], related), "Bootstrap": own}
    body = orjson.dumps(project(merged, _shape(query)))
    hashed = hashlib.blake2b(body, digest_size=16).digest()
    return b'"%b"' % urlsafe_b64encode(hashed)[:22], body


async def _kept(mget: Mget, digest: bytes, query: bytes) -> Tagged | None:
    """As the first who asked for it had it made."""
    name = b"floor:ready:" + digest + query
    (kept,) = await mget([name])
    if kept is None:
        made = await _made(mget, digest, query)
        if made is None:
            return None
        kept = b"".join(made)
        await _REDIS.set(name, kept)
    return kept[:_ETAG_BYTES], kept[_ETAG_BYTES:]


def _asgi(answer: Callable[[bytes, bytes], Awaitable[Tagged | None]]) -> Callable[..., Any]:
    async def app(scope: dict[str, Any], _receive: Any, send: Any) -> None:
        given: dict[bytes, bytes] = dict(scope["headers"])
        bearer = given.get(b"authorization", b"")
        digest = b64encode(hashlib.sha256(bearer.removeprefix(b"Bearer ")).digest())
        found = await answer(digest, scope["query_string"])
        status, body, headers = 404, b"", []
        if found is not None:
            etag, body = found
            status, headers = 200, [*_RAW, (b"etag", etag)]
            if given.get(b"if-none-match") == etag:
                status, body = 304, b""
            else:
                headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


_alone = cast(Mget, _REDIS.mget)
_together = Together(_alone).mget
alone = _asgi(functools.partial(_made, _alone))
together = _asgi(functools.partial(_made, _together))
ready = _asgi(functools.partial(_kept, _together))
_fill()
