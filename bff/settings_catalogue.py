"""Every setting: its name, type, range, default, meaning and example, in one place.

A new setting is a new field here and nothing more: its variable, its line in docs/settings.md and
in `bff config`, and its faults follow from the declaration.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal, Never

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from bff import settings_values as read
from bff.limits import DOCUMENTED_CALLS, DOCUMENTED_WRITES
from bff.settings_sources import PREFIX
from bff.settings_types import (
    Fraction,
    Limits,
    OneSpace,
    Secrets,
    Shapes,
    Size,
    Spaces,
    Switch,
    Timeout,
    WebhookSecrets,
    Whole,
    Window,
)


def _empty() -> Mapping[str, Never]:
    return MappingProxyType({})


class Catalogue(BaseSettings):
    """The fields, one by one; `bff.settings.Settings` adds what holds between them.

    Every field has a description with its unit, and an example. No secret shows in a repr or dump.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        validate_default=False,
    )

    upstream: OneSpace = Field(
        default=None,
        description="The one Nexudus space to serve, whatever the Host: a slug, its host or an "
        "https:// origin. Either this or BFF_SPACES.",
        examples=["acme"],
    )
    spaces: Spaces = Field(
        default=None,
        description="Several spaces by public host, `host=space` separated by commas (a table in "
        "the file). A host with a port is met with that port only, one without with any.",
        examples=["members.acme.com=acme,app.beta.com=beta.spaces.nexudus.com"],
    )

    redis_url: Annotated[read.SecretUrl, BeforeValidator(read.read_redis_url)] = Field(
        default=read.SecretUrl("embedded://"),
        description="The shared cache: embedded, redis, rediss, redis+sentinel, redis+cluster or "
        "unix. Embedded lives in the process and allows one worker.",
        examples=["redis://127.0.0.1:6379/0"],
    )
    redis_timeout_ms: Whole = Field(
        default=50,
        ge=1,
        le=10_000,
        description="Milliseconds that a request waits for one Redis command.",
        examples=["20"],
    )
    redis_prefix: str = Field(
        default="bff",
        pattern="^[A-Za-z0-9_.-]{1,32}$",
        description="What every Redis key and channel of this deployment begins with.",
        examples=["bff-staging"],
    )

    secret: Secrets = Field(
        default=(),
        description="Secrets of 32 or more characters that name and encrypt stored entries, "
        "separated by commas: the first writes, all read. Required with a shared Redis, made up "
        "at start without one.",
        examples=["$(openssl rand -base64 48)"],
    )
    ops_token: Annotated[SecretStr | None, BeforeValidator(read.read_ops_token)] = Field(
        default=None,
        description="Bearer token of 16 or more characters for /metrics and /ops, which are "
        "absent without it.",
        examples=["$(openssl rand -hex 24)"],
    )
    webhook_secret: WebhookSecrets = Field(
        default_factory=_empty,
        description="Shared secret of the Nexudus webhooks: one for all spaces, or `name=secret` "
        "separated by commas (a table in the file). Webhooks are refused without it.",
        examples=["$(openssl rand -hex 24)"],
    )

    cors_origins: Annotated[tuple[str, ...], BeforeValidator(read.read_web_origins)] = Field(
        default=(),
        description="Origins of the browser apps that may call, separated by commas, or `*`.",
        examples=["https://members.acme.com,capacitor://localhost"],
    )
    max_body: Size = Field(
        default=25 * 2**20,
        ge=1,
        le=2**40,
        description="Bytes of the largest request body that is forwarded; `25MiB` and `25MB` "
        "are understood.",
        examples=["50MiB"],
    )

    l1_bytes: Size = Field(
        default=64 * 2**20,
        ge=0,
        le=2**40,
        description="Bytes that the in-process cache of one worker holds at most.",
        examples=["256MiB"],
    )
    l1_max_age_s: Window = Field(
        default=15,
        description="Seconds that the in-process cache answers without asking Redis again.",
        examples=["5"],
    )
    profiles_fresh_s: Window = Field(
        default=60,
        description="Seconds that a profile list is fresh, and that a token counts as proven.",
        examples=["30"],
    )
    profiles_stale_s: Window = Field(
        default=300,
        description="Seconds past its freshness that a profile list is served while it is "
        "fetched again.",
        examples=["120"],
    )
    profiles_error_s: Window = Field(
        default=3600,
        description="Seconds past its freshness that a profile list is served while Nexudus fails.",
        examples=["7200"],
    )
    related_fresh_s: Window = Field(
        default=300, description="Seconds that a related list is fresh.", examples=["600"]
    )
    related_stale_s: Window = Field(
        default=1800,
        description="Seconds past its freshness that a related list is served while it is "
        "fetched again.",
        examples=["3600"],
    )
    related_error_s: Window = Field(
        default=86400,
        description="Seconds past its freshness that a related list is served while Nexudus fails.",
        examples=["43200"],
    )
    related_negative_s: Window = Field(
        default=60,
        description="Seconds that a 404 on a related list is remembered.",
        examples=["30"],
    )
    freshness_jitter: Annotated[Fraction, Field(ge=0, le=0.5)] = Field(
        default=0.1,
        description="Part, 0 to 0.5, by which freshness is cut short at most, by another length "
        "for each document, so that what was filled together does not expire together.",
        examples=["0.2"],
    )
    stale_patience_s: Timeout = Field(
        default=1,
        description="Seconds that Nexudus is waited for where something stale can be served "
        "instead.",
        examples=["0.5"],
    )
    refreshes: Whole = Field(
        default=16,
        ge=0,
        le=10_000,
        description="Refreshes behind stale answers that one worker has under way at most.",
        examples=["4"],
    )
    related_scope: Annotated[Literal["coworker", "token"], BeforeValidator(read.read_choice)] = (
        Field(
            default="coworker",
            description="Whether a coworker's related list is shared between tokens (coworker) or "
            "kept for each (token).",
            examples=["token"],
        )
    )
    sentinel_rate: Annotated[Fraction, Field(ge=0, le=1)] = Field(
        default=0.01,
        description="Fraction, 0 to 1, of shared related answers that are compared with the "
        "caller's own.",
        examples=["0.05"],
    )
    shapes: Shapes = Field(
        default_factory=_empty,
        description="Named shapes for `_shape=@name`, a JSON object (a table in the file).",
        examples=['{"mobile":"Profiles.Id,Profiles.FullName"}'],
    )

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
        description="Requests of one worker that wait for Nexudus at most; more are answered 503.",
        examples=["1000"],
    )
    stop_timeout_s: Whole = Field(
        default=10,
        ge=1,
        le=300,
        description="Seconds that requests under way have to end when the gateway stops.",
        examples=["30"],
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
