"""Flights: a span for the work, in the trace of whoever began it, and one for each who waits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from typing import Final, TypeVar

from bff.cache.flight import Course, Flights, Landed
from bff.observe.tracing import Attributes, Span, Tracer

T = TypeVar("T")
Work = Callable[[], Awaitable[T]]


class Flown:
    """A flight that is under way: its span, then that of its latest call to Nexudus."""

    __slots__ = ("shown",)

    def __init__(self, span: Span) -> None:
        self.shown = span


FLYING: Final[ContextVar[Flown | None]] = ContextVar("flying", default=None)
"""The flight that a task works for."""


class TracedFlights(Flights):
    """Spans `flight` for the work, and `flight.wait` for a caller, which led or joined it.

    Who joined is linked to the call that its document came from, or to the flight without one.
    """

    tracer: Tracer

    def __init__(self, most_waiters: int) -> None:
        super().__init__(most_waiters)
        self._flown: dict[str, Flown] = {}

    async def run(
        self,
        key: str,
        space: str,
        tags: Iterable[str],
        work: Work[T],
        course: Course | None = None,
    ) -> Landed[T]:
        with self.tracer.step("flight.wait", {"bff.space": space}) as waiting:
            flown = self._flown.get(key) if key in self._joinable else None

            def leading() -> Awaitable[T]:
                waiting.tell({"bff.flight": "led"})
                return self._begun(key, {"bff.space": space}, work)

            try:
                if key in self._joinable:
                    waiting.tell({"bff.flight": "joined"})
                return await super().run(key, space, tags, leading, course)
            finally:
                if flown is not None:
                    waiting.link(flown.shown)

    def start(
        self,
        key: str,
        space: str,
        tags: Iterable[str],
        work: Work[object],
        course: Course | None = None,
    ) -> bool:
        attributes: Attributes = {"bff.space": space, "bff.behind": True}
        return super().start(key, space, tags, lambda: self._begun(key, attributes, work), course)

    def _begun(self, key: str, attributes: Attributes, work: Work[T]) -> Awaitable[T]:
        """The work within a span of its own: its caller may not wait for its end."""
        if not self.tracer.recording:
            self._flown.pop(key, None)
            return work()
        span = self.tracer.begin("flight", attributes)
        flown = self._flown[key] = Flown(span)

        async def flying() -> T:
            FLYING.set(flown)
            try:
                with self.tracer.inside(span):
                    return await work()
            finally:
                if self._flown.get(key) is flown:
                    del self._flown[key]

        return flying()
