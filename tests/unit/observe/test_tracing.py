"""Spans as they are made and sent: off at no cost, ended in time, without what errors say."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from structlog.testing import capture_logs

from bff.errors import SettingsError
from bff.observe.otel import OtelTracer, Told
from bff.observe.trace_context import Parent
from bff.observe.tracing import Kind, open_tracer
from tests.support.collector import Collector, collector

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = Parent(TRACE, SPAN, True, "vendor=1")
UNSAMPLED = Parent(TRACE, SPAN, False)


@contextlib.asynccontextmanager
async def sending(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[OtelTracer, Collector]]:
    """A tracer that has sent everything when it ends, and what it sends to."""
    async with collector() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.origin)
        tracer = OtelTracer()
        tracer.start()
        yield tracer, receiver
        await tracer.aclose()


@pytest.mark.unmeasured
def test_off_is_no_tracer_and_nothing_of_opentelemetrys_for_one() -> None:
    """redis-py imports its metrics by itself, where it is installed."""
    assert open_tracer(on=False) is None
    code = (
        "import sys; from bff.app import build; from bff.settings import load;"
        "build(load({'BFF_UPSTREAM': 'http://127.0.0.1:9'}));"
        "print(sorted({'bff.observe.otel', 'opentelemetry.sdk.trace', 'opentelemetry.exporter'}"
        " & sys.modules.keys()))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "[]\n"


def test_on_without_the_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bff.observe.otel", None)
    with pytest.raises(SettingsError) as raised:
        open_tracer(on=True)
    [fault] = raised.value.faults
    assert fault.variable == "BFF_TRACES"
    assert "pip install --require-hashes -r deploy/requirements-otel.txt" in fault.reason


async def test_a_request_is_part_of_its_callers_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    async with sending(monkeypatch) as (tracer, receiver):
        with tracer.request(SAMPLED) as span:
            assert span.trace_id == TRACE
            span.rename("GET /x")
            with tracer.step("part", {"bff.space": "acme"}, Kind.CLIENT) as part:
                part.tell({"bff.tiers": ["l1", "none"], "bff.found": 1, "bff.behind": True})
                part.link(span)
                headers = dict(tracer.outgoing())
        assert tracer.outgoing() == ()
        assert not tracer.recording
    request, part_sent = receiver.one("GET /x"), receiver.one("part")
    assert (request.trace, request.parent, request.kind) == (TRACE, SPAN, "server")
    assert (part_sent.trace, part_sent.parent, part_sent.kind) == (TRACE, request.ident, "client")
    assert part_sent.told == {
        "bff.space": "acme", "bff.tiers": ["l1", "none"], "bff.found": 1, "bff.behind": True,
    }  # fmt: skip
    assert part_sent.links == (request.ident,)
    expected = {"traceparent": f"00-{TRACE}-{part_sent.ident}-01", "tracestate": "vendor=1"}
    assert headers == expected
    assert {each["service.name"] for each in receiver.of} == {"bff"}


async def test_a_trace_that_is_not_recorded_goes_on_unrecorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with sending(monkeypatch) as (tracer, receiver):
        with tracer.request(UNSAMPLED) as span, tracer.step("part", {}) as part:
            assert span.trace_id == TRACE
            part.tell({"bff.found": 1})
            [(name, value)] = tracer.outgoing()
        assert name == "traceparent"
        assert value.startswith(f"00-{TRACE}-")
        assert value.endswith("-00")
        with tracer.step("of nothing", {}) as alone:
            assert alone.trace_id == ""
    assert receiver.spans == []


async def test_variables_name_the_service_and_say_which_traces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "acme-gateway")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    async with sending(monkeypatch) as (tracer, receiver):
        with tracer.request(None) as span:
            assert len(span.trace_id) == 32
        with tracer.request(SAMPLED) as span:
            span.rename("recorded by its caller")
    assert [span.name for span in receiver.spans] == ["recorded by its caller"]
    assert receiver.of[0]["service.name"] == "acme-gateway"


async def test_pitfall_6_an_error_is_told_by_its_type(monkeypatch: pytest.MonkeyPatch) -> None:
    async with sending(monkeypatch) as (tracer, receiver):
        with contextlib.suppress(ValueError), tracer.request(None), tracer.step("part", {}):
            raise ValueError("a canary")
        with (
            contextlib.suppress(asyncio.CancelledError),
            tracer.request(None),
            tracer.step("left", {}),
        ):
            raise asyncio.CancelledError
    part, left = receiver.one("part"), receiver.one("left")
    assert (part.failed, part.told["error.type"]) == (True, "ValueError")
    assert part.size == (0, 0)
    assert (left.failed, left.told) == (False, {"bff.cancelled": True})
    assert not any(b"canary" in body for body in receiver.raw)


async def test_work_that_outlives_its_caller_has_a_span_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And what is begun within a request that has ended belongs to nobody."""
    begun, ended = asyncio.Event(), asyncio.Event()
    async with sending(monkeypatch) as (tracer, receiver):

        async def outliving(own: bool) -> None:
            span = tracer.begin("flight", {}) if own else None
            begun.set()
            await ended.wait()
            name = "of nobody" if span is None else "of the flight"
            within = contextlib.nullcontext() if span is None else tracer.inside(span)
            with within, tracer.step(name, {}):
                pass

        with tracer.request(None):
            tasks = [asyncio.create_task(outliving(own)) for own in (True, False)]
            await begun.wait()
        ended.set()
        await asyncio.gather(*tasks)
    flight = receiver.one("flight")
    assert flight.parent == receiver.one("request").ident
    assert receiver.one("of the flight").parent == flight.ident
    assert receiver.named("of nobody") == []


async def test_an_end_waits_for_a_silent_receiver_only_so_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv(
            "OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}"
        )
        tracer = OtelTracer(flush_s=0.2)
        tracer.start()
        with tracer.request(None):
            pass
        began = time.monotonic()
        await tracer.aclose()
        # Of the ten seconds that an export may take.
        assert 0.2 <= time.monotonic() - began < 5
        await tracer.aclose()
    # What could not be sent is told of from a thread, which must not do so into another test.
    for thread in threading.enumerate():
        if thread.name == "traces, flushed":
            await asyncio.to_thread(thread.join)


class Shaky(SpanExporter):
    """Sends as it is told."""

    def __init__(self) -> None:
        self.result = SpanExportResult.SUCCESS

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self.result


def test_a_receiver_that_is_away_is_told_once() -> None:
    inner = Shaky()
    told = Told(inner)
    success, failure = SpanExportResult.SUCCESS, SpanExportResult.FAILURE
    with capture_logs() as lines:
        for inner.result in (success, failure, failure, failure, success, success, failure):
            assert told.export(()) is inner.result
    assert [line["event"] for line in lines] == [
        "traces_not_sent", "traces_sent_again", "traces_not_sent",
    ]  # fmt: skip
