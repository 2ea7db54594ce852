"""Every setting: its name, type, range, default, meaning and example, in one place.

A new setting is a new field here, or in `bff.settings_cached`, and nothing more: its variable, its
line in docs/settings.md and in `bff config`, and its faults follow from the declaration.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from bff import settings_values as read
from bff.limits import DOCUMENTED_CALLS, DOCUMENTED_WRITES
from bff.settings_cached import CacheSettings
from bff.settings_types import Fraction, Limits, Switch, Timeout, Whole


class Catalogue(CacheSettings):
    """The fields, one by one; `bff.settings.Settings` adds what holds between them.

    Every field has a description with its unit, and an example. No secret shows in a repr or dump.
    """

    deadline_s: Timeout = Field(
        default=10, description="Seconds within which a cached request is answered.", examples=["8"]
    )
    connect_timeout_s: Timeout = Field(
        default=2, description="Seconds to connect to Nexudus.", examples=["1"]
    )
    read_timeout_s: Timeout = Field(
        default=8, description="Seconds between two reads of a Nexudus answer.", examples=["5"]
    )
    write_timeout_s: Timeout = Field(
        default=8, description="Seconds between two writes of a request to Nexudus.", examples=["5"]
    )
    pool_timeout_s: Timeout = Field(
        default=2, description="Seconds to wait for a free connection to Nexudus.", examples=["1"]
    )
    stream_timeout_s: Timeout = Field(
        default=300,
        description="Seconds that a passed-through body may stand still in either direction.",
        examples=["60"],
    )
    max_connections: Whole = Field(
        default=100,
        ge=1,
        le=10_000,
        description="Connections of one worker to Nexudus at most.",
        examples=["200"],
    )
    max_waiting: Whole = Field(
        default=5_000,
        ge=1,
        le=1_000_000,
        description="Requests to one space that wait for Nexudus in one worker at most; more are "
        "answered 503.",
        examples=["1000"],
    )
    stop_timeout_s: Whole = Field(
        default=10,
        ge=1,
        le=300,
        description="Seconds that requests under way have to end when the gateway stops.",
        examples=["30"],
    )
    drain_s: Whole = Field(
        default=0,
        ge=0,
        le=300,
        description="Seconds between SIGTERM and the refusal of connections, during which /readyz "
        "answers 503.",
        examples=["5"],
    )

    budget: Switch = Field(
        default="on",
        description="Whether calls are kept within the limits below (on, off). Off still pauses "
        "when Nexudus says so.",
        examples=["off"],
    )
    budget_calls: Limits = Field(
        default=DOCUMENTED_CALLS,
        description="Calls that Nexudus allows a space, `calls/time` separated by commas; the "
        "default is what it documents.",
        examples=["10/s,600/m"],
    )
    budget_writes: Limits = Field(
        default=DOCUMENTED_WRITES,
        description="Writes among them that it allows.",
        examples=["120/m"],
    )
    budget_refresh_share: Annotated[Fraction, Field(gt=0, le=1)] = Field(
        default=0.5,
        description="Part of each limit that refreshes may use up; the rest is for members who "
        "wait.",
        examples=["0.3"],
    )
    budget_forward_share: Annotated[Fraction, Field(gt=0, le=1)] = Field(
        default=0.9,
        description="Part of each limit that calls passed through may use up, refreshes included.",
        examples=["0.8"],
    )
    budget_stranger_share: Annotated[Fraction, Field(gt=0, le=1)] = Field(
        default=0.5,
        description="Part of each limit that calls with a token that Nexudus has not accepted "
        "lately may use up, others not included: it may be invented. Once such a call is answered "
        "with a document it is no longer among them.",
        examples=["0.6"],
    )
    budget_processes: Whole = Field(
        default=4,
        ge=1,
        le=10_000,
        description="Gateway processes that call a space, those of all machines together: a "
        "process that has not reached Redis since its start begins with that part of what the "
        "shortest limit allows (a minute; of the hour and the day, all), and takes more as long as "
        "Nexudus refuses nothing. Never fewer than BFF_WORKERS.",
        examples=["2"],
    )
    retries: Whole = Field(
        default=2,
        ge=0,
        le=10,
        description="How often a failed GET is tried again at most, within its deadline.",
        examples=["0"],
    )
    breaker_failures: Whole = Field(
        default=5,
        ge=1,
        le=1_000,
        description="Failures of Nexudus in a row after which a space is not called for a while.",
        examples=["10"],
    )
    breaker_rate: Annotated[Fraction, Field(gt=0, le=1)] = Field(
        default=0.8,
        description="Part of the latest calls whose failure has the same effect.",
        examples=["0.5"],
    )
    breaker_open_s: Timeout = Field(
        default=5,
        description="Seconds until a space that is not called is tried again.",
        examples=["2"],
    )

    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], BeforeValidator(read.read_choice)
    ] = Field(
        default="info",
        description="The least severe log line written: debug, info, warning or error.",
        examples=["debug"],
    )
    log_format: Annotated[Literal["auto", "json", "console"], BeforeValidator(read.read_choice)] = (
        Field(
            default="auto",
            description="json, console, or auto: console on a terminal, else json.",
            examples=["json"],
        )
    )
    log_sample: Annotated[Fraction, Field(ge=0, le=1)] = Field(
        default=1,
        description="Part, 0 to 1, of the requests that went well and were quick that get a log "
        "line; all others always do.",
        examples=["0.1"],
    )
    traces: Switch = Field(
        default="off",
        description="Whether OpenTelemetry traces are made (on, off); needs `pip "
        "install --require-hashes -r deploy/requirements-otel.txt`, and "
        "OTEL_EXPORTER_OTLP_ENDPOINT says where they go.",
        examples=["on"],
    )
    host: Annotated[str, BeforeValidator(read.read_bind_host)] = Field(
        default="127.0.0.1", description="The address to listen on.", examples=["::1"]
    )
    port: Whole = Field(
        default=8080, ge=1, le=65535, description="The port to listen on.", examples=["8000"]
    )
    workers: Whole = Field(
        default=1,
        ge=1,
        le=256,
        description="Worker processes; more than one needs a shared Redis.",
        examples=["4"],
    )
