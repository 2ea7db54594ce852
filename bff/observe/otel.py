"""Spans by OpenTelemetry, sent by OTLP over HTTP. Imported only where traces are on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext, TraceFlags, TraceState

from bff.observe import logs
from bff.observe.trace_context import Parent
from bff.observe.tracing import FLUSH_S, Attributes, Kind, Span

log = structlog.get_logger("bff.traces")

_KINDS = {
    Kind.SERVER: trace.SpanKind.SERVER,
    Kind.CLIENT: trace.SpanKind.CLIENT,
    Kind.INTERNAL: trace.SpanKind.INTERNAL,
}
_NOWHERE = trace.INVALID_SPAN


class OtelSpan:
    """A `Span`."""

    __slots__ = ("otel",)

    def __init__(self, otel: trace.Span) -> None:
        self.otel = otel

    @property
    def trace_id(self) -> str:
        context = self.otel.get_span_context()
        return trace.format_trace_id(context.trace_id) if context.is_valid else ""

    def rename(self, name: str) -> None:
        self.otel.update_name(name)

    def tell(self, attributes: Attributes) -> None:
        if self.otel.is_recording():  # the SDK would log that it is not
            self.otel.set_attributes(dict(attributes))

    def link(self, other: Span) -> None:
        if isinstance(other, OtelSpan) and self.otel.is_recording():
            self.otel.add_link(other.otel.get_span_context())

    def failed(self, kind: str) -> None:
        # Never the error's own text, nor its traceback: either may quote what it is about.
        self.tell({"error.type": kind})
        if self.otel.is_recording():
            self.otel.set_status(trace.StatusCode.ERROR)

    def end(self) -> None:
        self.otel.end()


class OtelTracer:
    """A `Tracer`. Standard OTEL_* variables say where spans go, as whose, and which.

    `flush_s`: how long an end waits for what is left to be sent.
    """

    def __init__(self, flush_s: float = FLUSH_S) -> None:
        self._flush_s = flush_s
        self._tracer: trace.Tracer = trace.NoOpTracer()
        self._provider: TracerProvider | None = None
        self._exporter: SpanExporter | None = None

    def start(self) -> None:
        logs.adopt("opentelemetry")
        self._exporter = Told(OTLPSpanExporter())
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("bff")

    async def aclose(self) -> None:
        provider, exporter = self._provider, self._exporter
        if provider is None or exporter is None:
            return
        self._tracer, self._provider = trace.NoOpTracer(), None
        loop, sent = asyncio.get_running_loop(), asyncio.Event()

        def flush() -> None:
            provider.shutdown()
            # Nobody may be waiting any more, nor the loop be there.
            if not loop.is_closed():
                loop.call_soon_threadsafe(sent.set)

        # A thread of its own, which does not hold up the end of the process as a pool's would.
        threading.Thread(target=flush, name="traces, flushed", daemon=True).start()
        try:
            await asyncio.wait_for(sent.wait(), self._flush_s)
        except TimeoutError:
            exporter.shutdown()

    @property
    def recording(self) -> bool:
        return trace.get_current_span().is_recording()

    @property
    def current(self) -> Span:
        return OtelSpan(trace.get_current_span())

    @contextmanager
    def request(self, parent: Parent | None) -> Iterator[Span]:
        began = self._tracer.start_span("request", _context_of(parent), trace.SpanKind.SERVER)
        with self._current(OtelSpan(began)) as span:
            yield span

    @contextmanager
    def step(self, name: str, attributes: Attributes, kind: Kind = Kind.INTERNAL) -> Iterator[Span]:
        if not self.recording:
            yield OtelSpan(_NOWHERE)
            return
        began = self._tracer.start_span(name, kind=_KINDS[kind], attributes=dict(attributes))
        with self._current(OtelSpan(began)) as span:
            yield span

    def begin(self, name: str, attributes: Attributes) -> Span:
        return OtelSpan(self._tracer.start_span(name, attributes=dict(attributes)))

    @contextmanager
    def inside(self, span: Span) -> Iterator[None]:
        assert isinstance(span, OtelSpan)
        with self._current(span):
            yield

    def outgoing(self) -> Sequence[tuple[str, str]]:
        context = trace.get_current_span().get_span_context()
        if not context.is_valid:
            return ()
        ids = f"{trace.format_trace_id(context.trace_id)}-{trace.format_span_id(context.span_id)}"
        state = context.trace_state.to_header() if context.trace_flags.sampled else ""
        parent = ("traceparent", f"00-{ids}-{context.trace_flags:02x}")
        return (parent, ("tracestate", state)) if state else (parent,)

    @contextmanager
    def _current(self, span: OtelSpan) -> Iterator[OtelSpan]:
        with trace.use_span(
            span.otel, end_on_exit=True, record_exception=False, set_status_on_exception=False
        ):
            try:
                yield span
            except asyncio.CancelledError:
                span.tell({"bff.cancelled": True})
                raise
            except Exception as error:
                span.failed(type(error).__name__)
                raise


class Told(SpanExporter):
    """An exporter that says once that spans cannot be sent, and once that they can again."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self._away = False
        self._over = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._inner.export(spans)
        away = result is not SpanExportResult.SUCCESS
        if away and not self._away:
            log.warning("traces_not_sent")
        elif self._away and not away:
            log.info("traces_sent_again")
        self._away = away
        return result

    def shutdown(self) -> None:
        if not self._over:  # by whoever waited long enough, and then by the provider
            self._over = True
            self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)


def _context_of(parent: Parent | None) -> Context:
    """A context in which the caller's span is the current one, or none is."""
    if parent is None:
        return Context()
    flags = TraceFlags(TraceFlags.SAMPLED if parent.sampled else TraceFlags.DEFAULT)
    state = TraceState.from_header([parent.state]) if parent.state else None
    ids = int(parent.trace_id, 16), int(parent.span_id, 16)
    remote = SpanContext(*ids, is_remote=True, trace_flags=flags, trace_state=state)
    return trace.set_span_in_context(trace.NonRecordingSpan(remote), Context())


def _resource() -> Resource:
    """What the environment says of this process, and a name where it gives none."""
    given = Resource.create()
    if str(given.attributes[SERVICE_NAME]).startswith("unknown_service"):
        return given.merge(Resource({SERVICE_NAME: "bff"}))
    return given
