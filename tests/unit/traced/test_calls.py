"""What a call to Nexudus tells of its trace."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import httpcore

from bff.observe.tracing import Tracer
from bff.traced.calls import _Telling


@dataclass
class Tracing:
    """A tracer that is at `span`, and a transport that writes down what it is asked with."""

    span: str = "first"
    asked: list[list[tuple[bytes, bytes]]] = field(default_factory=list)

    def outgoing(self) -> list[tuple[str, str]]:
        return [("traceparent", self.span)]

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        self.asked.append(list(request.headers))
        return httpcore.Response(200)

    async def aclose(self) -> None:
        pass


async def test_a_request_that_goes_out_again_tells_of_one_trace_only() -> None:
    tracing = Tracing()
    telling = _Telling(tracing, cast(Tracer, tracing))
    request = httpcore.Request("GET", "https://acme.test/", headers=[(b"accept", b"*/*")])
    for tracing.span in ("first", "second"):
        await telling.handle_async_request(request)
    accept = (b"accept", b"*/*")
    assert tracing.asked == [
        [accept, (b"traceparent", b"first")],
        [accept, (b"traceparent", b"second")],
    ]
