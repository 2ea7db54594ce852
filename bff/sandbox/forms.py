"""JSON that drives a sandbox, read into dataclasses; a field nobody knows is a mistake."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache
from typing import TypeVar, cast

from pydantic import ConfigDict, TypeAdapter, with_config

Form = TypeVar("Form")

strict = with_config(ConfigDict(extra="forbid"))
"""Decorates a dataclass whose JSON form may carry its own fields only."""

_adapter = cache(TypeAdapter)  # making one takes milliseconds


def read_form(form: type[Form], body: bytes) -> Form:
    """Reads a JSON body, `{}` when empty. Raises ValueError, which names everything wrong."""
    read: Form = _adapter(cast(Hashable, form)).validate_json(body or b"{}")
    return read
