"""Traces of requests: what traced parts need of a tracer, and how one is had.

OpenTelemetry itself is imported only where traces are on.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Final, Protocol, TypeAlias

from bff.errors import Fault, SettingsError
from bff.observe import otel_numbers
from bff.observe.trace_context import Parent

FLUSH_S: Final = 2.0
"""How long an end may wait for spans to be sent."""

INSTALL: Final = "pip install --require-hashes -r deploy/requirements-otel.txt"
"""In a checkout: no package of a registry has our name."""

Value: TypeAlias = str | int | float | bool | Sequence[str]
Attributes: TypeAlias = Mapping[str, Value]
"""Names and numbers of ours, never what a member or Nexudus sends."""


class Kind(enum.Enum):
    """Which side of a call a span is, if of any."""

    SERVER = "server"
    CLIENT = "client"
    INTERNAL = "internal"


class Span(Protocol):
    """One step of a request; what is told of one that is not recorded, or has ended, is lost."""

    @property
    def trace_id(self) -> str:
        """32 hex digits, or empty where there is no trace."""
        ...

    def rename(self, name: str) -> None:
        """Give it another name."""
        ...

    def tell(self, attributes: Attributes) -> None:
        """Add to what is known of it."""
        ...

    def link(self, other: Span) -> None:
        """Another span, perhaps of another trace, has to do with it."""
        ...

    def failed(self, kind: str) -> None:
        """It failed, by an error of this type."""
        ...

    def end(self) -> None:
        """It is over."""
        ...


class Tracer(Protocol):
    """Makes spans; the current one follows the tasks that are begun within it."""

    def start(self) -> None:
        """Begin to send spans; for a lifespan, in the process that serves."""
        ...

    async def aclose(self) -> None:
        """Send what there is and end, within FLUSH_S, whatever the receiver does."""
        ...

    @property
    def recording(self) -> bool:
        """Whether there is a current span that has not ended, and is recorded."""
        ...

    @property
    def current(self) -> Span:
        """The current span; one that is not recorded where there is none."""
        ...

    def request(self, parent: Parent | None) -> AbstractContextManager[Span]:
        """Around a request: a span whose parent is the caller's, if it sent one."""
        ...

    def step(
        self, name: str, attributes: Attributes, kind: Kind = Kind.INTERNAL
    ) -> AbstractContextManager[Span]:
        """Around a step of what the current span is about; only where that is being recorded.

        An Exception that passes fails it, and is told by the name of its type; a cancellation does
        not, and is told as one.
        """
        ...

    def begin(self, name: str, attributes: Attributes) -> Span:
        """A child of the current span, for a task that may outlive it."""
        ...

    def inside(self, span: Span) -> AbstractContextManager[None]:
        """Around the work that `span` is about, which ends with it."""
        ...

    def outgoing(self) -> Sequence[tuple[str, str]]:
        """Headers of a call by which its receiver's spans join this trace (W3C Trace Context)."""
        ...


def open_tracer(*, on: bool) -> Tracer | None:
    """A tracer that has yet to be started; None for none.

    Raises SettingsError where traces are on and OpenTelemetry is not installed, or one of its own
    variables does not hold the number that it should.
    """
    if not on:
        return None
    if found := otel_numbers.faults(os.environ):
        raise SettingsError(found)
    try:
        from bff.observe.otel import OtelTracer  # noqa: PLC0415 - costs nothing where it is off
    except ImportError:
        reason = f"is on, and OpenTelemetry is not installed: {INSTALL}"
        raise SettingsError((Fault("BFF_TRACES", reason, "BFF_TRACES=off"),)) from None
    return OtelTracer()
