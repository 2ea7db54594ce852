"""That an answer is right, before it counts: its bytes, its headers, whose it is, its 304."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import httpx
import orjson

SERVERS_OWN: Final = frozenset(
    {"date", "server", "connection", "keep-alive", "transfer-encoding", "content-length"}
)
"""Headers that a server adds by itself."""


class Wrong(Exception):
    """An answer that may not be counted; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came, as it was on the wire."""

    status: int
    headers: httpx.Headers
    raw: bytes

    def document(self) -> object:
        """The JSON in it. Raises Wrong."""
        body = httpx.Response(self.status, headers=self.headers, content=self.raw).content
        try:
            found: object = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise Wrong("the body is not JSON") from None
        return found


@dataclass(frozen=True, slots=True)
class Right:
    """What an answer to `token` has to be: these bytes, or JSON that says the same as `document`.

    `headers`: as many and as long ones, about. `per_token`: others are refused. `conditional`: its
    validator gives a 304.
    """

    token: str
    body: bytes | None = None
    document: object = None
    headers: Mapping[str, str] | None = None
    per_token: bool = False
    conditional: bool = False


def bearer(token: str, **more: str) -> dict[str, str]:
    """Headers of a call, as a browser's that prefers br."""
    return {"authorization": f"Bearer {token}", "accept-encoding": "br", **more}


def asked(url: str, headers: Mapping[str, str]) -> Answer:
    """One GET, the body as it came."""
    with httpx.stream("GET", url, headers=headers, trust_env=False, timeout=30) as answer:
        return Answer(answer.status_code, answer.headers, b"".join(answer.iter_raw()))


def check(url: str, right: Right, **more: str) -> Answer:
    """Ask twice, as caches learn an answer with the first. `more`: headers. Raises Wrong."""
    given = bearer(right.token, **more)
    asked(url, given)
    found = asked(url, given)
    if found.status != 200:
        raise Wrong(f"answered {found.status}")
    if right.body is not None and found.raw != right.body:
        raise Wrong(f"answered {len(found.raw)} bytes, other ones than the {len(right.body)} right")
    if right.document is not None and found.document() != right.document:
        raise Wrong("answered another document")
    if right.headers is not None:
        _alike(found.headers, right.headers)
    if right.per_token:
        other = asked(url, bearer("nobody's", **more))
        if other.status not in (401, 404) or found.raw in other.raw:
            raise Wrong(f"answered {other.status} to a token that is nobody's")
    if right.conditional:
        _unmodified(url, found, given)
    return found


def _alike(found: Mapping[str, str], right: Mapping[str, str]) -> None:
    if found.get("connection") == "close":
        raise Wrong("closed the connection")
    fields = [[pair for pair in h.items() if pair[0] not in SERVERS_OWN] for h in (found, right)]
    counts = [len(pairs) for pairs in fields]
    sizes = [sum(len(name) + len(value) + 4 for name, value in pairs) for pairs in fields]
    if abs(counts[0] - counts[1]) > 1 or not 0.8 < sizes[0] / sizes[1] < 1.25:
        raise Wrong(
            f"answered {counts[0]} headers of {sizes[0]} bytes, where {counts[1]} of {sizes[1]} "
            "are right"
        )


def _unmodified(url: str, found: Answer, given: Mapping[str, str]) -> None:
    again = asked(url, {**given, "if-none-match": found.headers["etag"]})
    if again.status != 304 or again.raw:
        raise Wrong(f"answered {again.status} to its own validator")
    changed = asked(url, {**given, "if-none-match": '"another"'})
    if changed.status != 200 or changed.raw != found.raw:
        raise Wrong(f"answered {changed.status} to another validator")
