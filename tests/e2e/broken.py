"""A factory that fails, as a gateway does whose code is broken."""

from __future__ import annotations

from starlette.types import ASGIApp


def create_app() -> ASGIApp:
    """Never succeeds."""
    raise RuntimeError("broken on purpose")
