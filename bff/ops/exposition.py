"""`GET /metrics`, in the text format of Prometheus."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bff.observe.metrics import Metrics
from bff.ops.access.operators import Operators

PATH = "/metrics"


class Exposition:
    """What this process, or all workers of this machine, counted."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def routes(self, operators: Operators) -> list[Route]:
        """For whoever may read."""
        return [operators.route("GET", PATH, self._render)]

    async def _render(self, _: Request) -> Response:
        self._metrics.refresh()
        self._metrics.settle_hot()
        # What several processes counted is read from files, which takes its time.
        text = await asyncio.to_thread(self._metrics.render)
        return Response(text, media_type="text/plain; version=0.0.4")
