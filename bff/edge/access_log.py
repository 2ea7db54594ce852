"""One line for each request: what became of it, never what it held."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import structlog

from bff.observe import logs

log = structlog.get_logger("bff.access")

SLOW_S: Final = 1.0
"""A request that takes longer always has its line."""


@dataclass(frozen=True, slots=True)
class Line:
    """What is told of one request. `trace_id`: empty where there is no trace."""

    method: str
    route: str
    space: str
    status: int
    cache: str
    took_s: float
    bytes_down: int
    request_id: str
    trace_id: str


class AccessLog:
    """`sample`: part of the requests that are well and quick of which there is a line."""

    def __init__(self, sample: float = 1.0) -> None:
        self._sample = sample

    @property
    def is_on(self) -> bool:
        """Whether any line of a request that went well would be written now."""
        return logs.tells_requests()

    def tell(self, line: Line) -> None:
        """Write it, if it is to be."""
        sample = self._sample if self._sample < 1 and _is_usual(line) else None
        # By the trace, so that it is told of whole: in every process, and in others than these.
        ident = line.trace_id or line.request_id
        if sample is not None and not logs.sampled(ident, sample):
            return
        log.info(
            "request",
            method=line.method,
            route=line.route,
            space=line.space,
            status=line.status,
            cache=line.cache,
            ms=round(line.took_s * 1000, 2),
            bytes=line.bytes_down,
            request_id=line.request_id,
            trace_id=line.trace_id or None,
            sample=sample,
        )


def _is_usual(line: Line) -> bool:
    """Whether a request went well, quickly, and was a member's or a probe's."""
    operators = line.route == "/metrics" or line.route.startswith("/ops")
    return 0 < line.status < 400 and line.took_s < SLOW_S and not operators
