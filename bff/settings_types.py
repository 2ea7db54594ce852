"""The types of settings: how each is read from text, and shown again without what is secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator, SecretStr

from bff import settings_values as read
from bff.limits import Limit
from bff.spaces import Space, SpaceTable

# A PlainValidator decides alone: what it returns is not copied into a mutable dict.
Whole = Annotated[int, BeforeValidator(read.read_number)]
Size = Annotated[int, BeforeValidator(read.read_size)]
Fraction = Annotated[float, BeforeValidator(read.read_number), Field(allow_inf_nan=False)]
Window = Annotated[Fraction, Field(ge=0, le=30 * 86400)]
Timeout = Annotated[Fraction, Field(gt=0, le=3600)]
Secrets = Annotated[tuple[SecretStr, ...], BeforeValidator(read.read_secrets)]
WebhookSecrets = Annotated[
    Mapping[str, SecretStr],
    PlainValidator(read.read_webhook_secrets),
    PlainSerializer(read.show_secrets),
]
Shapes = Annotated[
    Mapping[str, str],
    PlainValidator(read.read_shapes),
    PlainSerializer(dict),
]
OneSpace = Annotated[
    Space | None, PlainValidator(read.read_space), PlainSerializer(read.show_space)
]
Spaces = Annotated[
    SpaceTable | None, PlainValidator(read.read_spaces), PlainSerializer(read.show_spaces)
]

Limits = Annotated[
    tuple[Limit, ...], PlainValidator(read.read_limits), PlainSerializer(read.show_limits)
]
Switch = Annotated[Literal["on", "off"], BeforeValidator(read.read_choice)]
