"""An OpenTelemetry collector on a loopback port, which shows what it was sent (OTLP over HTTP)."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.support.serving import serving

Value = str | int | float | bool | list[str]

_FAILED: Final = Status.StatusCode.STATUS_CODE_ERROR


@dataclass(frozen=True, slots=True)
class Seen:
    """A span as it was sent; ids as hex, `parent` empty for a root, `links` the spans linked."""

    name: str
    trace: str
    ident: str
    parent: str
    kind: str
    failed: bool
    told: dict[str, Value]
    links: tuple[str, ...]
    state: str
    size: tuple[int, int]
    """Numbers of events and of characters in the status' message."""


@dataclass(slots=True)
class Collector:
    """`raw`: every body that came, `of`: what the spans say that they are of."""

    origin: str = ""
    raw: list[bytes] = field(default_factory=list)
    spans: list[Seen] = field(default_factory=list)
    of: list[dict[str, Value]] = field(default_factory=list)

    def named(self, name: str) -> list[Seen]:
        """In the order in which they came, which is that of their ends."""
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> Seen:
        [span] = self.named(name)
        return span

    def tree(self, trace: str) -> list[str]:
        """A line for each span of a trace, indented below its parent, siblings by name."""
        mine = [span for span in self.spans if span.trace == trace]
        known = {span.ident for span in mine}
        roots = [span for span in mine if span.parent not in known]
        return [line for root in _sorted(roots) for line in self._lines(root, mine, 0)]

    def _lines(self, span: Seen, among: list[Seen], depth: int) -> list[str]:
        below = _sorted([each for each in among if each.parent == span.ident])
        own = f"{'  ' * depth}{span.name}"
        return [own, *(line for each in below for line in self._lines(each, among, depth + 1))]

    async def take(self, request: Request) -> Response:
        """`POST /v1/traces`."""
        body = await request.body()
        self.raw.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.of.append(_told(resource.resource.attributes))
            for scope in resource.scope_spans:
                self.spans += [_seen(span) for span in scope.spans]
        return Response(media_type="application/x-protobuf")


@contextlib.asynccontextmanager
async def collector() -> AsyncIterator[Collector]:
    """One that listens."""
    opened = Collector()
    app = Starlette(routes=[Route("/v1/traces", opened.take, methods=["POST"])])
    async with serving(app) as origin:
        opened.origin = origin
        yield opened


def _sorted(spans: list[Seen]) -> list[Seen]:
    return sorted(spans, key=lambda span: span.name)


def _seen(span: Sent) -> Seen:
    return Seen(
        name=span.name,
        trace=span.trace_id.hex(),
        ident=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        kind=Sent.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        failed=span.status.code == _FAILED,
        told=_told(span.attributes),
        links=tuple(link.span_id.hex() for link in span.links),
        state=span.trace_state,
        size=(len(span.events), len(span.status.message)),
    )


def _told(attributes: object) -> dict[str, Value]:
    pairs: list[KeyValue] = list(attributes)  # type: ignore[call-overload]
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Value:
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "int_value":
            return value.int_value
        case "bool_value":
            return value.bool_value
        case "double_value":
            return value.double_value
        case "array_value":
            return [each.string_value for each in value.array_value.values]
        case other:
            raise AssertionError(other)
