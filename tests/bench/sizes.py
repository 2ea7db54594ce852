"""How many bytes go over the wire."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import httpx

from tests.bench.checks import bearer
from tests.bench.gateway import World
from tests.bench.peers import PATH

_CODINGS: Final = ("identity", "gzip", "zstd", "br")


def sizes(world: World) -> Iterator[tuple[str, int]]:
    """Bodies of one bootstrap by shape and coding; of the 304 everything."""
    token = world.several[0].token
    with (
        world.gateway(BFF_REDIS_PREFIX="sizes") as gateway,
        httpx.Client(base_url=gateway.origin, trust_env=False) as client,
    ):
        for name, query in (
            ("whole", ""),
            ("@portal", "?_shape=@portal"),
            ("@mobile", "?_shape=@mobile"),
        ):
            for coding in _CODINGS:
                given = bearer(token, **{"accept-encoding": coding})
                with client.stream("GET", PATH + query, headers=given) as answer:
                    yield f"{name}, {coding}", len(b"".join(answer.iter_raw()))
                    etag = answer.headers["etag"]
        given = bearer(token, **{"if-none-match": etag})
        answer = client.get(PATH + query, headers=given)
        assert answer.status_code == 304, answer.status_code
        head = sum(len(name) + len(value) + 4 for name, value in answer.headers.raw)
        yield "304, its head", len(b"HTTP/1.1 304 Not Modified\r\n\r\n") + head
