"""What OpenTelemetry's library would stumble over is told as any other fault of the settings."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.errors import SettingsError
from bff.observe.otel_numbers import faults
from bff.observe.tracing import open_tracer

QUEUE, BATCH = "OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"
LIMIT, TIMEOUT = "OTEL_SPAN_LINK_COUNT_LIMIT", "OTEL_EXPORTER_OTLP_TIMEOUT"
SAMPLER, SHARE = "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"
RATIO = {SAMPLER: "ParentBased_TraceIdRatio"}


def told(environ: dict[str, str]) -> dict[str, str]:
    """Reasons by variable."""
    return {each.variable: each.reason for each in faults(environ)}


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        (QUEUE, "many", "must be a whole number"),
        (QUEUE, "0", "must be at least 1"),
        (QUEUE, "1.5", "must be a whole number"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-1", "must be at least 1"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "5s", "must be a whole number"),
        (LIMIT, "-1", "must be at least 0"),
        (TIMEOUT, "10s", "must be a number"),
        (TIMEOUT, "0", "must be at least 0.001"),
        (TIMEOUT, "inf", "must be a finite number"),
    ],
)
def test_what_is_no_such_number_is_told(name: str, text: str, reason: str) -> None:
    assert told({name: text}) == {name: reason}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 in 100", "must be a number"),
        ("1.01", "must be at most 1"),
        ("-0.1", "must be at least 0"),
        ("nan", "must be a finite number"),
    ],
)
def test_a_share_of_the_traces_is_a_number_where_the_sampler_reads_one(
    text: str, reason: str
) -> None:
    assert told({SHARE: text, **RATIO}) == {SHARE: reason}
    assert told({SHARE: text}) == told({SHARE: text, SAMPLER: "always_on"}) == {}


@pytest.mark.parametrize(
    ("environ", "passes"),
    [
        ({QUEUE: "511"}, True),  # 512 at once, unless told
        ({QUEUE: "512"}, False),
        ({BATCH: "2049"}, True),  # of 2048, unless told
        ({BATCH: "2049", QUEUE: "4096"}, False),
        ({BATCH: "many", QUEUE: "1"}, False),
    ],
)
def test_no_more_is_sent_at_once_than_there_may_be(environ: dict[str, str], passes: bool) -> None:
    assert (told(environ).get(BATCH) == f"must be at most {QUEUE}") is passes


def test_all_are_told_at_once_with_an_example_and_without_their_values() -> None:
    found = faults({LIMIT: "canary", TIMEOUT: "canary", QUEUE: " ", "OTEL_SERVICE_NAME": "canary"})
    assert {each.variable for each in found} == {LIMIT, TIMEOUT}
    assert "canary" not in str(found)
    assert told(dict(each.example.split("=") for each in found)) == {}


@given(st.fixed_dictionaries({}, optional={
    QUEUE: st.integers(1, 4_096).map(str), BATCH: st.integers(1, 4_096).map(str),
    LIMIT: st.integers(0).map(str), TIMEOUT: st.floats(0.001, 1e6).map(str),
    SHARE: st.floats(0, 1).map(str),
}))  # fmt: skip
def test_what_is_well_formed_is_no_fault(environ: dict[str, str]) -> None:
    assert told({**environ, **RATIO}).keys() <= {BATCH}


_EACH = """
import os
from opentelemetry.sdk import environment_variables
from opentelemetry.sdk.trace import SpanLimits
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from bff.observe.otel_numbers import faults
refused, ends = [], ("_LIMIT", "_SIZE", "_DELAY", "_TIMEOUT")
names = [each for each in dir(environment_variables) if each.endswith(ends)]
for name, text in ((name, text) for name in names for text in ("", "x", "-1", "0", "1", "99999")):
    os.environ[name] = text
    try:
        SpanLimits()
        BatchSpanProcessor._validate_arguments(
            BatchSpanProcessor._default_max_queue_size(),
            BatchSpanProcessor._default_schedule_delay_millis(),
            BatchSpanProcessor._default_max_export_batch_size(),
        )
    except ValueError:
        assert faults(os.environ), (name, text)
        refused.append(name)
    del os.environ[name]
print(len(refused))
"""


def test_whatever_the_library_refuses_is_told_before() -> None:
    """In a process of its own: the library reads some variables when it is imported."""
    command = [sys.executable, "-c", _EACH]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10


def test_no_tracer_is_opened_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT, "x")
    assert open_tracer(on=False) is None
    with pytest.raises(SettingsError, match=LIMIT):
        open_tracer(on=True)
