"""An answer that is wrong in any way does not count."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import orjson
import pytest
from starlette.types import Receive, Scope, Send

from tests.bench.checks import Right, Wrong, check
from tests.support.serving import serving

BODY = orjson.dumps({"Profiles": [{"Id": 101}]})
HEADERS = {
    "etag": '"x"',
    "cache-control": "private, no-cache",
    "vary": "Authorization, Accept-Encoding, Origin",
    "content-type": "application/json",
}
RIGHT = Right("jane's", BODY, orjson.loads(BODY), HEADERS, per_token=True, conditional=True)


@dataclass(frozen=True)
class Peer:
    """Does the whole job, unless told otherwise."""

    body: bytes = BODY
    status: int = 200
    known: tuple[str, ...] = ("Bearer jane's",)
    validates: bool = True
    always_304: bool = False
    headers: Mapping[str, str] = field(default_factory=lambda: HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        given = {name.decode(): value.decode() for name, value in scope["headers"]}
        status, body = self.status, self.body
        held = given.get("if-none-match")
        if self.known and given["authorization"] not in self.known:
            status, body = 401, b""
        elif held is not None and (self.always_304 or (self.validates and held == '"x"')):
            status, body = 304, b""
        headers = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        if status != 304:
            headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def _checked(peer: Peer, right: Right) -> None:
    async with serving(peer) as origin:
        await asyncio.to_thread(partial(check, origin + "/", right))


async def test_a_peer_that_does_the_whole_job_counts() -> None:
    await _checked(Peer(), RIGHT)


async def test_a_bare_server_need_not_know_tokens_or_validators() -> None:
    bare = replace(RIGHT, per_token=False, conditional=False)
    await _checked(Peer(known=(), validates=False), bare)


@pytest.mark.parametrize(
    ("peer", "reason"),
    [
        (Peer(status=206), "answered 206"),
        (Peer(body=BODY.replace(b"101", b"102")), "other ones"),
        (Peer(known=()), "200 to a token that is nobody's"),
        (Peer(validates=False), "200 to its own validator"),
        (Peer(always_304=True), "304 to another validator"),
        (Peer(headers={"etag": '"x"'}), "1 headers"),
        (Peer(headers={**HEADERS, "vary": "*" * 300}), "4 headers of"),
        (Peer(headers={**HEADERS, "connection": "close"}), "closed"),
    ],
)
async def test_what_is_wrong_is_said(peer: Peer, reason: str) -> None:
    with pytest.raises(Wrong, match=reason):
        await _checked(peer, RIGHT)


@pytest.mark.parametrize(
    ("body", "reason"), [(b'{"Profiles":[]}', "another document"), (b"<html>", "not JSON")]
)
async def test_json_made_by_a_peer_has_to_say_the_same(body: bytes, reason: str) -> None:
    right = replace(RIGHT, body=None)
    await _checked(Peer(body=b' {"Profiles": [{"Id": 101.0}]}'), right)
    with pytest.raises(Wrong, match=reason):
        await _checked(Peer(body=body), right)
