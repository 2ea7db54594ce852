"""Liveness and readiness. Both answer from the start; readiness gives its reasons."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import orjson
from starlette.requests import Request
from starlette.responses import Response

from bff.cache.bus import Bus
from bff.cache.guarded import GuardedStore
from bff.cache.invalidation import Invalidator
from bff.edge import exchange as exchanges


class Health:
    """a store that is away is said, but is no reason."""

    def __init__(self, store: GuardedStore, bus: Bus, invalidator: Invalidator) -> None:
        self.ready = False
        self._store = store
        self._bus = bus
        self._invalidator = invalidator

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Ready from here to the end of the block."""
        self.ready = True
        try:
            yield
        finally:
            self.ready = False

    async def healthz(self, request: Request) -> Response:
        """200 as long as the process answers."""
        exchanges.of(request.scope).route = "/healthz"
        return _json(200, {"status": "alive"})

    async def readyz(self, request: Request) -> Response:
        """200 when requests should be sent here; 503 while starting or stopping."""
        exchanges.of(request.scope).route = "/readyz"
        checks = {
            "serving": self.ready,
            "store": "used" if self._store.available else "away: served without it",
            "invalidations": "heard" if self._bus.trusted else "not heard: tier in process is off",
            "invalidations_pending": self._invalidator.pending,
        }
        status = "ready" if self.ready else "starting or stopping"
        return _json(200 if self.ready else 503, {"status": status, "checks": checks})


def _json(status: int, content: dict[str, object]) -> Response:
    headers = {"cache-control": "no-store", "vary": "Authorization, Origin"}
    return Response(orjson.dumps(content), status, headers, "application/json")
