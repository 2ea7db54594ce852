"""Liveness and readiness. Both answer from the start; readiness gives its reasons."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final, Protocol

import orjson
from starlette.requests import Request
from starlette.responses import Response

from bff.cache.bus import Bus
from bff.cache.guarded import GuardedStore
from bff.cache.invalidation import Invalidator
from bff.cache.tiered import ISOLATED_MAX_AGE_S
from bff.edge import exchange as exchanges
from bff.errors import CredentialsError
from bff.ops.access.operators import Operators

REACHABLE: Final = "reachable"
STOPPING: Final = "bff.stopping"
"""In the ASGI `state` of a request when the server is about to stop; `bff.serve_hosted` puts it."""
_DETAILS: Final = re.compile(r" (?:for|since) |:")


class Upstreams(Protocol):
    """What is known of Nexudus, without asking it."""

    def states(self) -> Mapping[str, str]:
        """By the name of every space served: `reachable`, `not called yet`, `paused for 3 s` …

        What stands before a ` for `, a ` since ` or a colon is its kind, which is all that those
        are told who may not know names.
        """
        ...


class NothingKnown:
    """No upstream is watched."""

    def states(self) -> Mapping[str, str]:
        return MappingProxyType({})


class Health:
    """What probes are told.

    A store or a Nexudus that is away is said, but is no reason to be taken out: all replicas would
    go at once, and with them what they can still serve. Names of spaces are for operators only,
    whatever their role is; everybody else, with a wrong token too, is told how many are well.
    """

    def __init__(
        self,
        store: GuardedStore,
        bus: Bus,
        invalidator: Invalidator,
        upstreams: Upstreams | None = None,
        operators: Operators | None = None,
    ) -> None:
        self.ready = False
        self._store = store
        self._bus = bus
        self._invalidator = invalidator
        self._upstreams = NothingKnown() if upstreams is None else upstreams
        self._operators = operators or Operators(())

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
        ready = self.ready and STOPPING not in request.scope.get("state", {})
        checks: dict[str, object] = {
            "serving": ready,
            "store": "used" if self._store.available else "away: served without it",
            "invalidations": self._invalidations(),
            "invalidations_pending": self._invalidator.pending,
        }
        states = self._upstreams.states()
        if states:
            checks["nexudus"] = counted(states)
            if self._is_operator(request):
                checks["spaces"] = dict(states)
        status = "ready" if ready else "starting or stopping"
        return _json(200 if ready else 503, {"status": status, "checks": checks})

    def _invalidations(self) -> str:
        if self._bus.trusted:
            return "heard"
        if self._store.available:
            return "not heard: tier in process is off"
        return f"not heard: copies in process are used for {ISOLATED_MAX_AGE_S:g} s at most"

    def _is_operator(self, request: Request) -> bool:
        try:
            self._operators.of(request.scope["headers"])
        except CredentialsError:
            return False
        return True


def counted(states: Mapping[str, str]) -> str:
    """`2 of 3 spaces reachable, 1 failing`: the kinds of states, without names and figures."""
    kinds = Counter(_DETAILS.split(state, maxsplit=1)[0] for state in states.values())
    others = sorted((kind, number) for kind, number in kinds.items() if kind != REACHABLE)
    told = [f"{kinds[REACHABLE]} of {len(states)} spaces reachable"]
    return ", ".join([*told, *(f"{number} {kind}" for kind, number in others)])


def _json(status: int, content: dict[str, object]) -> Response:
    headers = {"cache-control": "no-store", "vary": "Authorization, Origin"}
    return Response(orjson.dumps(content), status, headers, "application/json")
