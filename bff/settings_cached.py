"""Settings, first half: which spaces, where the cache is, its secrets, how long it keeps what.

See `bff.settings_catalogue`, which adds the other half.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal, Never

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from bff import settings_values as read
from bff.settings_operators import Operators
from bff.settings_types import (
    Fraction,
    OneSpace,
    Secrets,
    Shapes,
    Size,
    Spaces,
    Timeout,
    WebhookSecrets,
    Whole,
    Window,
)


def _empty() -> Mapping[str, Never]:
    return MappingProxyType({})


class CacheSettings(BaseModel):
    """What is cached, where, for how long, and for whom."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        validate_default=False,
        defer_build=True,  # only the class that has all fields is ever filled
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
        default=read.SecretUrl(read.EMBEDDED_URL),
        description="The shared cache: embedded, redis, rediss, redis+sentinel, redis+cluster or "
        "unix. Embedded lives in the process and allows one worker.",
        examples=["redis://127.0.0.1:6379/0"],
    )
    redis_timeout_ms: Whole = Field(
        default=50,
        ge=1,
        le=10_000,
        description=(
            "Milliseconds that a request waits for Redis, all its commands together; never more "
            "than half of BFF_DEADLINE_S."
        ),
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
        "absent without it and BFF_OPS_TOKENS. It is that of the operator `ops`, who may act.",
        examples=["$(openssl rand -hex 24)"],
    )
    ops_tokens: Operators = Field(
        default=(),
        description="Several operators, `name:role=token` separated by commas (a table in the "
        "file): `read` sees figures and explanations, `act` also purges, pauses and sets levels.",
        examples=["grafana:read=$(openssl rand -hex 24),jane:act=$(openssl rand -hex 24)"],
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
    stand_in_s: Window = Field(
        default=300,
        description="Seconds that a copy in process may stand in while Redis is away and Nexudus "
        "cannot be asked in time.",
        examples=["60"],
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
        description="Refreshes behind stale answers that one worker has under way at most, for "
        "each space.",
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
