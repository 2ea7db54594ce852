"""JSON that drives a sandbox, read into dataclasses; a field nobody knows is a mistake."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ConfigDict, TypeAdapter, with_config

Form = TypeVar("Form")

strict = with_config(ConfigDict(extra="forbid"))
"""Decorates a dataclass whose JSON form may carry its own fields only."""


def read_form(form: type[Form], body: bytes) -> Form:
    """Reads a JSON body, `{}` when empty. Raises ValueError, which names everything wrong."""
    return TypeAdapter(form).validate_json(body or b"{}")
